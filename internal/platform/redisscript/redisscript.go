// Package redisscript runs Lua scripts in pipelines. If a server does not have a script, because of
// a restart or a failover, the package loads the script and sends the refused calls again.
package redisscript

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Call is one call to a script. Run sets Reply.
type Call struct {
	Script *redis.Script
	Keys   []string
	Args   []any
	Reply  *redis.Cmd
}

// Run sends all calls in one round trip per server. If a server does not have the script for a
// call, the call has changed nothing, and Run sends it again after loading the script. Each call
// has its own reply; Run returns the error of the first call that failed, in the order of calls.
//
// To add other commands to the first round trip, the caller passes functions as the last parameter.
// It must check the errors of these commands itself.
func Run(ctx context.Context, rdb redis.UniversalClient, calls []*Call, also ...func(redis.Pipeliner)) error {
	send(ctx, rdb, calls, also...)
	var missing []*Call
	for _, c := range calls {
		if redis.HasErrorPrefix(c.Reply.Err(), "NOSCRIPT") {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 {
		if err := load(ctx, rdb, missing); err != nil {
			return err
		}
		send(ctx, rdb, missing)
	}
	for _, c := range calls {
		if err := c.Reply.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
	}
	return nil
}

func send(ctx context.Context, rdb redis.UniversalClient, calls []*Call, also ...func(redis.Pipeliner)) {
	_, _ = rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error { // each reply has its own error
		for _, add := range also {
			add(pipe)
		}
		for _, c := range calls {
			c.Reply = c.Script.EvalSha(ctx, pipe, c.Keys, c.Args...)
		}
		return nil
	})
}

// load loads the scripts of the given calls into every server that may run them.
func load(ctx context.Context, rdb redis.UniversalClient, calls []*Call) error {
	loaded := make(map[string]bool, 1)
	for _, c := range calls {
		if loaded[c.Script.Hash()] {
			continue
		}
		loaded[c.Script.Hash()] = true
		into := func(ctx context.Context, server *redis.Client) error { return c.Script.Load(ctx, server).Err() }
		var err error
		if cluster, ok := rdb.(*redis.ClusterClient); ok {
			err = cluster.ForEachMaster(ctx, into)
		} else {
			err = c.Script.Load(ctx, rdb).Err()
		}
		if err != nil {
			return fmt.Errorf("load a script: %w", err)
		}
	}
	return nil
}
