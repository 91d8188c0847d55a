// Package chatservice implements chat-service, the REST service of Parley. It manages accounts,
// sessions, channels and memberships in PostgreSQL, and notifies the gateways of changes through
// Redis. It reads history from both stores and serves the web client.
package chatservice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/uptrace/bun"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/appender"
	"parley.chat/internal/eventlog/msgtrace"
	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/internal/eventlog/sender"
	"parley.chat/internal/eventlog/unstored"
	"parley.chat/internal/platform/database"
	"parley.chat/internal/platform/lifecycle"
	"parley.chat/internal/platform/program"
	"parley.chat/internal/platform/redisclient"
	"parley.chat/internal/platform/telemetry"
	"parley.chat/internal/platform/telemetry/tracing"
	"parley.chat/internal/platform/token"

	"parley.chat/chat-service/internal/account"
	"parley.chat/chat-service/internal/httpapi"
	"parley.chat/chat-service/internal/keyset"
	"parley.chat/chat-service/internal/lookalike"
	"parley.chat/chat-service/internal/outbox"
	"parley.chat/chat-service/internal/revoked"
	"parley.chat/chat-service/internal/seen"
)

const (
	// clockLeeway is added to the time for which Redis keeps the record of an ended session,
	// because a gateway whose clock is behind accepts expired tokens for a while.
	clockLeeway = time.Minute
	// keyReloadInterval is the interval at which the service rereads the key folder and confirms
	// its public keys in PostgreSQL.
	keyReloadInterval = time.Minute
	// keyRetention is how long PostgreSQL keeps a public key that no instance confirms.
	keyRetention = 3 * keyReloadInterval
)

// Service is chat-service without its listener. The standalone program mounts Handler on its own
// listener.
type Service struct {
	cfg      Config
	log      *slog.Logger
	db       *bun.DB
	rdb      redis.UniversalClient
	watch    *redisclient.Watch
	keys     *token.Keys
	api      *httpapi.API
	budget   *appender.Budget
	appender *appender.Appender
	limiter  *ratelimit.Limiter
	sender   *sender.Sender
	relay    *outbox.Relay
	accounts *account.Service
	tracing  *tracing.Tracing
}

// New validates cfg and creates the clients for PostgreSQL and Redis, but does not connect. It
// reads the signing keys from the key folder, or creates them. The service's metrics are registered
// with reg. The caller must call Close when it no longer needs the Service.
func New(cfg Config, log *slog.Logger, reg prometheus.Registerer) (s *Service, err error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s = &Service{cfg: cfg, log: log, tracing: tracing.New(cfg.Traces, "chat-service", reg, log)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
			s = nil
		}
	}()
	if s.db, err = database.Open(cfg.DatabaseURL, database.Options{
		Role: cfg.DatabaseRole, MaxConns: cfg.DatabaseMaxConns, StatementTimeout: cfg.RequestTimeout, ApplicationName: "chat-service", Inline: true,
	}); err != nil {
		return s, err
	}
	if s.rdb, err = redisclient.Open(cfg.RedisURL, redisclient.Options{}); err != nil {
		return s, err
	}
	s.watch = redisclient.NewWatch(s.rdb, reg, log)
	if s.keys, err = token.LoadKeys(cfg.KeysDir); err != nil {
		return s, fmt.Errorf("JWT_KEYS_DIR: %w", err)
	}
	return s, s.wire(reg)
}

// wire creates the components that the endpoints depend on, and then registers the endpoints.
func (s *Service) wire(reg prometheus.Registerer) error {
	log := eventlog.New(s.rdb, s.cfg.Partitions)
	traces := msgtrace.New(s.tracing, s.cfg.Traces.Ratio)
	heads := seen.New(log, unstored.Rows{DB: s.db}.MaxSeq, s.log)
	s.budget = appender.NewBudget(s.rdb, s.cfg.Partitions, appender.BudgetConfig{
		Backlog: s.cfg.BacklogBudget, RefuseAt: float64(s.cfg.RedisRefuseAt) / 100, Logger: s.log,
	})
	s.appender = appender.New(log, s.rdb, unstored.Rows{DB: s.db}.MaxSeq, appender.Config{
		Logger: s.log, Budget: s.budget, Known: heads.Known, Diverged: heads.Diverged, Stored: unstored.Rows{DB: s.db},
	})
	s.limiter = ratelimit.New(s.rdb, ratelimit.Config{
		Count: s.cfg.RateLimit.Count, Window: s.cfg.RateLimit.Per, Block: s.cfg.RateBlock, Partitions: s.cfg.Partitions,
		Rates: s.cfg.Limits, Own: account.Rates(s.cfg.LoginFailures, s.cfg.LoginFailuresAll, s.cfg.LoginAttempts), Logger: s.log,
	})
	s.sender = sender.New(s.limiter, s.appender, traces)
	marks := revoked.New(s.rdb, s.db, s.cfg.Partitions, s.cfg.AccessTTL+clockLeeway, s.log)
	s.relay = outbox.NewRelay(outbox.Config{
		DB: s.db, Log: log, Appender: s.appender, Seen: heads, Revoked: marks, Traces: traces, Logger: s.log, Registry: reg,
	})
	var err error
	if s.api, err = httpapi.New(httpapi.Config{
		Verifier: token.NewVerifier(s.keys), Ended: marks.Ended, Limits: s.limiter, Origins: s.cfg.Origins, Hosts: s.cfg.Hosts, Proxies: s.cfg.Proxies,
		CookieSecure: s.cfg.CookieSecure, Timeout: s.cfg.RequestTimeout, Logger: s.log, Tracer: s.tracing.Tracer("parley.chat/chat-service"), Registry: reg,
	}); err != nil {
		return err
	}
	doc, err := specification()
	if err != nil {
		return err
	}
	if err := s.serveFiles(); err != nil {
		return err
	}
	e, err := s.features(log, heads, marks)
	if err != nil {
		return err
	}
	s.api.Serve(doc, e)
	return nil
}

// Close releases the clients that New created. It must not be called while any of the background
// tasks from Parts is running.
func (s *Service) Close() error {
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.rdb != nil {
		errs = append(errs, s.rdb.Close())
	}
	return errors.Join(errs...)
}

// Handler serves the REST API under /v1, the files /.well-known/jwks.json, /openapi.yaml and /docs,
// and the web client. The program serves health checks and metrics; see Checks.
func (s *Service) Handler() http.Handler { return s.api }

// Keys returns the source of the public keys for access tokens. A gateway in the same process uses
// it.
func (s *Service) Keys() token.KeySource { return s.keys }

// Checks returns the readiness checks of the service.
func (s *Service) Checks() []telemetry.Check {
	return []telemetry.Check{
		{Name: "postgres", Check: func(ctx context.Context) error { return database.Ready(ctx, s.db) }},
		{Name: "redis", Check: func(ctx context.Context) error { return s.watch.Ready(ctx, s.cfg.Partitions) }},
	}
}

// Parts returns the background tasks in the order in which they start. They relay the outbox,
// reload the keys and remove old sessions. Without them, the API still works, but no gateway or
// client is notified of changes. The tasks write to Redis only after the check of Redis'
// configuration has succeeded.
func (s *Service) Parts() []lifecycle.Part {
	redisPart, ready := program.Redis(s.rdb, s.watch, s.cfg.Partitions, redisclient.ChatService, s.log)
	parts := []lifecycle.Part{
		{Name: "traces", Run: s.tracing.Run},
		{Name: "postgres", Run: func(ctx context.Context) error { return database.Watch(ctx, s.db, s.log) }},
		redisPart,
	}
	for _, part := range []lifecycle.Part{
		{Name: "budget", Run: s.budget.Run},
		{Name: "appender", Run: s.appender.Run},
		{Name: "limiter", Run: s.limiter.Run},
		{Name: "sender", Run: s.sender.Run},
		{Name: "outbox", Run: s.relay.Run},
		{Name: "keys", Run: s.refreshKeys},
		{Name: "session cleaner", Run: s.accounts.Clean},
		{Name: "name keys", Run: lookalike.New(s.db, s.log).Run},
	} {
		parts = append(parts, program.After(ready, part))
	}
	return parts
}

// refreshKeys loads keys that were added to the folder and stores the public keys in PostgreSQL. A
// gateway reads them from PostgreSQL if no chat-service responds when it starts.
func (s *Service) refreshKeys(ctx context.Context) error {
	tick := time.NewTicker(keyReloadInterval)
	defer tick.Stop()
	for {
		if err := keyset.Store(ctx, s.db, s.keys.Public(), keyRetention); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "failed to store public keys in PostgreSQL", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := s.keys.Reload(); err != nil {
			s.log.ErrorContext(ctx, "failed to reload signing keys, keeping the current ones", "err", err)
		}
	}
}

// Run runs chat-service as a standalone program until ctx is canceled.
func Run(ctx context.Context, cfg Config, log *slog.Logger) error {
	return program.Process{
		Name: "chat-service", Addr: cfg.Addr, MetricsAddr: cfg.MetricsAddr, RedisURL: cfg.RedisURL, DrainTimeout: cfg.DrainTimeout, Logger: log,
		New: func(redisURL, _ string, reg *prometheus.Registry) (program.Service, error) {
			cfg.RedisURL = redisURL
			return New(cfg, log, reg)
		},
	}.Run(ctx)
}
