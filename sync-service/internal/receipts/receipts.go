// Package receipts reads members' receipts (delivered and read positions) from the receipts streams
// in Redis and stores them in PostgreSQL.
//
// Receipts may be stored late, because readers use the greater of the receipts in Redis and
// PostgreSQL. So one goroutine reads all partitions once a second, using non-blocking reads. It
// reduces the receipts to the maximum per member, stores them, and only then acknowledges the
// entries. It reads a few partitions at a time, spread evenly over the second, because storing all
// receipts in one transaction would occupy PostgreSQL for tens of milliseconds and delay messages.
// Entries may be stored again and in any order, and any number of instances share the work. While
// Redis or PostgreSQL is down, the goroutine waits. The entries that it holds in memory come from
// at most one read per partition.
//
// It trims all acknowledged entries, regardless of their age. Once all of a channel's receipts are
// stored, it sets an expiry on the copy in Redis.
package receipts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/deadletter"
	"parley.chat/sync-service/internal/group"
	"parley.chat/sync-service/internal/store"
	"parley.chat/sync-service/internal/streamworker"
)

// Config configures a Consumer. If an optional field is zero, its default is used.
type Config struct {
	streamworker.Config

	Interval             time.Duration // default 1s: how often all partitions are read; a partition with a backlog is read without a pause
	HousekeepingInterval time.Duration // default 10s: how often streams are trimmed and expiries are set
	SweepInterval        time.Duration // default 1h: how often to look for receipts on which another instance failed to set an expiry
	Expiry               time.Duration // default 7 days: how long Redis keeps a channel's receipts after the last one is stored

	Metrics *Metrics // required
}

func (c *Config) setDefaults() {
	c.Config.SetDefaults()
	c.Interval, c.Expiry = cmp.Or(c.Interval, time.Second), cmp.Or(c.Expiry, 7*24*time.Hour)
	c.HousekeepingInterval, c.SweepInterval = cmp.Or(c.HousekeepingInterval, 10*time.Second), cmp.Or(c.SweepInterval, time.Hour)
}

// Store is the part of store.Store that a Consumer needs.
type Store interface {
	RaiseReceipts(ctx context.Context, cursors []store.Receipt) (int64, error)
}

// Consumer is one consumer in the consumer group of the receipts streams.
type Consumer struct {
	reads, rdb redis.UniversalClient
	store      Store
	cfg        Config
	m          *Metrics
	work       *streamworker.Worker

	// unexpired holds the channels, by partition, whose receipts in Redis have no expiry yet.
	unexpired []map[chat.ChannelID]struct{}
	// slot is the index of the set of partitions to read next. It does not restart at 0 after an
	// error, because otherwise a recurring error could keep the last sets from ever being read.
	slot int
	// The times at which the periodic tasks last ran.
	claimed, housekept, swept time.Time
}

// New checks cfg and applies its defaults. It does no I/O and starts no goroutines. The caller
// keeps ownership of the clients and the store. The client `reads` must not retry commands by
// itself: entries in a lost reply are already pending, and a second read would skip them.
func New(reads, rdb redis.UniversalClient, s Store, cfg Config) (*Consumer, error) {
	if cfg.Metrics == nil {
		return nil, errors.New("receipts: Metrics is required")
	}
	cfg.setDefaults()
	// A new consumer group begins at the start of its stream. Storing entries again has no effect.
	streams := streamworker.Streams{Key: rediskey.Receipts, StepPrefix: "receipts ", Retries: cfg.Metrics.retries}
	work, err := streamworker.New(rdb, streams, cfg.Config)
	if err != nil {
		return nil, fmt.Errorf("receipts: %w", err)
	}
	c := &Consumer{reads: reads, rdb: rdb, store: s, cfg: cfg, m: cfg.Metrics, work: work}
	c.unexpired = make([]map[chat.ChannelID]struct{}, cfg.Partitions)
	for p := range c.unexpired {
		c.unexpired[p] = map[chat.ChannelID]struct{}{}
	}
	return c, nil
}

// Run stores receipts until ctx is done, finishes the current read, and returns nil. If Redis or
// PostgreSQL is down, it waits and retries.
func (c *Consumer) Run(ctx context.Context) error {
	c.work.Run(ctx, c.consume)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	c.work.Task(last, "expire", c.expire) // other instances learn of these channels only at their next sweep
	return nil
}

// maxSlots is the maximum number of slots into which the partitions are divided. Each slot costs
// three round trips per interval.
const maxSlots = 8

// consume reads the entries pending for this consumer and then new entries, one slot of partitions
// at a time.
func (c *Consumer) consume(ctx context.Context, caughtUp func()) error {
	from := c.allPartitions("0-0")
	for ctx.Err() == nil && len(from) > 0 {
		var err error
		if from, err = c.read(ctx, from); err != nil {
			return err
		}
	}
	caughtUp()
	slots := min(c.cfg.Partitions, maxSlots)
	tick := time.NewTicker(max(c.cfg.Interval/time.Duration(slots), time.Millisecond))
	defer tick.Stop()
	var behind map[int]string // partitions with a backlog: read again immediately
	for ; ctx.Err() == nil; c.slot = (c.slot + 1) % slots {
		from := map[int]string{}
		for p := c.slot; p < c.cfg.Partitions; p += slots {
			from[p] = ">"
		}
		maps.Copy(from, behind)
		var err error
		behind, err = c.read(ctx, from)
		if err == nil && streamworker.Due(&c.claimed, c.cfg.ClaimInterval) {
			err = c.claim(ctx)
		}
		if err != nil {
			return err
		}
		c.housekeeping(ctx)
		if len(behind) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return nil
}

// allPartitions returns a map from every partition to the given position.
func (c *Consumer) allPartitions(position string) map[int]string {
	from := make(map[int]string, c.cfg.Partitions)
	for p := range c.cfg.Partitions {
		from[p] = position
	}
	return from
}

// maxRead is the maximum number of entries that one read returns per partition. An entry contains
// up to 500 receipts, so a read of all partitions needs at most a few tens of MB.
const maxRead = 64

// read reads several partitions in one round trip and stores the entries. The keys of from are
// partitions, and the values are the positions after which to start. The returned map has the same
// form and contains the partitions that may have more entries.
func (c *Consumer) read(ctx context.Context, from map[int]string) (map[int]string, error) {
	pipe := c.reads.Pipeline()
	replies := make(map[int]*redis.XStreamSliceCmd, len(from))
	for p, position := range from {
		replies[p] = pipe.XReadGroup(ctx, &redis.XReadGroupArgs{
			Group: rediskey.ConsumerGroup, Consumer: c.cfg.Name,
			Streams: []string{rediskey.Receipts(p), position}, Count: maxRead, Block: -1,
		})
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	f, more := newFold(c.cfg.Partitions), map[int]string{}
	var errs []error
	for p, reply := range replies {
		streams, err := reply.Result()
		switch {
		case redis.HasErrorPrefix(err, "NOGROUP"):
			errs = append(errs, c.work.CreateGroup(ctx, p))
			more[p] = from[p]
		case err != nil && !errors.Is(err, redis.Nil):
			errs = append(errs, fmt.Errorf("read the receipts of partition %d: %w", p, err))
		case len(streams) > 0:
			messages := streams[0].Messages
			for _, m := range messages {
				f.add(p, m)
			}
			if n := len(messages); n == maxRead {
				if more[p] = from[p]; from[p] != ">" {
					more[p] = messages[n-1].ID
				}
			}
		}
	}
	// First store the entries that were read, even if ctx is canceled or reading another partition
	// failed.
	return more, errors.Join(append(errs, c.persist(ctx, f))...)
}

// claim takes over and stores entries that any consumer, including this one, has left pending for
// too long.
func (c *Consumer) claim(ctx context.Context) error {
	for p := range c.cfg.Partitions {
		if err := c.work.Claim(ctx, p, maxRead, func(messages []redis.XMessage) error {
			f := newFold(c.cfg.Partitions)
			for _, m := range messages {
				f.add(p, m)
			}
			return c.persist(ctx, f)
		}); redis.HasErrorPrefix(err, "NOGROUP") {
			if err := c.work.CreateGroup(ctx, p); err != nil {
				return err
			}
		} else if err != nil {
			return fmt.Errorf("claim receipts of partition %d: %w", p, err)
		}
	}
	return nil
}

// persist stores the folded receipts and then acknowledges their entries. It retries until both
// succeed or, once ctx is canceled, until an attempt fails. PostgreSQL has no reason to refuse a
// receipt, so nothing is rejected here.
func (c *Consumer) persist(ctx context.Context, f *fold) error {
	c.m.newer.Add(float64(f.newer))
	if f.newer > 0 {
		c.cfg.Logger.Warn("receipts of a newer version stay pending: upgrade sync-service", "entries", f.newer)
	}
	if f.vanished > 0 {
		c.cfg.Logger.Warn("pending receipts are not in the stream", "entries", f.vanished)
	}
	if f.empty() {
		return nil
	}
	began, raised := time.Now(), int64(0)
	if err := c.work.Retry(ctx, "store", func(ctx context.Context) (err error) {
		raised, err = c.store.RaiseReceipts(ctx, f.list())
		return err
	}); err != nil {
		return err
	}
	c.m.stored(f, raised, time.Since(began))
	if err := c.work.Retry(ctx, "ack", func(ctx context.Context) error { return c.finish(ctx, f) }); err != nil {
		return err
	}
	for p, channels := range f.channels {
		for ch := range channels {
			c.unexpired[p][ch] = struct{}{}
		}
	}
	return nil
}

// finish moves the entries that cannot be stored to the dead-letter stream and acknowledges the
// stored ones. It may be repeated.
func (c *Consumer) finish(ctx context.Context, f *fold) error {
	for _, l := range f.dead {
		moved, err := deadletter.Move(ctx, c.rdb, deadletter.Receipts, l.partition, l.id, l.reason)
		if err != nil {
			return err
		}
		if moved { // if false, an earlier attempt or another consumer has moved the entry
			c.m.dead.Inc()
			c.cfg.Logger.WarnContext(ctx, "receipts moved to the dead letters", "partition", l.partition, "entry_id", l.id, "reason", l.reason)
		}
	}
	acks := make([]group.Acks, 0, len(f.done))
	for p, ids := range f.done {
		acks = append(acks, group.Acks{Stream: rediskey.Receipts(p), IDs: ids})
	}
	_, err := group.Ack(ctx, c.rdb, acks)
	return err
}
