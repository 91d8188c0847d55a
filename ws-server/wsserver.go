// Package wsserver is the service that holds WebSocket connections. It appends its clients' events
// to the log in Redis, and delivers to its connections the events that any instance has appended.
// Instances hold no state that other instances need, so they can be added, restarted and removed at
// any time.
package wsserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/uptrace/bun"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/appender"
	"parley.chat/internal/eventlog/logconn"
	"parley.chat/internal/eventlog/mention"
	"parley.chat/internal/eventlog/msgtrace"
	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/internal/eventlog/sender"
	"parley.chat/internal/eventlog/unread"
	"parley.chat/internal/eventlog/unstored"
	"parley.chat/internal/platform/browser"
	"parley.chat/internal/platform/config"
	"parley.chat/internal/platform/database"
	"parley.chat/internal/platform/descriptors"
	"parley.chat/internal/platform/gctune"
	"parley.chat/internal/platform/lifecycle"
	"parley.chat/internal/platform/program"
	"parley.chat/internal/platform/redisclient"
	"parley.chat/internal/platform/telemetry"
	"parley.chat/internal/platform/telemetry/tracing"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/notice"
	"parley.chat/ws-server/internal/erased"
	"parley.chat/ws-server/internal/feed"
	"parley.chat/ws-server/internal/gateway"
	"parley.chat/ws-server/internal/presence"
	"parley.chat/ws-server/internal/revoked"
	"parley.chat/ws-server/internal/store"
)

// Config is the service's settings.
type Config struct {
	Addr             string          `env:"WS_ADDR" envDefault:":8081" desc:"address to listen on"`
	MetricsAddr      string          `env:"WS_METRICS_ADDR" envDefault:":8091" desc:"listen address of /metrics, which only operators should reach"`
	DatabaseURL      string          `env:"DATABASE_URL" envDefault:"postgres://localhost:5432/parley" desc:"PostgreSQL"`
	DatabaseRole     string          `env:"DATABASE_ROLE" envDefault:"parley_ws" desc:"database role that the service assumes"`
	DatabaseMaxConns int             `env:"DATABASE_MAX_CONNS" envDefault:"10" desc:"maximum number of connections to PostgreSQL"`
	RedisURL         string          `env:"REDIS_URL" envDefault:"redis://127.0.0.1:6379" desc:"Redis; for a Cluster, several URLs separated by commas"`
	JWKSURL          string          `env:"JWKS_URL" envDefault:"http://127.0.0.1:8080/.well-known/jwks.json" desc:"URL of the public keys that verify access tokens"`
	PublicOrigins    browser.Origins `env:"PUBLIC_ORIGINS" desc:"additional origins whose pages may connect with a cookie, separated by commas"`
	PublicHosts      browser.Hosts   `env:"PUBLIC_HOSTS" desc:"host names and addresses under which browsers reach the deployment; requests for other hosts get 421; unset: any host"`
	Partitions       int             `env:"STREAM_PARTITIONS" envDefault:"16" desc:"number of partitions of the log; must never change in a deployment"`
	BacklogBudget    int64           `env:"BACKLOG_BUDGET" envDefault:"1000000" desc:"number of entries waiting to be stored at which sends are refused"`
	RedisRefuseAt    config.Percent  `env:"REDIS_REFUSE_AT" envDefault:"85%" desc:"share of Redis's maxmemory at which sends are refused"`
	MaxBodyBytes     int             `env:"MAX_BODY_BYTES" envDefault:"16384" desc:"maximum size of a message body in bytes, at most 16384"`
	RateLimit        config.Rate     `env:"RATE_LIMIT" envDefault:"20/10s" desc:"sends per user, counted over all instances; off: no limit"`
	RateBlock        time.Duration   `env:"RATE_BLOCK" envDefault:"30s" desc:"how long sends are refused after a user exceeds the limit"`
	EditWindow       time.Duration   `env:"EDIT_WINDOW" envDefault:"24h" desc:"how long senders may edit their messages; 0: forever"`
	MaxConnections   int             `env:"MAX_CONNECTIONS" envDefault:"0" desc:"maximum number of connections to one instance; 0: as many as the limit of open files allows"`
	UserConnections  int             `env:"MAX_CONNECTIONS_PER_USER" envDefault:"100" desc:"maximum number of connections of one user to one instance; 0: no limit"`
	AddrConnections  int             `env:"MAX_CONNECTIONS_PER_ADDRESS" envDefault:"0" desc:"maximum number of connections from one address to one instance; 0: no limit"`
	Proxies          config.CIDRs    `env:"TRUSTED_PROXIES" desc:"networks of proxies whose X-Forwarded-For header is trusted"`
	MaxSubscriptions int             `env:"MAX_SUBSCRIPTIONS" envDefault:"1000" desc:"maximum number of subscriptions of one connection; 0: no limit"`
	FrameRate        config.Rate     `env:"FRAME_RATE" envDefault:"100/1s" desc:"rate at which frames are read from one connection, with bursts of twice as many; frames above it wait; off: no limit"`
	ProfileAddr      string          `env:"PPROF_ADDR" desc:"listen address of the pprof profiles; unset: no profiles"`
	LogLevel         slog.Level      `env:"LOG_LEVEL" envDefault:"info" desc:"debug, info, warn or error"`
	Traces           tracing.Config

	Limits ratelimit.Rates

	// OtherDescriptors is the number of file descriptors that the rest of the process may need. It
	// is 0 if the process runs only this service.
	OtherDescriptors int

	// The following fields are for tests. Zero means the default of the package that uses the
	// field.
	//
	// PresenceLease is how long a gateway's users count as online after it last renewed its lease.
	PresenceLease time.Duration
	PresenceGrace time.Duration // how long a user counts as online after a connection has ended
	TypingExpiry  time.Duration // how long a user counts as typing after the last typing frame
	VerifyEvery   time.Duration // maximum time before a lost notice of a removal is detected
}

// LoadConfig reads the settings. An error contains the name of the environment variable that caused
// it.
func LoadConfig(getenv func(string) string) (Config, error) {
	var cfg Config
	if err := config.Load(&cfg, getenv); err != nil {
		return cfg, err
	}
	if cfg.MaxBodyBytes < 1 || cfg.MaxBodyBytes > 16<<10 {
		return cfg, &config.Error{Name: "MAX_BODY_BYTES", Err: fmt.Errorf("%d is not between 1 and 16384", cfg.MaxBodyBytes)}
	}
	for name, n := range map[string]int{
		"MAX_CONNECTIONS": cfg.MaxConnections, "MAX_CONNECTIONS_PER_USER": cfg.UserConnections, "MAX_CONNECTIONS_PER_ADDRESS": cfg.AddrConnections,
		"MAX_SUBSCRIPTIONS": cfg.MaxSubscriptions,
	} {
		if n < 0 {
			return cfg, &config.Error{Name: name, Err: fmt.Errorf("%d is negative", n)}
		}
	}
	if err := config.CheckHTTP(cfg.JWKSURL); err != nil {
		return cfg, &config.Error{Name: "JWKS_URL", Err: err}
	}
	if cfg.RateLimit.Count > ratelimit.MaxCount {
		return cfg, &config.Error{Name: "RATE_LIMIT", Err: fmt.Errorf("at most %d in a window, or off", ratelimit.MaxCount)}
	}
	if cfg.EditWindow < 0 {
		return cfg, &config.Error{Name: "EDIT_WINDOW", Err: fmt.Errorf("%s is negative", cfg.EditWindow)}
	}
	return cfg, cfg.Traces.Check()
}

// Server is the service without a listener. Construct it, then run its Parts.
type Server struct {
	cfg  Config
	log  *slog.Logger
	keys *token.RemoteKeys // nil if the keys were passed to New

	db          *bun.DB
	rdb         redis.UniversalClient
	watch       *redisclient.Watch
	conns       *logconn.Connections // for appends and subscriptions
	budget      *appender.Budget
	appender    *appender.Appender
	limiter     *ratelimit.Limiter
	sender      *sender.Sender
	erased      *erased.Users
	feed        *feed.Feed
	presence    *presence.Presence
	gateway     *gateway.Gateway
	tracing     *tracing.Tracing
	connections *http.ServeMux
}

// New returns a Server. keys verify access tokens; if nil, the keys at cfg.JWKSURL are used. New
// creates the clients and does no I/O.
func New(cfg Config, keys token.KeySource, reg prometheus.Registerer, log *slog.Logger) (s *Server, err error) {
	s = &Server{cfg: cfg, log: log, tracing: tracing.New(cfg.Traces, "ws-server", reg, log)}
	traces := msgtrace.New(s.tracing, cfg.Traces.Ratio)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
			s = nil
		}
	}()
	maxConnections, err := connections(cfg, descriptors.Limit())
	if err != nil {
		return s, err
	}
	if s.db, err = database.Open(cfg.DatabaseURL, database.Options{
		Role: cfg.DatabaseRole, MaxConns: cfg.DatabaseMaxConns, StatementTimeout: 5 * time.Second, ApplicationName: "ws-server", Inline: true,
	}); err != nil {
		return s, err
	}
	if s.rdb, err = redisclient.Open(cfg.RedisURL, redisclient.Options{PoolSize: redisPool}); err != nil {
		return s, err
	}
	s.watch = redisclient.NewWatch(s.rdb, reg, log)
	st := store.New(s.db)
	if keys == nil {
		s.keys = token.NewRemoteKeys(token.RemoteConfig{URL: cfg.JWKSURL, Fallback: st.TokenKeys, Logger: log})
		keys = s.keys
	}
	events := eventlog.New(s.rdb, cfg.Partitions)
	s.budget = appender.NewBudget(s.rdb, cfg.Partitions, appender.BudgetConfig{
		Backlog: cfg.BacklogBudget, RefuseAt: float64(cfg.RedisRefuseAt) / 100, Logger: log,
	})
	s.conns = logconn.New(s.rdb, cfg.Partitions, log)
	s.appender = appender.New(events, s.rdb, st.MaxSeq, appender.Config{
		Over: s.conns, Logger: log, Budget: s.budget, Stored: unstored.Rows{DB: s.db},
		// These functions use the feed and the gateway, which are constructed below. None of them
		// is called before that.
		Flush:    func() { s.gateway.FlushAcks() },
		Known:    func(c chat.ChannelID) eventlog.Head { return s.feed.Known(c) },
		Diverged: func(ctx context.Context, c chat.ChannelID, h eventlog.Head) error { return s.feed.Diverged(ctx, c, h) },
	})
	s.limiter = ratelimit.New(s.rdb, ratelimit.Config{
		Count: cfg.RateLimit.Count, Window: cfg.RateLimit.Per, Block: cfg.RateBlock, Partitions: cfg.Partitions,
		Rates: cfg.Limits, Logger: log,
	})
	s.sender = sender.New(s.limiter, s.appender, traces)
	s.erased = erased.New(st.Erased, log)
	metrics := gateway.NewMetrics(reg)
	s.feed = feed.New(feed.Config{
		Log: events, Connections: s.conns, History: st, Stored: unstored.Rows{DB: s.db}, Hub: gateway.HubConfig(metrics, traces), Logger: log,
		// Notice, Receipts, Presence and BlockedWith use the gateway, which is constructed below.
		// None of them is called before that.
		Notice:      func(n notice.Notice) { s.gateway.Notice(n) },
		Receipts:    func(c chat.ChannelID, published []byte) { s.gateway.Receipts(c, published) },
		Presence:    func(c chat.ChannelID, published []byte) { s.gateway.Presence(c, published) },
		Lost:        metrics.Lost,
		BlockedWith: func(sender chat.UserID) map[chat.UserID]struct{} { return s.gateway.BlockedWith(sender) },
		Erased:      s.erased.All,
	})
	s.presence = presence.New(presence.Config{
		Redis: s.rdb, Partitions: cfg.Partitions, Lease: cfg.PresenceLease, Grace: cfg.PresenceGrace, Logger: log,
	})
	counter, err := unread.New(unread.Config{DB: s.db, Log: events, Logger: log})
	if err != nil {
		return s, err
	}
	guard, err := browser.NewGuard(cfg.PublicOrigins)
	if err != nil {
		return s, err
	}
	s.gateway = gateway.New(gateway.Config{
		Mentions: mention.Members(s.db), MayCallAll: mention.AllByRole(s.db), Unread: counter,
		Presence: s.presence, Revoked: revoked.New(s.rdb, cfg.Partitions),
		TypingExpiry: cfg.TypingExpiry, VerifyEvery: cfg.VerifyEvery,
		Bounds: gateway.Bounds{
			Connections:        maxConnections,
			ConnectionsPerUser: cfg.UserConnections, ConnectionsPerAddress: cfg.AddrConnections,
			Subscriptions: cfg.MaxSubscriptions, Frames: cfg.FrameRate, TrustedProxies: cfg.Proxies,
		},
		Verifier: token.NewVerifier(keys), Store: st, Log: events, Receipts: receiptlog.New(s.rdb, cfg.Partitions), Sender: s.sender, Limiter: s.limiter, Feed: s.feed,
		Metrics: metrics, Logger: log, Guard: guard, Hosts: cfg.PublicHosts,
		EditWindow: cfg.EditWindow, Refuses: s.budget.Refuses,
		Limits: frame.Limits{
			MaxBodyBytes: cfg.MaxBodyBytes, RateMessages: cfg.RateLimit.Count,
			RateSeconds: int(cfg.RateLimit.Per.Seconds()), RateBlockSeconds: int(cfg.RateBlock.Seconds()),
		},
	})
	s.connections = http.NewServeMux()
	s.connections.Handle("/ws", s.gateway.Handler())
	s.connections.Handle("/ws/", s.gateway.Handler())
	return s, nil
}

// Handler serves /ws and /ws/{channel_id}.
func (s *Server) Handler() http.Handler { return s.connections }

// Checks returns the readiness checks. PostgreSQL is checked but not required, because connected
// members can continue to chat without it.
func (s *Server) Checks() []telemetry.Check {
	return []telemetry.Check{
		{Name: "redis", Check: func(ctx context.Context) error { return s.watch.Ready(ctx, s.cfg.Partitions) }},
		{Name: "postgres", Optional: true, Check: func(ctx context.Context) error { return database.Ready(ctx, s.db) }},
	}
}

// Close closes the clients that New created.
func (s *Server) Close() error {
	if s.erased != nil {
		s.erased.Wait()
	}
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.rdb != nil {
		errs = append(errs, s.rdb.Close())
	}
	return errors.Join(errs...)
}

// Parts returns the parts of the service in the order in which they start. They are stopped in
// reverse order, so that the gateway drains while the parts that it needs are still running. A
// listener, if any, must come after them. The parts do not wait for Redis: frames that clients send
// before Redis is available are refused or retried.
func (s *Server) Parts() []lifecycle.Part {
	redisPart, _ := program.Redis(s.rdb, s.watch, s.cfg.Partitions, redisclient.WSServer, s.log)
	parts := []lifecycle.Part{
		{Name: "traces", Run: s.tracing.Run},
		{Name: "postgres", Run: func(ctx context.Context) error { return database.Watch(ctx, s.db, s.log) }},
		redisPart,
		{Name: "budget", Run: s.budget.Run},
		{Name: "log", Run: s.conns.Run},
		// The feed must start before the appender, which needs it when an append encounters a
		// different epoch.
		{Name: "feed", Run: s.feed.Run},
		{Name: "appender", Run: s.appender.Run},
		{Name: "limiter", Run: s.limiter.Run},
		{Name: "sender", Run: s.sender.Run},
		{Name: "presence", Run: s.presence.Run},
		{Name: "gateway", Run: s.gateway.Run},
	}
	if s.keys != nil {
		parts = slices.Insert(parts, 2, lifecycle.Part{Name: "keys", Run: s.keys.Run})
	}
	return parts
}

// drainTimeout limits the duration of the shutdown.
const drainTimeout = 20 * time.Second

// redisPool is the number of Redis connections used for everything except appends and
// subscriptions.
const redisPool = 32

// collector is the garbage collection policy. With many connections, most of the memory is
// long-lived, and the connections' stacks dominate it. Go's default lets garbage grow to the size
// of the live heap, which uses too much memory. A limit of 15% saves more than 4 KiB per
// connection. With few but busy connections, the live heap is small, and 15% of a few MiB would
// trigger twenty collections a second. These collections would use a fifth of the CPU and increase
// the 99th percentile of the ack latency. So there are no collections while fewer than Room bytes
// are in use; 10,000 idle connections use more than that.
var collector = gctune.Policy{Percent: 15, Room: 96 << 20}

// Run runs the service as a separate process until ctx is done.
func Run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) error {
	if len(args) > 0 {
		config.Usage(stderr, "ws-server", &Config{})
		if args[0] == "--help" || args[0] == "-h" {
			return nil
		}
		return fmt.Errorf("unknown argument %q: settings come from the environment", args[0])
	}
	cfg, err := LoadConfig(getenv)
	if err != nil {
		return err
	}
	if getenv("GOGC") == "" {
		collector.Keep()
	}
	log := telemetry.NewLogger(stderr, "ws-server", cfg.LogLevel)
	return program.Process{
		Name: "ws-server", Addr: cfg.Addr, MetricsAddr: cfg.MetricsAddr, ProfileAddr: cfg.ProfileAddr, RedisURL: cfg.RedisURL,
		DrainTimeout: drainTimeout, Logger: log,
		New: func(redisURL, _ string, reg *prometheus.Registry) (program.Service, error) {
			cfg.RedisURL = redisURL
			return New(cfg, nil, reg, log)
		},
	}.Run(ctx)
}
