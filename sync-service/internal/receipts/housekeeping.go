package receipts

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"sync"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/group"
	"parley.chat/sync-service/internal/scan"
	"parley.chat/sync-service/internal/streamworker"
)

//go:embed expire.lua
var expireSource string

var expireScript = group.Script(expireSource)

// Limits per call of expire.lua. They bound how long a call blocks Redis.
const (
	channelsPerCall = 100
	waitingPerCall  = 200
)

// housekeeping runs the periodic tasks that are due. A task that fails runs again at its next
// interval.
func (c *Consumer) housekeeping(ctx context.Context) {
	if !streamworker.Due(&c.housekept, c.cfg.HousekeepingInterval) {
		return
	}
	if streamworker.Due(&c.swept, c.cfg.SweepInterval) {
		c.work.RareTask(ctx, "sweep", c.sweep)
	}
	c.work.Task(ctx, "expire", c.expire)
	c.work.Task(ctx, "trim", c.trim)
	c.work.Task(ctx, "reap", c.reap)
}

// expire sets the expiry of the recorded channels' receipts in Redis. A channel remains recorded
// until all its receipts are stored.
func (c *Consumer) expire(ctx context.Context) error {
	for p, recorded := range c.unexpired {
		channels := slices.Collect(maps.Keys(recorded))
		var calls []group.Call
		for some := range slices.Chunk(channels, channelsPerCall) {
			keys := append(make([]string, 0, len(some)+1), rediskey.Receipts(p))
			args := []any{rediskey.ConsumerGroup, c.cfg.Expiry.Milliseconds(), waitingPerCall}
			for _, ch := range some {
				keys, args = append(keys, rediskey.Cursor(p, ch)), append(args, ch.String())
			}
			calls = append(calls, group.Call{Keys: keys, Args: args})
		}
		answers, err := group.RunAll(ctx, c.rdb, expireScript, calls)
		if err != nil {
			return fmt.Errorf("set the expiry of receipts of partition %d: %w", p, err)
		}
		next := 0
		for _, answer := range answers {
			for _, done := range answer.([]any) {
				if done == int64(1) {
					delete(recorded, channels[next])
				}
				next++
			}
		}
	}
	return nil
}

// sweep records all channels that have receipts in Redis. Otherwise, receipts would stay in Redis
// forever if an instance died after storing them and before setting their expiry.
func (c *Consumer) sweep(ctx context.Context) error {
	var mu sync.Mutex // in Redis Cluster, several nodes are scanned at the same time
	return scan.Channels(ctx, c.rdb, c.cfg.Partitions, rediskey.Cursor, func(p int, ch chat.ChannelID) {
		mu.Lock()
		defer mu.Unlock()
		c.unexpired[p][ch] = struct{}{}
	})
}

// trim removes all acknowledged entries, regardless of their age: PostgreSQL has their receipts,
// and nothing reads them again.
func (c *Consumer) trim(ctx context.Context) error {
	for p := range c.cfg.Partitions {
		for {
			// The choice of entries depends only on the state of the consumer group. If Redis loses
			// that state, it loses the acknowledgements too, and the entries that remain are stored
			// again.
			step, err := group.Trim(ctx, c.rdb, rediskey.Receipts(p), scan.Last, group.Limits{At: 1}, false)
			if err != nil {
				return err
			}
			c.m.trimmed.Add(float64(step.Removed))
			if !step.More {
				break
			}
		}
	}
	return nil
}

func (c *Consumer) reap(ctx context.Context) error {
	_, err := c.work.Reap(ctx)
	return err
}
