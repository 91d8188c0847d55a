// Package standalone runs all of Parley in one process on one port, on a machine with nothing else
// installed. It finds or installs PostgreSQL and Redis, starts private servers, migrates the
// schema, and serves.
//
// It starts the stores, the persister, the API, the gateway and the listener, in this order, and
// stops them in reverse order, so that work in progress finishes while the stores are still
// running. It acquires the port and the data directory first, so that a second instance fails
// before it has started anything. If a private server dies, the process stops with an error.
// Acknowledged messages survive a power failure, because Redis syncs its append-only file after
// every command and PostgreSQL syncs its commits.
package standalone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"syscall"
	"time"

	"parley.chat/internal/platform/config"
	"parley.chat/internal/platform/lifecycle"
	"parley.chat/internal/platform/telemetry"
)

// drain is the maximum duration of a shutdown, including that of the private servers.
const drain = 40 * time.Second

// Run runs the program: it reads the settings from getenv, reports progress on stderr, and serves
// until ctx is done.
func Run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "-h", "-help", "--help", "help":
			usage(stderr)
			return nil
		}
		return fmt.Errorf("unknown argument %q: settings come from the environment, see --help", args[0])
	}
	cfg, err := LoadConfig(getenv)
	if err != nil {
		return err
	}
	return Serve(ctx, cfg, Options{Progress: stderr, Log: stderr, Hints: true})
}

// Options holds the options of Serve that are not settings.
type Options struct {
	Progress io.Writer     // receives messages about the progress of startup and shutdown; nil discards them
	Log      io.Writer     // receives the log and the output of installations; nil discards them
	Hints    bool          // whether to print example commands to Progress
	Ready    func(Running) // if not nil, called once when all services are ready
}

// Running holds the addresses of a running system.
type Running struct {
	URL         string // URL of the API and the page; the gateway is at /ws
	MetricsURL  string
	DatabaseURL string
	RedisURL    string
}

// Serve runs the system until ctx is done. It owns every goroutine and every process that it
// starts.
func Serve(ctx context.Context, cfg Config, opts Options) error {
	if opts.Log == nil {
		opts.Log = io.Discard
	}
	p := newProgress(opts.Progress)
	log := telemetry.NewLogger(opts.Log, "standalone", cfg.LogLevel)
	dir, err := openDataDir(cfg.DataDir)
	if err != nil {
		return err
	}
	defer dir.close()
	parts, err := start(ctx, cfg, opts, dir, p, log)
	if err == nil {
		err = lifecycle.Run(ctx, log, drain, parts...)
	} else if ctx.Err() != nil {
		log.DebugContext(ctx, "stopped while starting", "err", err)
		err = nil
	}
	p.end(err, cfg.DataDir)
	return err
}

// start opens the port, prepares the stores, and returns the servers and services to run. If it
// fails, it leaves nothing running.
func start(ctx context.Context, cfg Config, opts Options, dir *dataDir, p *progress, log *slog.Logger) (_ []lifecycle.Part, err error) {
	listener, err := listen(ctx, "ADDR", cfg.Addr)
	if err != nil {
		return nil, err
	}
	metrics, err := listen(ctx, "METRICS_ADDR", cfg.MetricsAddr)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, listener.Close(), metrics.Close())
		}
	}()
	run := Running{URL: baseURL(cfg.Addr, listener.Addr())}
	dir.writeOwner(run.URL)
	p.title("Parley standalone, data in %s", cfg.DataDir)
	st, err := openStores(ctx, cfg, dir, p, opts.Log, log)
	if err != nil {
		return nil, err
	}
	run.DatabaseURL, run.RedisURL = st.databaseURL, st.redisURL
	reg := telemetry.NewRegistry("standalone")
	run.MetricsURL = baseURL(cfg.MetricsAddr, metrics.Addr()) + "/metrics"
	sv, err := newServices(cfg, st, run.MetricsURL, reg, func(service string) *slog.Logger {
		return telemetry.NewLogger(opts.Log, service, cfg.LogLevel)
	})
	if err != nil {
		return nil, errors.Join(err, st.stop(ctx))
	}
	h := announcer{progress: p, checks: sv.checks, run: run, opts: opts}
	return append(
		append(st.parts(), sv.parts...),
		lifecycle.Part{Name: "metrics", Run: func(ctx context.Context) error {
			return telemetry.ServeListener(ctx, metrics, telemetry.MetricsHandler(reg), log)
		}},
		lifecycle.Part{Name: "listener", Run: func(ctx context.Context) error {
			return telemetry.ServeListener(ctx, listener, sv.handler(log), log)
		}},
		lifecycle.Part{Name: "ready", Run: h.announce},
	), nil
}

// listen opens the port. Clients that connect before the services are ready wait in the listen
// backlog.
func listen(ctx context.Context, setting, addr string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		err = fmt.Errorf("%s is in use by another program; stop it, or choose another port, for example %s=localhost:8070", addr, setting)
	case errors.Is(err, syscall.EACCES):
		err = fmt.Errorf("permission denied for %s; choose a port of 1024 or higher, for example %s=localhost:8080", addr, setting)
	}
	return nil, &config.Error{Name: setting, Err: err}
}

// baseURL returns the address to open in a browser on this machine.
func baseURL(addr string, bound net.Addr) string {
	host, _, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	_, port, err := net.SplitHostPort(bound.String())
	if err != nil {
		return "http://" + host
	}
	return "http://" + net.JoinHostPort(host, port)
}
