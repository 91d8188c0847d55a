package presence

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lease.lua
	leaseSource string
	//go:embed count.lua
	countSource string
	//go:embed change.lua
	changeSource string
	//go:embed online.lua
	onlineSource string
	//go:embed publish.lua
	publishSource string

	leaseScript   = redis.NewScript(leaseSource)
	changeScript  = redis.NewScript(countSource + changeSource)
	onlineScript  = redis.NewScript(countSource + onlineSource)
	publishScript = redis.NewScript(publishSource)
)

// maxCallsPerTrip limits the script calls of one round trip.
const maxCallsPerTrip = 128

// call is one call of a script.
type call struct {
	script *redis.Script
	keys   []string
	args   []any
	reply  *redis.Cmd
}

// run makes calls in one round trip. It loads scripts that the server does not know and repeats
// their calls. Each call has its own reply; run returns the first error. Once begun, the calls
// finish even if ctx ends.
func (p *Presence) run(ctx context.Context, calls []*call) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), redisTimeout)
	defer cancel()
	p.try(ctx, calls)
	var unknown []*call
	for _, c := range calls {
		if redis.HasErrorPrefix(c.reply.Err(), "NOSCRIPT") {
			unknown = append(unknown, c)
		}
	}
	if len(unknown) > 0 {
		if err := p.load(ctx, unknown); err != nil {
			return err
		}
		p.try(ctx, unknown)
	}
	for _, c := range calls {
		if err := c.reply.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (p *Presence) try(ctx context.Context, calls []*call) {
	_, _ = p.cfg.Redis.Pipelined(ctx, func(pipe redis.Pipeliner) error { // each reply has its own error
		for _, c := range calls {
			c.reply = c.script.EvalSha(ctx, pipe, c.keys, c.args...)
		}
		return nil
	})
}

// load loads the scripts of calls into every server that may run them.
func (p *Presence) load(ctx context.Context, calls []*call) error {
	loaded := make(map[string]bool, 1)
	for _, c := range calls {
		if loaded[c.script.Hash()] {
			continue
		}
		loaded[c.script.Hash()] = true
		load := func(ctx context.Context, rdb *redis.Client) error { return c.script.Load(ctx, rdb).Err() }
		var err error
		switch rdb := p.cfg.Redis.(type) {
		case *redis.ClusterClient:
			err = rdb.ForEachMaster(ctx, load)
		case *redis.Client:
			err = load(ctx, rdb)
		default:
			err = fmt.Errorf("unknown client %T", rdb)
		}
		if err != nil {
			return fmt.Errorf("load script: %w", err)
		}
	}
	return nil
}
