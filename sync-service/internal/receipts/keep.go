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

// Bounds of one call of the script, and so of the time for which it holds up Redis.
const (
	channelsPerCall = 100
	waitingPerCall  = 200
)

// keep does what is due beside storing. What fails is done when its turn comes again.
func (c *Consumer) keep(ctx context.Context) {
	if !due(&c.kept, c.cfg.KeepEvery) {
		return
	}
	if due(&c.swept, c.cfg.SweepEvery) {
		c.try(ctx, sweepStep, c.sweep)
	}
	c.try(ctx, "expire", c.expire)
	c.try(ctx, "trim", c.trim)
	c.try(ctx, "reap", c.reap)
}

const sweepStep = "sweep"

func (c *Consumer) try(ctx context.Context, what string, duty func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err := duty(ctx)
	switch {
	case err == nil:
		c.cfg.Outages.Worked(ctx, "receipts "+what)
	case ctx.Err() == nil:
		c.m.retries.WithLabelValues(what).Inc()
		if what == sweepStep { // its turn comes in an hour, long after the end of an outage
			c.cfg.Logger.WarnContext(ctx, "cursors not swept", "err", err)
			return
		}
		c.cfg.Outages.Failed(ctx, "receipts "+what, err)
	}
}

// expire gives the cursors of the channels noted their expiry. A channel with moves that wait stays noted.
func (c *Consumer) expire(ctx context.Context) error {
	for p, noted := range c.settling {
		channels := slices.Collect(maps.Keys(noted))
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
			return fmt.Errorf("let cursors of partition %d expire: %w", p, err)
		}
		next := 0
		for _, answer := range answers {
			for _, done := range answer.([]any) {
				if done == int64(1) {
					delete(noted, channels[next])
				}
				next++
			}
		}
	}
	return nil
}

// sweep notes all channels that have cursors: those of an instance that has died between storing and
// expiring would stay for ever.
func (c *Consumer) sweep(ctx context.Context) error {
	var mu sync.Mutex // of a Cluster, several servers are asked at once
	return scan.Channels(ctx, c.rdb, c.cfg.Partitions, rediskey.Cursor, func(p int, ch chat.ChannelID) {
		mu.Lock()
		defer mu.Unlock()
		c.settling[p][ch] = struct{}{}
	})
}

// trim removes what is acknowledged, whatever its age: what was read is in PostgreSQL, and there is no
// use for it again.
func (c *Consumer) trim(ctx context.Context) error {
	for p := range c.cfg.Partitions {
		for {
			// The state of the group alone is the bound: when Redis loses it, it loses the acknowledgements,
			// and what is left of the stream is stored again.
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
		names, err := group.Reap(ctx, c.rdb, rediskey.Receipts(p), c.cfg.Name, c.cfg.GoneAfter)
		if err != nil {
			return err
		}
		for _, name := range names {
			c.cfg.Logger.InfoContext(ctx, "consumer of receipts removed", "partition", p, "consumer", name)
		}
	}
	return nil
}
