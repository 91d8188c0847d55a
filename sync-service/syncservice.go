// Package syncservice is the persister: it stores the events and receipts that the gateways append
// to the Redis streams in PostgreSQL. Any number of instances share the work.
package syncservice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/uptrace/bun"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/msgtrace"
	"parley.chat/internal/eventlog/unstored"
	"parley.chat/internal/platform/config"
	"parley.chat/internal/platform/database"
	"parley.chat/internal/platform/lifecycle"
	"parley.chat/internal/platform/outage"
	"parley.chat/internal/platform/redisclient"
	"parley.chat/internal/platform/telemetry"
	"parley.chat/internal/platform/telemetry/tracing"
	"parley.chat/sync-service/internal/consumer"
	"parley.chat/sync-service/internal/erasure"
	"parley.chat/sync-service/internal/lag"
	"parley.chat/sync-service/internal/receipts"
	"parley.chat/sync-service/internal/store"
)

// Config holds the service's settings. Package config reads it from the environment.
type Config struct {
	Addr            string         `env:"SYNC_ADDR" envDefault:":8082" desc:"listen address for health checks and metrics"`
	DatabaseURL     string         `env:"DATABASE_URL" envDefault:"postgres://localhost:5432/parley" desc:"PostgreSQL connection URL"`
	DatabaseRole    string         `env:"DATABASE_ROLE" envDefault:"parley_sync" desc:"role to assume after login (SET ROLE)"`
	RedisURL        string         `env:"REDIS_URL" envDefault:"redis://localhost:6379" desc:"Redis URL; a comma-separated list for a Cluster"`
	Partitions      int            `env:"STREAM_PARTITIONS" envDefault:"16" desc:"number of streams; must not change during the life of a deployment"`
	StreamRetention time.Duration  `env:"STREAM_RETENTION" envDefault:"72h" desc:"how long stored entries stay in the streams before they are trimmed"`
	TrimAt          config.Percent `env:"REDIS_TRIM_AT" envDefault:"50%" desc:"share of Redis' maxmemory above which stored entries are trimmed before their retention ends, oldest first"`
	ClaimIdle       time.Duration  `env:"CLAIM_IDLE" envDefault:"10s" desc:"idle time after which other instances claim the pending entries of an instance"`
	BatchMax        int            `env:"BATCH_MAX" envDefault:"5000" desc:"a transaction with this many entries does not wait for more"`
	BatchWait       time.Duration  `env:"BATCH_WAIT" envDefault:"40ms" desc:"how long a transaction waits for more entries"`
	Writers         int            `env:"SYNC_WRITERS" envDefault:"2" desc:"maximum number of concurrent transactions"`
	ConsumerName    string         `env:"CONSUMER_NAME" desc:"name in the consumer group; unique among the instances and stable across restarts (default <host name>-<port of SYNC_ADDR>)"`
	ProfileAddr     string         `env:"PPROF_ADDR" desc:"listen address for pprof profiles; empty disables them"`
	LogLevel        slog.Level     `env:"LOG_LEVEL" envDefault:"info" desc:"debug, info, warn or error"`
	Traces          tracing.Config
}

// drainTimeout bounds the shutdown: a blocked read takes up to one second, and then the current
// batch is stored.
const drainTimeout = 20 * time.Second

func (c *Config) check() error {
	var errs []error
	positive := func(name string, ok bool) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: must be above 0", name))
		}
	}
	positive("STREAM_PARTITIONS", c.Partitions > 0)
	positive("STREAM_RETENTION", c.StreamRetention > 0)
	positive("REDIS_TRIM_AT", c.TrimAt > 0)
	positive("CLAIM_IDLE", c.ClaimIdle > 0)
	positive("BATCH_MAX", c.BatchMax > 0)
	positive("BATCH_WAIT", c.BatchWait > 0)
	positive("SYNC_WRITERS", c.Writers > 0)
	return errors.Join(append(errs, c.Traces.Check())...)
}

// Service is one instance of the persister.
type Service struct {
	cfg        Config
	log        *slog.Logger
	reg        *prometheus.Registry
	db         *bun.DB
	reads, rdb redis.UniversalClient
	watch      *redisclient.Watch
	store      *store.Store
	mover      *mover
	tracing    *tracing.Tracing
}

// New checks cfg and creates the clients without connecting; Run closes them. It registers the
// service's metrics with reg.
func New(cfg Config, log *slog.Logger, reg *prometheus.Registry) (*Service, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, log: log, reg: reg, tracing: tracing.New(cfg.Traces, "sync-service", reg, log)}
	var err error
	if s.db, err = database.Open(cfg.DatabaseURL, database.Options{
		Role: cfg.DatabaseRole, MaxConns: cfg.Writers + 3, ApplicationName: "sync-service",
	}); err != nil {
		return nil, err
	}
	s.store = store.New(s.db)
	// These clients must not retry a read by themselves: entries in a lost reply are already
	// pending, and a second read would skip them.
	s.reads, err = redisclient.Open(cfg.RedisURL, redisclient.Options{PoolSize: cfg.Partitions + 4, NoRetry: true})
	if err == nil {
		s.rdb, err = redisclient.Open(cfg.RedisURL, redisclient.Options{})
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.watch = redisclient.NewWatch(s.rdb, reg, log)
	s.mover = newMover(eventlog.New(s.rdb, cfg.Partitions), s.reads, unstored.Rows{DB: s.db}, log)
	return s, nil
}

func (s *Service) close() error {
	errs := []error{s.db.Close()}
	for _, c := range []redis.UniversalClient{s.reads, s.rdb} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

// Checks returns the conditions of readiness.
func (s *Service) Checks() []telemetry.Check {
	return []telemetry.Check{
		{Name: "postgresql", Check: func(ctx context.Context) error { return database.Ready(ctx, s.db) }},
		{Name: "redis", Check: func(ctx context.Context) error { return s.watch.Ready(ctx, s.cfg.Partitions) }},
	}
}

// Handler serves /healthz, /readyz and /metrics.
func (s *Service) Handler() http.Handler { return telemetry.Handler(s.reg, s.log, s.Checks()...) }

// Run stores events until ctx is done, and then finishes the current batch. It waits out outages of
// Redis and PostgreSQL; it returns an error only if the service cannot work with its settings. If
// Addr is empty, it does not listen. Call Run only once.
func (s *Service) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, s.close()) }()
	var listener net.Listener
	if s.cfg.Addr != "" {
		if listener, err = net.Listen("tcp", s.cfg.Addr); err != nil {
			return fmt.Errorf("SYNC_ADDR: %w", err)
		}
	}
	metrics, receiptMetrics := consumer.NewMetrics(s.reg), receipts.NewMetrics(s.reg)
	if err := s.reg.Register(lag.NewCollector(s.rdb, s.cfg.Partitions)); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	name, err := s.name(listener)
	if err != nil {
		return err
	}
	outages := outage.New(s.log.With("consumer", name), "storing is interrupted", "storing resumed")
	c, err := consumer.New(s.reads, s.rdb, s.store, consumer.Config{
		Name: name, Partitions: s.cfg.Partitions, BatchMax: s.cfg.BatchMax, BatchWait: s.cfg.BatchWait,
		Writers: s.cfg.Writers, ClaimIdle: s.cfg.ClaimIdle, Retention: s.cfg.StreamRetention, TrimAt: float64(s.cfg.TrimAt) / 100,
		Move: s.mover.move, Traces: msgtrace.New(s.tracing, s.cfg.Traces.Ratio), Metrics: metrics, Logger: s.log.With("consumer", name), Outages: outages,
	})
	if err != nil {
		return err
	}
	receiptConsumer, err := receipts.New(s.reads, s.rdb, s.store, receipts.Config{
		Name: name, Partitions: s.cfg.Partitions, ClaimIdle: s.cfg.ClaimIdle,
		Metrics: receiptMetrics, Logger: s.log.With("consumer", name), Outages: outages,
	})
	if err != nil {
		return err
	}
	scrubber, err := erasure.New(erasure.Config{
		Redis: s.rdb, Store: s.store, Partitions: s.cfg.Partitions, Registry: s.reg, Retention: s.cfg.StreamRetention, Logger: s.log,
	})
	if err != nil {
		return err
	}
	parts := []lifecycle.Part{{Name: "traces", Run: s.tracing.Run}, {Name: "profiles", Run: func(ctx context.Context) error {
		return telemetry.ServeProfiles(ctx, s.cfg.ProfileAddr, s.log)
	}}, {Name: "postgres", Run: func(ctx context.Context) error { return database.Watch(ctx, s.db, s.log) }}}
	if listener != nil {
		parts = append(parts, lifecycle.Part{Name: "http", Run: func(ctx context.Context) error {
			return telemetry.ServeListener(ctx, listener, s.Handler(), s.log)
		}})
	}
	ready := make(chan struct{})
	parts = append(parts, lifecycle.Part{Name: "redis", Run: func(ctx context.Context) error {
		if err := redisclient.Await(ctx, s.rdb, s.cfg.Partitions, redisclient.SyncService, s.log); err != nil {
			return err
		}
		close(ready)
		return s.watch.Run(ctx)
	}}, lifecycle.Part{Name: "consumer", Run: func(ctx context.Context) error {
		select {
		case <-ready:
		case <-ctx.Done():
			return nil
		}
		// The mover must outlive the consumer, which may need it for its last batch.
		moverCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
		done := make(chan error, 1)
		go func() { done <- s.mover.appender.Run(moverCtx) }()
		err := c.Run(ctx)
		stop()
		return errors.Join(err, <-done)
	}}, lifecycle.Part{Name: "receipts", Run: func(ctx context.Context) error {
		select {
		case <-ready:
		case <-ctx.Done():
			return nil
		}
		return receiptConsumer.Run(ctx)
	}}, lifecycle.Part{Name: "erasure", Run: func(ctx context.Context) error {
		select {
		case <-ready:
		case <-ctx.Done():
			return nil
		}
		return scrubber.Run(ctx)
	}})
	return lifecycle.Run(ctx, s.log, drainTimeout, parts...)
}

// name returns the consumer's name. The default includes the port, which distinguishes the
// instances on one host and survives a restart.
func (s *Service) name(l net.Listener) (string, error) {
	if s.cfg.ConsumerName != "" {
		return s.cfg.ConsumerName, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("CONSUMER_NAME is not set, and the host name is unknown: %w", err)
	}
	if l == nil {
		return host, nil
	}
	return host + "-" + strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}
