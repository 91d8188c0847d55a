package receipts

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/group"
	"parley.chat/sync-service/internal/scan"
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
	if !due(&c.housekept, c.cfg.HousekeepingInterval) {
		return
	}
	if due(&c.swept, c.cfg.SweepInterval) {
		c.runTask(ctx, sweepStep, c.sweep)
	}
	c.runTask(ctx, "expire", c.expire)
	c.runTask(ctx, "trim", c.trim)
	c.runTask(ctx, "reap", c.reap)
}

const sweepStep = "sweep"

func (c *Consumer) runTask(ctx context.Context, what string, task func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err := task(ctx)
	switch {
	case err == nil:
		c.cfg.Outages.Worked(ctx, "receipts "+what)
	case ctx.Err() == nil:
		c.m.retries.WithLabelValues(what).Inc()
		if what == sweepStep { // it runs again in an hour, so it cannot report the end of an outage
			c.cfg.Logger.WarnContext(ctx, "failed to sweep receipts", "err", err)
			return
		}
		c.cfg.Outages.Failed(ctx, "receipts "+what, err)
	}
}

// expire sets the expiry of the recorded channels' receipts in Redis. A channel whose receipts are
// not all stored stays recorded.
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

// sweep records all channels that have receipts in Redis. Without it, if an instance died between
// storing receipts and setting their expiry, they would stay in Redis forever.
func (c *Consumer) sweep(ctx context.Context) error {
	var mu sync.Mutex // a Cluster scans several nodes at the same time
	return scan.Channels(ctx, c.rdb, c.cfg.Partitions, rediskey.Cursor, func(p int, ch chat.ChannelID) {
		mu.Lock()
		defer mu.Unlock()
		c.unexpired[p][ch] = struct{}{}
	})
}

// trim removes all acknowledged entries, whatever their age: PostgreSQL has their receipts, and
// nothing reads them again.
func (c *Consumer) trim(ctx context.Context) error {
	for p := range c.cfg.Partitions {
		for {
			// The bound depends only on the state of the group. If Redis loses that state, it loses
			// the acknowledgements too, and the entries that remain are stored again.
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
	for p := range c.cfg.Partitions {
		names, err := group.Reap(ctx, c.rdb, rediskey.Receipts(p), c.cfg.Name, c.cfg.ConsumerExpiry)
		if err != nil {
			return err
		}
		for _, name := range names {
			c.cfg.Logger.InfoContext(ctx, "receipts consumer removed", "partition", p, "consumer", name)
		}
	}
	return nil
}
