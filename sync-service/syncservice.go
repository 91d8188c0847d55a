// Package syncservice implements the persister, which moves events and receipts from the Redis
// streams to PostgreSQL. Any number of instances can share the work.
package syncservice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
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
	"parley.chat/internal/platform/program"
	"parley.chat/internal/platform/redisclient"
	"parley.chat/internal/platform/telemetry"
	"parley.chat/internal/platform/telemetry/tracing"
	"parley.chat/sync-service/internal/consumer"
	"parley.chat/sync-service/internal/erasure"
	"parley.chat/sync-service/internal/lag"
	"parley.chat/sync-service/internal/receipts"
	"parley.chat/sync-service/internal/store"
	"parley.chat/sync-service/internal/streamworker"
)

// Config holds the service's settings. Package config reads it from the environment.
type Config struct {
	Addr            string         `env:"SYNC_ADDR" envDefault:":8082" desc:"listen address for health checks and metrics"`
	DatabaseURL     string         `env:"DATABASE_URL" envDefault:"postgres://localhost:5432/parley" desc:"PostgreSQL connection URL"`
	DatabaseRole    string         `env:"DATABASE_ROLE" envDefault:"parley_sync" desc:"role to assume after login (SET ROLE)"`
	RedisURL        string         `env:"REDIS_URL" envDefault:"redis://localhost:6379" desc:"Redis URL; a comma-separated list for a Cluster"`
	Partitions      int            `env:"STREAM_PARTITIONS" envDefault:"16" desc:"number of streams; must not change during the life of a deployment"`
	StreamRetention time.Duration  `env:"STREAM_RETENTION" envDefault:"72h" desc:"how long stored entries stay in the streams before they are trimmed"`
	TrimAt          config.Percent `env:"REDIS_TRIM_AT" envDefault:"50%" desc:"share of Redis's maxmemory above which stored entries are trimmed before their retention ends, oldest first"`
	ClaimIdle       time.Duration  `env:"CLAIM_IDLE" envDefault:"10s" desc:"idle time after which other instances claim the pending entries of an instance"`
	BatchMax        int            `env:"BATCH_MAX" envDefault:"5000" desc:"a transaction with this many entries does not wait for more"`
	BatchWait       time.Duration  `env:"BATCH_WAIT" envDefault:"40ms" desc:"how long a transaction waits for more entries"`
	Writers         int            `env:"SYNC_WRITERS" envDefault:"2" desc:"maximum number of concurrent transactions"`
	ConsumerName    string         `env:"CONSUMER_NAME" desc:"name in the consumer group; unique among the instances and stable across restarts (default <host name>-<port of SYNC_ADDR>)"`
	ProfileAddr     string         `env:"PPROF_ADDR" desc:"listen address for pprof profiles; empty disables them"`
	LogLevel        slog.Level     `env:"LOG_LEVEL" envDefault:"info" desc:"debug, info, warn or error"`
	Traces          tracing.Config
}

// drainTimeout limits how long a shutdown takes. A blocked read takes up to one second, and then
// the current batch is stored.
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
	db         *bun.DB
	reads, rdb redis.UniversalClient
	watch      *redisclient.Watch
	store      *store.Store
	mover      *mover
	consumer   *consumer.Consumer
	receipts   *receipts.Consumer
	scrubber   *erasure.Scrubber
	tracing    *tracing.Tracing
}

// New checks cfg and creates the clients without connecting. It registers the service's metrics
// with reg. The caller must call Close when it no longer needs the Service.
func New(cfg Config, log *slog.Logger, reg *prometheus.Registry) (s *Service, err error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.ConsumerName, err = consumerName(cfg); err != nil {
		return nil, err
	}
	s = &Service{cfg: cfg, log: log, tracing: tracing.New(cfg.Traces, "sync-service", reg, log)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
			s = nil
		}
	}()
	if s.db, err = database.Open(cfg.DatabaseURL, database.Options{
		Role: cfg.DatabaseRole, MaxConns: cfg.Writers + 3, ApplicationName: "sync-service",
	}); err != nil {
		return s, err
	}
	s.store = store.New(s.db)
	// These clients must not retry a read automatically, because entries in a lost reply are
	// already pending, and a second read would skip them.
	if s.reads, err = redisclient.Open(cfg.RedisURL, redisclient.Options{PoolSize: cfg.Partitions + 4, NoRetry: true}); err != nil {
		return s, err
	}
	if s.rdb, err = redisclient.Open(cfg.RedisURL, redisclient.Options{}); err != nil {
		return s, err
	}
	s.watch = redisclient.NewWatch(s.rdb, reg, log)
	s.mover = newMover(eventlog.New(s.rdb, cfg.Partitions), s.rdb, unstored.Rows{DB: s.db}, log)
	return s, s.wire(reg)
}

// wire creates the consumers.
func (s *Service) wire(reg *prometheus.Registry) (err error) {
	if err := reg.Register(lag.NewCollector(s.rdb, s.cfg.Partitions)); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	worker := streamworker.Config{
		Name: s.cfg.ConsumerName, Partitions: s.cfg.Partitions, ClaimIdle: s.cfg.ClaimIdle, Logger: s.log.With("consumer", s.cfg.ConsumerName),
	}
	worker.SetDefaults() // sets worker.Outages, the log of outages that both consumers share
	if s.consumer, err = consumer.New(s.reads, s.rdb, s.store, consumer.Config{
		Config: worker, BatchMax: s.cfg.BatchMax, BatchWait: s.cfg.BatchWait, Writers: s.cfg.Writers,
		Retention: s.cfg.StreamRetention, TrimAt: float64(s.cfg.TrimAt) / 100,
		Move: s.mover.move, Traces: msgtrace.New(s.tracing, s.cfg.Traces.Ratio), Metrics: consumer.NewMetrics(reg),
	}); err != nil {
		return err
	}
	if s.receipts, err = receipts.New(s.reads, s.rdb, s.store, receipts.Config{Config: worker, Metrics: receipts.NewMetrics(reg)}); err != nil {
		return err
	}
	s.scrubber, err = erasure.New(erasure.Config{
		Redis: s.rdb, Store: s.store, Partitions: s.cfg.Partitions, Registry: reg, Retention: s.cfg.StreamRetention, Logger: s.log,
	})
	return err
}

// Close closes the clients that New opened.
func (s *Service) Close() error {
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	for _, c := range []redis.UniversalClient{s.reads, s.rdb} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

// Checks returns the readiness checks.
func (s *Service) Checks() []telemetry.Check {
	return []telemetry.Check{
		{Name: "postgres", Check: func(ctx context.Context) error { return database.Ready(ctx, s.db) }},
		{Name: "redis", Check: func(ctx context.Context) error { return s.watch.Ready(ctx, s.cfg.Partitions) }},
	}
}

// Handler returns nil, because the service has no API.
func (s *Service) Handler() http.Handler { return nil }

// Parts returns the service's background tasks in the order in which they start. While Redis or
// PostgreSQL is down, the tasks wait and retry. A task fails only if the service cannot work with
// its settings. Before the tasks stop, they store the current batch.
func (s *Service) Parts() []lifecycle.Part {
	redisPart, ready := program.Redis(s.rdb, s.watch, s.cfg.Partitions, redisclient.SyncService, s.log)
	return []lifecycle.Part{
		{Name: "traces", Run: s.tracing.Run},
		{Name: "postgres", Run: func(ctx context.Context) error { return database.Watch(ctx, s.db, s.log) }},
		redisPart,
		// The mover stops after the consumer, which may need it for its last batch.
		{Name: "mover", Run: s.mover.appender.Run},
		program.After(ready, lifecycle.Part{Name: "consumer", Run: s.consumer.Run}),
		program.After(ready, lifecycle.Part{Name: "receipts", Run: s.receipts.Run}),
		program.After(ready, lifecycle.Part{Name: "erasure", Run: s.scrubber.Run}),
	}
}

// Run runs sync-service as a process until ctx is done.
func Run(ctx context.Context, cfg Config, log *slog.Logger) error {
	return program.Process{
		Name: "sync-service", Addr: cfg.Addr, MetricsAtAddr: true, ProfileAddr: cfg.ProfileAddr, RedisURL: cfg.RedisURL,
		DrainTimeout: drainTimeout, Logger: log,
		New: func(redisURL, addr string, reg *prometheus.Registry) (program.Service, error) {
			cfg.RedisURL, cfg.Addr = redisURL, addr
			return New(cfg, log, reg)
		},
	}.Run(ctx)
}

// consumerName returns the service's name in the consumer group. The default includes the port,
// which distinguishes the instances on one host and survives a restart.
func consumerName(cfg Config) (string, error) {
	if cfg.ConsumerName != "" {
		return cfg.ConsumerName, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("CONSUMER_NAME is not set, and the host name is unknown: %w", err)
	}
	_, port, err := net.SplitHostPort(cfg.Addr)
	if err != nil || port == "" {
		return host, nil
	}
	return host + "-" + port, nil
}
