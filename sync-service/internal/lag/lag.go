// Package lag reports the progress of the consumer group in each partition. It only reads from
// Redis, so it may be used while any number of instances are running.
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

// Partition is the state of one partition. The embedded Stream describes its stream of events.
type Partition struct {
	Partition int `json:"partition"`
	Stream
	Dead      int64  `json:"dead"`
	Watermark string `json:"watermark"` // the mirror of the events' watermark in Redis
	Receipts  Stream `json:"receipts"`
	// Lost is when a loss of the partition's writes in Redis was last detected; nil if never.
	Lost *time.Time `json:"lost,omitempty"`
}

// Stream is the group's progress in one stream.
type Stream struct {
	Length int64 `json:"length"` // entries in the stream, including stored ones
	// Lag is the number of entries not yet delivered to the group, or nil if Redis does not know
	// it. It does not include pending entries.
	Lag           *int64     `json:"lag"`
	Pending       int64      `json:"pending"`
	OldestPending *string    `json:"oldest_pending"` // an entry id
	LagSeconds    float64    `json:"lag_seconds"`    // age of the oldest entry that is not stored yet
	Bytes         int64      `json:"bytes"`          // memory of the stream, as estimated by Redis
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

// commands holds the pipelined queries for one stream.
type commands struct {
	name      string
	stream    *redis.XInfoStreamCmd
	groups    *redis.XInfoGroupsCmd
	consumers *redis.XInfoConsumersCmd
	pending   *redis.XPendingCmd
	memory    *redis.IntCmd
	first     *redis.XMessageSliceCmd // the first undelivered entry
	mark      *redis.StringCmd        // number of entries up to the mirrored watermark; nil for a receipts stream
}

// Read returns the state of all partitions, using two round trips.
func Read(ctx context.Context, rdb redis.UniversalClient, partitions int) ([]Partition, error) {
	states := make([]Partition, partitions)
	dead, stored, lost := make([]*redis.IntCmd, partitions), make([]*redis.StringCmd, partitions), make([]*redis.StringCmd, partitions)
	all := make([]commands, 0, 2*partitions)
	pipe := rdb.Pipeline()
	for p := range states {
		dead[p], stored[p] = pipe.XLen(ctx, rediskey.Dead(p)), pipe.HGet(ctx, rediskey.Stored(p), "entry")
		lost[p] = pipe.HGet(ctx, rediskey.Stored(p), "lost")
		events := query(ctx, pipe, rediskey.Stream(p))
		events.mark = pipe.HGet(ctx, rediskey.Stored(p), "added")
		all = append(all, events, query(ctx, pipe, rediskey.Receipts(p)))
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	pipe = rdb.Pipeline()
	for p := range states {
		states[p] = Partition{Partition: p, Dead: dead[p].Val(), Watermark: cmp.Or(stored[p].Val(), "0-0")}
		if err := errors.Join(ignoreMissing(dead[p].Err()), ignoreMissing(stored[p].Err()), ignoreMissing(lost[p].Err())); err != nil {
			return nil, fmt.Errorf("inspect partition %d: %w", p, err)
		}
		if ms, err := lost[p].Int64(); err == nil {
			at := time.UnixMilli(ms).UTC()
			states[p].Lost = &at
		}
		for i, s := range []*Stream{&states[p].Stream, &states[p].Receipts} {
			c := &all[2*p+i]
			if err := c.parse(s); err != nil {
				return nil, fmt.Errorf("inspect %s: %w", c.name, err)
			}
			c.first = pipe.XRangeN(ctx, c.name, "("+s.Delivered, "+", 1)
		}
	}
	_, _ = pipe.Exec(ctx)
	for p := range states {
		for i, s := range []*Stream{&states[p].Stream, &states[p].Receipts} {
			first, err := all[2*p+i].first.Result()
			if err != nil {
				return nil, fmt.Errorf("inspect %s: %w", all[2*p+i].name, err)
			}
			all[2*p+i].correctLag(s, len(first) > 0)
			s.setAge(first)
		}
	}
	return states, nil
}

func query(ctx context.Context, pipe redis.Pipeliner, name string) commands {
	return commands{
		name:      name,
		stream:    pipe.XInfoStream(ctx, name),
		groups:    pipe.XInfoGroups(ctx, name),
		consumers: pipe.XInfoConsumers(ctx, name, rediskey.ConsumerGroup),
		pending:   pipe.XPending(ctx, name, rediskey.ConsumerGroup),
		memory:    pipe.MemoryUsage(ctx, name),
	}
}

// parse sets the fields of s from the replies. A missing stream or group is not an error.
func (c *commands) parse(s *Stream) error {
	*s = Stream{Delivered: "0-0", Consumers: []Consumer{}}
	cmds := []redis.Cmder{c.stream, c.groups, c.consumers, c.pending, c.memory}
	if c.mark != nil {
		cmds = append(cmds, c.mark)
	}
	for _, cmd := range cmds {
		if err := ignoreMissing(cmd.Err()); err != nil {
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
		s.Lag = &s.Length // no entry was delivered
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

// correctLag corrects the lag that Redis derives from the group's entries-read. Redis neither
// replicates entries-read nor writes it to the append-only file, so after a failover or a restart
// the value may be too low, but never too high. undelivered is true if at least one entry is
// undelivered.
func (c *commands) correctLag(s *Stream, undelivered bool) {
	if s.Lag == nil || !s.Group {
		return
	}
	lag := min(*s.Lag, s.Length)
	if info := c.stream.Val(); info != nil && c.mark != nil {
		// Entries above the watermark are pending or undelivered.
		if added, err := c.mark.Int64(); err == nil && added <= info.EntriesAdded {
			lag = min(lag, info.EntriesAdded-added-s.Pending)
		}
	}
	if undelivered {
		lag = max(lag, 1)
	} else {
		lag = 0
	}
	s.Lag = &lag
}

// ignoreMissing returns err, or nil if err means that the key or group does not exist.
func ignoreMissing(err error) error {
	if err == nil || errors.Is(err, redis.Nil) || redis.HasErrorPrefix(err, "NOGROUP") || strings.Contains(err.Error(), "no such key") {
		return nil
	}
	return err
}

// setAge sets LagSeconds from the oldest pending entry or, if there is none, from the first
// undelivered entry.
func (s *Stream) setAge(undelivered []redis.XMessage) {
	oldest := ""
	if len(undelivered) > 0 {
		oldest = undelivered[0].ID
	} else if s.Lag == nil {
		s.Lag = new(int64) // Redis does not know the lag, but every entry has been delivered
	}
	if s.OldestPending != nil {
		oldest = *s.OldestPending // older than every undelivered entry
	}
	if id, err := entryid.Parse(oldest); err == nil {
		s.LagSeconds = max(0, time.Since(id.Time()).Seconds())
	}
}
