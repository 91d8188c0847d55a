// Package consumer moves events from the streams of Redis into PostgreSQL.
//
// Each partition has one reader, which has one chunk of entries out at a time; writers gather the chunks
// of several partitions into one transaction, and acknowledge after its commit. So an entry is either
// pending or stored, memory is bounded by the number of partitions, and while PostgreSQL is down the
// readers simply wait. A keeper raises the watermarks, cuts the tails, trims the streams and removes
// consumers that are gone.
//
// Goroutines: Run owns them all, one reader per partition, Config.Writers writers, one keeper.
package consumer

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/msgtrace"
	"parley.chat/internal/platform/outage"
	"parley.chat/shared-contracts/event"
	"parley.chat/sync-service/internal/store"
)

// Config configures a Consumer. A zero optional field means its default.
type Config struct {
	// Name is this consumer's in the group: required, unlike that of any other instance, and the same
	// after a restart, so that it finds what is pending on it.
	Name       string
	Partitions int // required

	BatchMax  int           // default 5000: entries from which a transaction waits for no more
	BatchWait time.Duration // default 40ms: how long the first chunk of a transaction waits for others, and from read to read
	Writers   int           // default 2: transactions at a time

	Block      time.Duration // default 1s; bounds the shutdown: go-redis does not interrupt a blocked read
	ClaimIdle  time.Duration // default 10s before entries of a silent consumer are claimed
	ClaimEvery time.Duration // default a fifth of ClaimIdle
	GoneAfter  time.Duration // default 5m before a silent consumer with nothing pending is removed

	SettleEvery time.Duration // default 500ms: watermarks
	AskEvery    time.Duration // default 10s: watermarks that another instance has left behind
	TailEvery   time.Duration // default 2s: tails
	SweepEvery  time.Duration // default 1h: tails that another instance has left behind
	TrimEvery   time.Duration // default 10s: streams
	Retention   time.Duration // default 72h
	TrimAt      float64       // default 1: never; the share of maxmemory past which the retention does not count
	TailKeep    int           // default 500 items
	TailExpiry  time.Duration // default 1h: after which stored items leave a tail; at most twice that

	RetryMin, RetryMax time.Duration // default 100ms, 5s: the bounds of the backoff

	// Move appends an event again, under a new seq, since another event holds its seq: Redis has lost
	// writes and numbered anew. It may be called again for the same entry. moved is false for an event
	// that has to become a dead letter instead, as all have to where Move is nil.
	Move func(ctx context.Context, e event.Entry) (moved bool, err error)

	Traces  *msgtrace.Tracer // nil: nothing is traced
	Metrics *Metrics         // required
	Logger  *slog.Logger
	Outages *outage.Log // default: one of its own, with Logger. A program has one for all its steps.
}

const defaultTailExpiry = time.Hour

func (c *Config) setDefaults() {
	c.BatchMax, c.Writers = cmp.Or(c.BatchMax, 5000), cmp.Or(c.Writers, 2)
	c.BatchWait = cmp.Or(c.BatchWait, 40*time.Millisecond)
	c.Block, c.ClaimIdle = cmp.Or(c.Block, time.Second), cmp.Or(c.ClaimIdle, 10*time.Second)
	c.ClaimEvery, c.GoneAfter = cmp.Or(c.ClaimEvery, c.ClaimIdle/5), cmp.Or(c.GoneAfter, 5*time.Minute)
	c.SettleEvery, c.TailEvery = cmp.Or(c.SettleEvery, 500*time.Millisecond), cmp.Or(c.TailEvery, 2*time.Second)
	c.AskEvery = cmp.Or(c.AskEvery, 10*time.Second)
	c.SweepEvery, c.TrimEvery = cmp.Or(c.SweepEvery, time.Hour), cmp.Or(c.TrimEvery, 10*time.Second)
	c.Retention = cmp.Or(c.Retention, 72*time.Hour)
	c.TrimAt = cmp.Or(c.TrimAt, 1)
	c.TailKeep, c.TailExpiry = cmp.Or(c.TailKeep, 500), cmp.Or(c.TailExpiry, defaultTailExpiry)
	c.RetryMin, c.RetryMax = cmp.Or(c.RetryMin, 100*time.Millisecond), cmp.Or(c.RetryMax, 5*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	c.Outages = cmp.Or(c.Outages, outage.New(c.Logger, "storing is interrupted", "storing goes on"))
}

// Consumer is one member of the consumer group.
type Consumer struct {
	reads redis.UniversalClient // blocked reads hold its connections: a pool of Partitions + 4 or more
	rdb   redis.UniversalClient // everything else
	log   *eventlog.Log
	store Store
	cfg   Config
	m     *Metrics

	chunks    chan *chunk // from readers to writers; closed when the readers are done
	gathering sync.Mutex  // held by the one writer that takes chunks

	// mu guards what writers learn and the keeper uses, by partition.
	mu       sync.Mutex
	progress []progress
}

// Store is the part of store.Store that a Consumer needs.
type Store interface {
	Store(ctx context.Context, b store.Batch) (store.Result, error)
	watermarks
}

// New checks cfg and applies its defaults. It does no I/O and starts nothing. The clients and the store
// stay the caller's.
func New(reads, rdb redis.UniversalClient, s Store, cfg Config) (*Consumer, error) {
	if cfg.Name == "" || cfg.Partitions < 1 || cfg.Metrics == nil {
		return nil, errors.New("consumer: Name, Partitions and Metrics are required")
	}
	cfg.setDefaults()
	return &Consumer{
		reads: reads, rdb: rdb, log: eventlog.New(rdb, cfg.Partitions), store: s, cfg: cfg, m: cfg.Metrics,
		chunks: make(chan *chunk, cfg.Partitions), progress: make([]progress, cfg.Partitions),
	}, nil
}

// Run consumes until ctx is done, finishes what it has in hand, and returns nil. Outages of Redis and of
// PostgreSQL are waited out. While PostgreSQL is down, what was in hand at the end stays pending.
func (c *Consumer) Run(ctx context.Context) error {
	var readers, writers, keeper sync.WaitGroup
	for range c.cfg.Writers {
		writers.Go(func() { c.write(ctx) })
	}
	keeping, stopKeeper := context.WithCancel(context.WithoutCancel(ctx))
	defer stopKeeper()
	keeper.Go(func() { c.keep(keeping) })
	for p := range c.cfg.Partitions {
		readers.Go(func() { c.read(ctx, p) })
	}
	readers.Wait()
	close(c.chunks)
	writers.Wait()
	stopKeeper() // it raises the watermarks once more, now that nothing moves
	keeper.Wait()
	return nil
}
