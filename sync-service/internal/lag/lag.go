// Package lag tells how far the consumer group has come with each partition. It only reads, and works
// beside any number of running instances.
package lag

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/entryid"
)

// Partition is the state of one partition. What stands directly in it is that of the stream of events.
type Partition struct {
	Partition int `json:"partition"`
	Stream
	Dead      int64  `json:"dead"`
	Watermark string `json:"watermark"` // of the events, as mirrored in Redis
	Receipts  Stream `json:"receipts"`
	// Lost is when Redis was last found to have lost writes of the partition; nil for never.
	Lost *time.Time `json:"lost,omitempty"`
}

// Stream is how far the group has come with one stream.
type Stream struct {
	Length int64 `json:"length"` // entries in the stream, stored ones included
	// Lag counts the entries not yet delivered to the group; nil when Redis does not know. Pending ones
	// are counted apart.
	Lag           *int64     `json:"lag"`
	Pending       int64      `json:"pending"`
	OldestPending *string    `json:"oldest_pending"` // an entry id
	LagSeconds    float64    `json:"lag_seconds"`    // age of the oldest entry not stored
	Bytes         int64      `json:"bytes"`          // that the stream takes in Redis, by its own estimate
	Group         bool       `json:"group"`          // whether the consumer group exists
	Delivered     string     `json:"last_delivered"`
	Consumers     []Consumer `json:"consumers"`
}

// Consumer is a member of the group.
type Consumer struct {
	Name    string  `json:"name"`
	Pending int64   `json:"pending"`
	Idle    float64 `json:"idle_seconds"`
}

// commands are what is asked of one stream.
type commands struct {
	name      string
	stream    *redis.XInfoStreamCmd
	groups    *redis.XInfoGroupsCmd
	consumers *redis.XInfoConsumersCmd
	pending   *redis.XPendingCmd
	memory    *redis.IntCmd
	first     *redis.XMessageSliceCmd // the first entry not delivered
	mark      *redis.StringCmd        // how many entries were added up to the mirrored watermark; nil for receipts
}

// Read asks for all partitions in two round trips.
func Read(ctx context.Context, rdb redis.UniversalClient, partitions int) ([]Partition, error) {
	states := make([]Partition, partitions)
	dead, stored, lost := make([]*redis.IntCmd, partitions), make([]*redis.StringCmd, partitions), make([]*redis.StringCmd, partitions)
	all := make([]commands, 0, 2*partitions)
	pipe := rdb.Pipeline()
	for p := range states {
		dead[p], stored[p] = pipe.XLen(ctx, rediskey.Dead(p)), pipe.HGet(ctx, rediskey.Stored(p), "entry")
		lost[p] = pipe.HGet(ctx, rediskey.Stored(p), "lost")
		events := ask(ctx, pipe, rediskey.Stream(p))
		events.mark = pipe.HGet(ctx, rediskey.Stored(p), "added")
		all = append(all, events, ask(ctx, pipe, rediskey.Receipts(p)))
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	pipe = rdb.Pipeline()
	for p := range states {
		states[p] = Partition{Partition: p, Dead: dead[p].Val(), Watermark: cmp.Or(stored[p].Val(), "0-0")}
		if err := errors.Join(present(dead[p].Err()), present(stored[p].Err()), present(lost[p].Err())); err != nil {
			return nil, fmt.Errorf("look at partition %d: %w", p, err)
		}
		if ms, err := lost[p].Int64(); err == nil {
			at := time.UnixMilli(ms).UTC()
			states[p].Lost = &at
		}
		for i, s := range []*Stream{&states[p].Stream, &states[p].Receipts} {
			c := &all[2*p+i]
			if err := c.read(s); err != nil {
				return nil, fmt.Errorf("look at %s: %w", c.name, err)
			}
			c.first = pipe.XRangeN(ctx, c.name, "("+s.Delivered, "+", 1)
		}
	}
	_, _ = pipe.Exec(ctx)
	for p := range states {
		for i, s := range []*Stream{&states[p].Stream, &states[p].Receipts} {
			first, err := all[2*p+i].first.Result()
			if err != nil {
				return nil, fmt.Errorf("look at %s: %w", all[2*p+i].name, err)
			}
			all[2*p+i].bound(s, len(first) > 0)
			s.age(first)
		}
	}
	return states, nil
}

func ask(ctx context.Context, pipe redis.Pipeliner, name string) commands {
	return commands{
		name:      name,
		stream:    pipe.XInfoStream(ctx, name),
		groups:    pipe.XInfoGroups(ctx, name),
		consumers: pipe.XInfoConsumers(ctx, name, rediskey.ConsumerGroup),
		pending:   pipe.XPending(ctx, name, rediskey.ConsumerGroup),
		memory:    pipe.MemoryUsage(ctx, name),
	}
}

// read takes the answers in. A stream or a group that is not there yet is no error.
func (c *commands) read(s *Stream) error {
	*s = Stream{Delivered: "0-0", Consumers: []Consumer{}}
	cmds := []redis.Cmder{c.stream, c.groups, c.consumers, c.pending, c.memory}
	if c.mark != nil {
		cmds = append(cmds, c.mark)
	}
	for _, cmd := range cmds {
		if err := present(cmd.Err()); err != nil {
			return err
		}
	}
	s.Bytes = c.memory.Val()
	if info := c.stream.Val(); info != nil {
		s.Length = info.Length
	}
	for _, g := range c.groups.Val() {
		if g.Name != rediskey.ConsumerGroup {
			continue
		}
		s.Group, s.Delivered = true, g.LastDeliveredID
		if g.Lag >= 0 {
			s.Lag = &g.Lag
		}
	}
	if !s.Group {
		s.Lag = &s.Length // nothing of it was delivered
		return nil
	}
	if pending := c.pending.Val(); pending != nil && pending.Count > 0 {
		s.Pending, s.OldestPending = pending.Count, &pending.Lower
	}
	for _, m := range c.consumers.Val() {
		s.Consumers = append(s.Consumers, Consumer{Name: m.Name, Pending: m.Pending, Idle: m.Idle.Seconds()})
	}
	return nil
}

// bound corrects the lag that Redis computes from the group's entries-read. That count is neither replicated
// nor in the append-only file, so after a failover or a restart it may be too low, and never too high.
// waits says whether there is an entry that was not delivered.
func (c *commands) bound(s *Stream, waits bool) {
	if s.Lag == nil || !s.Group {
		return
	}
	most := min(*s.Lag, s.Length)
	if info := c.stream.Val(); info != nil && c.mark != nil {
		// What lies above the watermark is pending or not delivered.
		if added, err := c.mark.Int64(); err == nil && added <= info.EntriesAdded {
			most = min(most, info.EntriesAdded-added-s.Pending)
		}
	}
	if waits {
		most = max(most, 1)
	} else {
		most = 0
	}
	s.Lag = &most
}

// present returns err unless it says that something is not there.
func present(err error) error {
	if err == nil || errors.Is(err, redis.Nil) || redis.HasErrorPrefix(err, "NOGROUP") || strings.Contains(err.Error(), "no such key") {
		return nil
	}
	return err
}

// age sets LagSeconds from the oldest pending entry and the first one not delivered.
func (s *Stream) age(undelivered []redis.XMessage) {
	oldest := ""
	if len(undelivered) > 0 {
		oldest = undelivered[0].ID
	} else if s.Lag == nil {
		s.Lag = new(int64) // Redis does not know, but there is nothing to deliver
	}
	if s.OldestPending != nil {
		oldest = *s.OldestPending // delivered before anything that is not
	}
	if id, err := entryid.Parse(oldest); err == nil {
		s.LagSeconds = max(0, time.Since(id.Time()).Seconds())
	}
}
