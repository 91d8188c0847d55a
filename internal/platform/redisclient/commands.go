package redisclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/rediskey"
)

// Commands lists the Redis commands that a service runs, including those inside its scripts, by
// name: "xadd", "xgroup|create".
type Commands []string

// common lists the commands that every service needs for its connections and scripts, and for Check
// and Watch. cluster|slots is needed only in Redis Cluster.
var common = Commands{
	"ping", "select", "client|setname", "info", "multi", "discard", "cluster|slots", "command",
	"eval", "evalsha", "script|load", "setnx", "get", "set", "setrange",
}

// appending lists the commands that a service needs to append to the log.
var appending = Commands{
	"del", "exists", "hget", "hmget", "hset", "lrange", "persist", "rpush", "spublish", "time", "xadd", "xinfo|stream", "xrange", "xsetid",
}

// limiting lists the commands that a service needs to enforce rate limits.
var limiting = Commands{"ltrim", "pexpire", "pttl"}

// The commands that each service runs. deploy/redis/users.acl permits exactly these commands.
var (
	ChatService = join(common, appending, limiting, Commands{"hgetall", "incr"})
	WSServer    = join(common, appending, limiting, Commands{
		"expire", "hgetall", "sadd", "scard", "smembers", "smismember", "srem", "sscan", "ssubscribe", "sunion", "sunsubscribe", "unlink",
		"zadd", "zrangebyscore", "zrem", "zscore",
	})
	SyncService = join(common, appending, Commands{
		"hgetall", "lindex", "llen", "ltrim", "memory|usage", "pexpire", "scan", "xack", "xautoclaim", "xdel", "xgroup|create", "xgroup|delconsumer", "xgroup|setid",
		"xinfo|consumers", "xinfo|groups", "xlen", "xpending", "xreadgroup", "xtrim",
	})
)

func join(sets ...Commands) Commands {
	all := slices.Concat(sets...)
	slices.Sort(all)
	return slices.Compact(all)
}

// arguments contains valid arguments for each command that needs any. K stands for a key, T for a
// topic.
var arguments = map[string]string{
	"select": "0", "client|setname": "x", "info": "server", "eval": "return 0", "evalsha": "x 0", "script|load": "x",
	"setnx": "K x", "get": "K", "set": "K x", "setrange": "K 0 x", "del": "K", "exists": "K", "hget": "K x", "hmget": "K x", "hset": "K x x",
	"lrange": "K 0 0", "persist": "K", "rpush": "K x", "spublish": "T x", "xadd": "K * x x", "xinfo|stream": "K", "xrange": "K - +", "xsetid": "K 1-1",
	"ltrim": "K 0 0", "pexpire": "K 1", "expire": "K 1", "pttl": "K", "hgetall": "K", "incr": "K",
	"sadd": "K x", "scard": "K", "smembers": "K", "smismember": "K x", "srem": "K x", "sscan": "K 0", "scan": "0", "ssubscribe": "T", "sunion": "K", "sunsubscribe": "T", "unlink": "K",
	"zadd": "K 1 x", "zrangebyscore": "K 0 1", "zrem": "K x", "zscore": "K x",
	"lindex": "K 0", "llen": "K", "memory|usage": "K", "xack": "K x 1-1", "xautoclaim": "K x x 0 0", "xdel": "K 1-1", "xgroup|create": "K x $",
	"xgroup|delconsumer": "K x x", "xgroup|setid": "K x 0", "xinfo|consumers": "K x", "xinfo|groups": "K", "xlen": "K", "xpending": "K x",
	"xreadgroup": "GROUP x x STREAMS K >", "xtrim": "K MAXLEN 0",
}

// call returns the name of a command followed by valid arguments, ready to be sent to Redis.
func call(command, key, topic string) []any {
	var args []any
	for name := range strings.SplitSeq(command, "|") {
		args = append(args, name)
	}
	if command == "eval" {
		return append(args, arguments[command], 0)
	}
	for word := range strings.FieldsSeq(arguments[command]) {
		switch word {
		case "K":
			word = key
		case "T":
			word = topic
		}
		args = append(args, word)
	}
	return args
}

// onlyCluster lists the commands that are needed only in Redis Cluster.
var onlyCluster = Commands{"cluster|slots", "command"}

// allowed returns an ErrUnsuitable that lists the commands that Redis does not permit the user to
// run. Redis checks permissions when a command is queued in a transaction. So allowed queues all
// commands and then discards the transaction; none of the commands runs. ACL DRYRUN would require
// permission to inspect other users.
func (c Commands) allowed(ctx context.Context, rdb redis.UniversalClient, partitions int) error {
	if c == nil {
		return nil
	}
	partition := func(*redis.Client) int { return 0 }
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		on := map[string]int{} // one partition of each node, by the node's address
		for p := range partitions {
			node, err := cluster.MasterForKey(ctx, rediskey.Probe(p))
			if err != nil {
				return fmt.Errorf("find the node of partition %d: %w", p, err)
			}
			on[node.Options().Addr] = p
		}
		partition = func(n *redis.Client) int {
			if p, ok := on[n.Options().Addr]; ok {
				return p
			}
			return -1 // a node without partitions
		}
	} else {
		c = slices.DeleteFunc(slices.Clone(c), func(name string) bool { return slices.Contains(onlyCluster, name) })
	}
	var missing Commands
	err := eachMaster(ctx, rdb, func(node *redis.Client) error {
		p := partition(node)
		if p < 0 {
			return nil
		}
		refused, err := c.refused(ctx, node, p)
		missing = append(missing, refused...)
		return err
	})
	if len(missing) > 0 {
		return fmt.Errorf("%w: its user is not permitted to run %s on keys and topics that begin with parley: (docs/operations.md has the list, deploy/redis/users.acl permits it)",
			ErrUnsuitable, strings.Join(join(missing), ", "))
	}
	return err
}

// refused returns the commands that a server does not permit.
func (c Commands) refused(ctx context.Context, node *redis.Client, partition int) (refused Commands, err error) {
	opt := *node.Options()
	opt.PoolSize, opt.MinIdleConns, opt.MaxRetries = 1, 0, -1
	own := redis.NewClient(&opt) // closing the client also ends a transaction that is still open
	defer func() { _ = own.Close() }()
	conn := own.Conn() // all commands must use one connection, but a pool could use another one for the pipeline
	defer func() { _ = conn.Close() }()
	// Outside a transaction, the commands would run. So MULTI is sent first, in a separate round
	// trip.
	switch err := conn.Do(ctx, "multi").Err(); {
	case redis.HasErrorPrefix(err, "NOPERM"):
		return Commands{"multi"}, nil
	case err != nil:
		return nil, fmt.Errorf("check permissions: %w", err)
	}
	queued := map[string]*redis.Cmd{}
	_, err = conn.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, name := range c {
			if name != "multi" && name != "discard" {
				queued[name] = p.Do(ctx, call(name, rediskey.Probe(partition), rediskey.PartitionTopic(partition))...)
			}
		}
		queued["discard"] = p.Do(ctx, "discard")
		return nil
	})
	for name, cmd := range queued {
		if redis.HasErrorPrefix(cmd.Err(), "NOPERM") {
			refused = append(refused, name)
		}
	}
	if refused == nil && err != nil && !isAnswer(err) {
		return nil, fmt.Errorf("check permissions: %w", err)
	}
	return refused, nil
}

// isAnswer reports whether err is an error reply from Redis, such as one for an unknown command.
func isAnswer(err error) bool {
	_, ok := errors.AsType[redis.Error](err)
	return ok
}
