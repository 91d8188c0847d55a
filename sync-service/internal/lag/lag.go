// Package lag tells how far the consumer group has come with each partition. It only reads, and works
// beside any number of running instances.
package lag

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/entryid"
)

// Partition is the state of one partition.
type Partition struct {
	Partition int   `json:"partition"`
	Length    int64 `json:"length"` // entries in the stream, stored ones included
	// Lag counts the entries not yet delivered to the group; nil when Redis does not know. Pending ones
	// are counted apart.
	Lag           *int64     `json:"lag"`
	Pending       int64      `json:"pending"`
	OldestPending *string    `json:"oldest_pending"` // an entry id
	LagSeconds    float64    `json:"lag_seconds"`    // age of the oldest entry not stored
	Dead          int64      `json:"dead"`
	Bytes         int64      `json:"bytes"` // that the stream takes in Redis, by its own estimate
	Group         bool       `json:"group"` // whether the consumer group exists
	Delivered     string     `json:"last_delivered"`
	Watermark     string     `json:"watermark"` // as mirrored in Redis
	Consumers     []Consumer `json:"consumers"`
}

// Consumer is a member of the group.
type Consumer struct {
	Name    string  `json:"name"`
	Pending int64   `json:"pending"`
	Idle    float64 `json:"idle_seconds"`
}

// commands are what is asked of one partition.
type commands struct {
	stream    *redis.XInfoStreamCmd
	groups    *redis.XInfoGroupsCmd
	consumers *redis.XInfoConsumersCmd
	pending   *redis.XPendingCmd
	dead      *redis.IntCmd
	memory    *redis.IntCmd
	stored    *redis.StringCmd
	first     *redis.XMessageSliceCmd // the first entry not delivered
}

// Read asks for all partitions in two round trips.
func Read(ctx context.Context, rdb redis.UniversalClient, partitions int) ([]Partition, error) {
	all := make([]commands, partitions)
	pipe := rdb.Pipeline()
	for p := range all {
		stream := rediskey.Stream(p)
		all[p] = commands{
			stream:    pipe.XInfoStream(ctx, stream),
			groups:    pipe.XInfoGroups(ctx, stream),
			consumers: pipe.XInfoConsumers(ctx, stream, rediskey.ConsumerGroup),
			pending:   pipe.XPending(ctx, stream, rediskey.ConsumerGroup),
			dead:      pipe.XLen(ctx, rediskey.Dead(p)),
			memory:    pipe.MemoryUsage(ctx, stream),
			stored:    pipe.HGet(ctx, rediskey.Stored(p), "entry"),
		}
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	states := make([]Partition, partitions)
	for p := range all {
		if err := all[p].read(&states[p], p); err != nil {
			return nil, fmt.Errorf("look at partition %d: %w", p, err)
		}
	}
	pipe = rdb.Pipeline()
	for p := range states {
		all[p].first = pipe.XRangeN(ctx, rediskey.Stream(p), "("+states[p].Delivered, "+", 1)
	}
	_, _ = pipe.Exec(ctx)
	for p := range states {
		first, err := all[p].first.Result()
		if err != nil {
			return nil, fmt.Errorf("look at partition %d: %w", p, err)
		}
		states[p].age(first)
	}
	return states, nil
}

// read takes the answers in. A stream or a group that is not there yet is no error.
func (c *commands) read(s *Partition, p int) error {
	*s = Partition{Partition: p, Delivered: "0-0", Watermark: "0-0", Consumers: []Consumer{}}
	for _, cmd := range []redis.Cmder{c.stream, c.groups, c.consumers, c.pending, c.dead, c.memory, c.stored} {
		if err := cmd.Err(); err != nil && !absent(err) {
			return err
		}
	}
	s.Dead, s.Bytes = c.dead.Val(), c.memory.Val()
	if mark := c.stored.Val(); mark != "" {
		s.Watermark = mark
	}
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

func absent(err error) bool {
	return errors.Is(err, redis.Nil) || redis.HasErrorPrefix(err, "NOGROUP") || strings.Contains(err.Error(), "no such key")
}

// age sets LagSeconds from the oldest pending entry and the first one not delivered.
func (s *Partition) age(undelivered []redis.XMessage) {
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
