// Package consumer moves events from the Redis streams into PostgreSQL.
//
// Each partition has one reader, which has at most one chunk of entries in progress. Writers
// combine the chunks of several partitions into one transaction and acknowledge the entries after
// its commit. So every entry is either pending or stored, the number of partitions bounds the
// memory, and the readers simply wait while PostgreSQL is down. Housekeeping raises the watermarks,
// trims the tails and streams, and removes dead consumers.
//
// Run owns all goroutines: one reader per partition, Config.Writers writers and one for
// housekeeping.
package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/msgtrace"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/store"
	"parley.chat/sync-service/internal/streamworker"
)

// Config configures a Consumer. If an optional field is zero, its default is used.
type Config struct {
	streamworker.Config

	BatchMax  int           // default 5000: number of entries at which a transaction stops waiting for more
	BatchWait time.Duration // default 40ms: how long a transaction's first chunk waits for others; also the minimum time between reads
	Writers   int           // default 2: maximum number of concurrent transactions

	ReadBlock time.Duration // default 1s: timeout of a blocking read; it also delays shutdown, because a blocked read is not interrupted

	WatermarkInterval      time.Duration // default 500ms: how often watermarks are raised
	WatermarkCheckInterval time.Duration // default 10s: how often to look for watermarks that another instance failed to raise
	TailTrimInterval       time.Duration // default 2s: how often tails are trimmed
	SweepInterval          time.Duration // default 1h: how often to look for tails that another instance failed to trim
	TrimInterval           time.Duration // default 10s: how often streams are trimmed
	Retention              time.Duration // default 72h: how long stored entries stay in the streams
	TrimAt                 float64       // default 1 (never): share of maxmemory above which the retention is ignored
	TailLength             int           // default 500: number of items that a tail keeps
	TailExpiry             time.Duration // default 1h: age at which a tail's stored items expire; the items are removed at twice this age at the latest

	// Move appends an event again under a new seq if another event holds its seq, which happens
	// when Redis loses writes and reuses seqs. It may be called again for the same entry. It
	// returns moved = false if the event must become a dead letter instead. If Move is nil, all
	// such events become dead letters.
	Move func(ctx context.Context, e event.Entry) (moved bool, err error)

	Traces  *msgtrace.Tracer // nil disables tracing
	Metrics *Metrics         // required
}

const defaultTailExpiry = time.Hour

func (c *Config) setDefaults() {
	c.Config.SetDefaults()
	c.BatchMax, c.Writers = cmp.Or(c.BatchMax, 5000), cmp.Or(c.Writers, 2)
	c.BatchWait = cmp.Or(c.BatchWait, 40*time.Millisecond)
	c.ReadBlock = cmp.Or(c.ReadBlock, time.Second)
	c.WatermarkInterval, c.TailTrimInterval = cmp.Or(c.WatermarkInterval, 500*time.Millisecond), cmp.Or(c.TailTrimInterval, 2*time.Second)
	c.WatermarkCheckInterval = cmp.Or(c.WatermarkCheckInterval, 10*time.Second)
	c.SweepInterval, c.TrimInterval = cmp.Or(c.SweepInterval, time.Hour), cmp.Or(c.TrimInterval, 10*time.Second)
	c.Retention = cmp.Or(c.Retention, 72*time.Hour)
	c.TrimAt = cmp.Or(c.TrimAt, 1)
	c.TailLength, c.TailExpiry = cmp.Or(c.TailLength, 500), cmp.Or(c.TailExpiry, defaultTailExpiry)
}

// Consumer is one consumer in the consumer group.
type Consumer struct {
	reads redis.UniversalClient // for blocking reads, each of which occupies a connection; the pool needs at least Partitions + 4 connections
	rdb   redis.UniversalClient // everything else
	log   *eventlog.Log
	store Store
	cfg   Config
	m     *Metrics
	work  *streamworker.Worker

	chunks     chan *chunk // passes chunks from the readers to the writers; closed once all readers have returned
	collecting sync.Mutex  // held by the writer that is collecting chunks

	// mu guards progress, which is indexed by partition. The writers update it, and housekeeping
	// uses it.
	mu       sync.Mutex
	progress []progress
}

// Store is the part of store.Store that a Consumer needs.
type Store interface {
	Store(ctx context.Context, b store.Batch) (store.Result, error)
	watermarks
}

// New checks cfg and applies its defaults. It does no I/O and starts no goroutines. The caller
// keeps ownership of the clients and the store.
func New(reads, rdb redis.UniversalClient, s Store, cfg Config) (*Consumer, error) {
	if cfg.Metrics == nil {
		return nil, errors.New("consumer: Metrics is required")
	}
	cfg.setDefaults()
	streams := streamworker.Streams{Key: rediskey.Stream, Start: s.Watermark, Retries: cfg.Metrics.retries}
	work, err := streamworker.New(rdb, streams, cfg.Config)
	if err != nil {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	return &Consumer{
		reads: reads, rdb: rdb, log: eventlog.New(rdb, cfg.Partitions), store: s, cfg: cfg, m: cfg.Metrics, work: work,
		chunks: make(chan *chunk, cfg.Partitions), progress: make([]progress, cfg.Partitions),
	}, nil
}

// Run stores events until ctx is done, finishes the current chunks, and returns nil. If Redis or
// PostgreSQL is down, it waits and retries. If PostgreSQL is down when ctx is canceled, the current
// entries stay pending.
func (c *Consumer) Run(ctx context.Context) error {
	var readers, writers, housekeeper sync.WaitGroup
	for range c.cfg.Writers {
		writers.Go(func() { c.write(ctx) })
	}
	housekeepingCtx, stopHousekeeping := context.WithCancel(context.WithoutCancel(ctx))
	defer stopHousekeeping()
	housekeeper.Go(func() { c.housekeeping(housekeepingCtx) })
	for p := range c.cfg.Partitions {
		readers.Go(func() { c.read(ctx, p) })
	}
	readers.Wait()
	close(c.chunks)
	writers.Wait()
	stopHousekeeping() // raises the watermarks once more, now that all writers are done
	housekeeper.Wait()
	return nil
}
