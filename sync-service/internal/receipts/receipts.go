// Package receipts moves members' cursors from the receipts streams of Redis into PostgreSQL.
//
// Nobody waits for it, since readers take the greater of Redis and PostgreSQL: so one goroutine goes round
// the partitions once a second, without a blocked read, folds what it finds to the maximum per member,
// stores that, and only then acknowledges. It takes some partitions at a time, evenly over the second: all at
// once would be a load of tens of milliseconds on PostgreSQL, which messages have to wait for. Entries may be
// stored again and in any order; any number of instances share the work. While a store is down it waits, with
// one read of all partitions in hand at most.
//
// It trims what is acknowledged, whatever its age, and gives the cursors that Redis holds of a channel an
// expiry once all of them are stored.
package receipts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/platform/outage"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/deadletter"
	"parley.chat/sync-service/internal/entryid"
	"parley.chat/sync-service/internal/group"
	"parley.chat/sync-service/internal/store"
)

// Config configures a Consumer. A zero optional field means its default.
type Config struct {
	// Name is this consumer's in the group: required, unlike that of any other instance, and the same
	// after a restart, so that it finds what is pending on it.
	Name       string
	Partitions int // required

	Every      time.Duration // default 1s: a round of all partitions, while there is no more than a read takes
	ClaimIdle  time.Duration // default 10s before entries of a silent consumer are claimed
	ClaimEvery time.Duration // default a fifth of ClaimIdle
	GoneAfter  time.Duration // default 5m before a silent consumer with nothing pending is removed
	KeepEvery  time.Duration // default 10s: streams are trimmed and cursors given their expiry
	SweepEvery time.Duration // default 1h: cursors whose expiry another instance has not come to set
	Expiry     time.Duration // default 7 days, of cursors of which all is stored

	RetryMin, RetryMax time.Duration // default 100ms, 5s: the bounds of the backoff

	Metrics *Metrics // required
	Logger  *slog.Logger
	Outages *outage.Log // default: one of its own, with Logger. A program has one for all its steps.
}

func (c *Config) setDefaults() {
	c.Every, c.ClaimIdle = cmp.Or(c.Every, time.Second), cmp.Or(c.ClaimIdle, 10*time.Second)
	c.ClaimEvery, c.GoneAfter = cmp.Or(c.ClaimEvery, c.ClaimIdle/5), cmp.Or(c.GoneAfter, 5*time.Minute)
	c.KeepEvery, c.SweepEvery = cmp.Or(c.KeepEvery, 10*time.Second), cmp.Or(c.SweepEvery, time.Hour)
	c.Expiry = cmp.Or(c.Expiry, 7*24*time.Hour)
	c.RetryMin, c.RetryMax = cmp.Or(c.RetryMin, 100*time.Millisecond), cmp.Or(c.RetryMax, 5*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	c.Outages = cmp.Or(c.Outages, outage.New(c.Logger, "storing is interrupted", "storing goes on"))
}

// Store is the part of store.Store that a Consumer needs.
type Store interface {
	RaiseCursors(ctx context.Context, cursors []store.Cursor) (int64, error)
}

// Consumer is one member of the consumer group of the receipts streams.
type Consumer struct {
	reads, rdb redis.UniversalClient
	store      Store
	cfg        Config
	m          *Metrics

	// settling are the channels, by partition, whose cursors have no expiry yet.
	settling []map[chat.ChannelID]struct{}
	// turn is whose turn it is in the round. It outlives errors: else those that come last might never be read.
	turn int
	// When the duties were done last.
	claimed, kept, swept time.Time
}

// New checks cfg and applies its defaults. It does no I/O and starts nothing. The clients and the store
// stay the caller's; reads must not retry by itself, since what it reads is not there a second time.
func New(reads, rdb redis.UniversalClient, s Store, cfg Config) (*Consumer, error) {
	if cfg.Name == "" || cfg.Partitions < 1 || cfg.Metrics == nil {
		return nil, errors.New("receipts: Name, Partitions and Metrics are required")
	}
	cfg.setDefaults()
	c := &Consumer{reads: reads, rdb: rdb, store: s, cfg: cfg, m: cfg.Metrics}
	c.settling = make([]map[chat.ChannelID]struct{}, cfg.Partitions)
	for p := range c.settling {
		c.settling[p] = map[chat.ChannelID]struct{}{}
	}
	return c, nil
}

// errStopped says that what is in hand stays pending, because the program ends.
var errStopped = errors.New("stopped while a store could not be reached")

// Run consumes until ctx is done, finishes the read in hand, and returns nil. Outages of Redis and of
// PostgreSQL are waited out.
func (c *Consumer) Run(ctx context.Context) error {
	retry := c.backoff()
	for ctx.Err() == nil {
		err := c.consume(ctx, retry)
		if err == nil || errors.Is(err, errStopped) || ctx.Err() != nil {
			break
		}
		c.m.retries.WithLabelValues("read").Inc()
		c.cfg.Outages.Failed(ctx, "receipts read", err, "tries", retry.Tries+1)
		retry.Wait(ctx)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	c.try(last, "expire", c.expire) // what this instance has noted, nobody else knows before the next sweep
	return nil
}

func (c *Consumer) backoff() *group.Backoff {
	return &group.Backoff{Min: c.cfg.RetryMin, Max: c.cfg.RetryMax}
}

// turnsMax bounds in how many turns a round goes: each costs three round trips.
const turnsMax = 8

// consume reads what is pending on this consumer, and then what is new, turn by turn. It begins anew
// after any error: a reply may have been lost, and with it entries that only the pending list still knows.
func (c *Consumer) consume(ctx context.Context, retry *group.Backoff) error {
	from := c.everywhere("0-0")
	for ctx.Err() == nil && len(from) > 0 {
		var err error
		if from, err = c.read(ctx, from); err != nil {
			return err
		}
	}
	retry.Reset()
	c.cfg.Outages.Worked(ctx, "receipts read")
	turns := min(c.cfg.Partitions, turnsMax)
	tick := time.NewTicker(max(c.cfg.Every/time.Duration(turns), time.Millisecond))
	defer tick.Stop()
	var behind map[int]string // read again at every turn, without a rest
	for ; ctx.Err() == nil; c.turn = (c.turn + 1) % turns {
		from := map[int]string{}
		for p := c.turn; p < c.cfg.Partitions; p += turns {
			from[p] = ">"
		}
		maps.Copy(from, behind)
		var err error
		behind, err = c.read(ctx, from)
		if err == nil && due(&c.claimed, c.cfg.ClaimEvery) {
			err = c.claim(ctx)
		}
		if err != nil {
			return err
		}
		c.keep(ctx)
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

func due(last *time.Time, every time.Duration) bool {
	if time.Since(*last) < every {
		return false
	}
	*last = time.Now()
	return true
}

// everywhere is the position of a read in all partitions.
func (c *Consumer) everywhere(position string) map[int]string {
	from := make(map[int]string, c.cfg.Partitions)
	for p := range c.cfg.Partitions {
		from[p] = position
	}
	return from
}

// readMax bounds what a read takes of a partition: an entry has up to 500 moves, so a read of all
// partitions holds some tens of MB at the worst.
const readMax = 64

// read reads in one round trip, after the positions given by partition, and stores what it has read. It
// returns where to read on: those partitions of which there may be more.
func (c *Consumer) read(ctx context.Context, from map[int]string) (map[int]string, error) {
	pipe := c.reads.Pipeline()
	replies := make(map[int]*redis.XStreamSliceCmd, len(from))
	for p, position := range from {
		replies[p] = pipe.XReadGroup(ctx, &redis.XReadGroupArgs{
			Group: rediskey.ConsumerGroup, Consumer: c.cfg.Name,
			Streams: []string{rediskey.Receipts(p), position}, Count: readMax, Block: -1,
		})
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	f, more := newFold(c.cfg.Partitions), map[int]string{}
	var errs []error
	for p, reply := range replies {
		streams, err := reply.Result()
		switch {
		case redis.HasErrorPrefix(err, "NOGROUP"):
			errs = append(errs, c.makeGroup(ctx, p))
			more[p] = from[p]
		case err != nil && !errors.Is(err, redis.Nil):
			errs = append(errs, fmt.Errorf("read the receipts of partition %d: %w", p, err))
		case len(streams) > 0:
			messages := streams[0].Messages
			for _, m := range messages {
				f.add(p, m)
			}
			if n := len(messages); n == readMax {
				if more[p] = from[p]; from[p] != ">" {
					more[p] = messages[n-1].ID
				}
			}
		}
	}
	// What was read is stored first, even if ctx has ended or another partition has failed.
	return more, errors.Join(append(errs, c.persist(ctx, f))...)
}

func (c *Consumer) makeGroup(ctx context.Context, p int) error {
	// From the start: what is stored and not trimmed yet is stored again, which changes nothing.
	made, err := group.Make(ctx, c.rdb, rediskey.Receipts(p), entryid.ID{})
	if made {
		c.cfg.Logger.Info("consumer group of receipts made", "partition", p)
	}
	return err
}

// claim stores what has been pending for too long on anyone, this consumer included.
func (c *Consumer) claim(ctx context.Context) error {
	for p := range c.cfg.Partitions {
		if err := group.Claim(ctx, c.rdb, rediskey.Receipts(p), c.cfg.Name, c.cfg.ClaimIdle, readMax, func(messages []redis.XMessage) error {
			f := newFold(c.cfg.Partitions)
			for _, m := range messages {
				f.add(p, m)
			}
			return c.persist(ctx, f)
		}); redis.HasErrorPrefix(err, "NOGROUP") {
			if err := c.makeGroup(ctx, p); err != nil {
				return err
			}
		} else if err != nil {
			return fmt.Errorf("claim receipts of partition %d: %w", p, err)
		}
	}
	return nil
}

// persist stores a fold and then acknowledges its entries, trying again until both are done or, after
// ctx ended, a try has failed. Nothing in a cursor is such that PostgreSQL could refuse it.
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
	if err := c.insist(ctx, "store", func(ctx context.Context) (err error) {
		raised, err = c.store.RaiseCursors(ctx, f.list())
		return err
	}); err != nil {
		return err
	}
	c.m.stored(f, raised, time.Since(began))
	if err := c.insist(ctx, "ack", func(ctx context.Context) error { return c.finish(ctx, f) }); err != nil {
		return err
	}
	for p, channels := range f.channels {
		for ch := range channels {
			c.settling[p][ch] = struct{}{}
		}
	}
	return nil
}

func (c *Consumer) insist(ctx context.Context, what string, f func(context.Context) error) error {
	if err := c.backoff().Insist(ctx, f, func(tries int, err error) {
		c.m.retries.WithLabelValues(what).Inc()
		c.cfg.Outages.Failed(ctx, "receipts "+what, err, "tries", tries)
	}); err != nil {
		return fmt.Errorf("%w: %w", errStopped, err)
	}
	c.cfg.Outages.Worked(ctx, "receipts "+what)
	return nil
}

// finish acknowledges what is stored and moves what cannot be read to the dead letters. It may be repeated.
func (c *Consumer) finish(ctx context.Context, f *fold) error {
	for _, l := range f.dead {
		moved, err := deadletter.Move(ctx, c.rdb, deadletter.Receipts, l.partition, l.id, l.reason)
		if err != nil {
			return err
		}
		if moved { // else by a try before, or by another consumer
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
