// Package program runs a service as a process. All services have the same structure, so that the
// three programs and the standalone program start, check and stop them in the same way.
package program

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"parley.chat/internal/platform/lifecycle"
	"parley.chat/internal/platform/redisclient"
	"parley.chat/internal/platform/telemetry"
)

// Service is a service without its listeners. Its constructor opens clients, but sends nothing to
// Redis or PostgreSQL and starts no goroutines.
type Service interface {
	// Handler serves the service's API. It is nil if the service has none.
	Handler() http.Handler
	// Checks returns the readiness checks of the service.
	Checks() []telemetry.Check
	// Parts returns the parts in the order in which they start. Each part may run only once.
	Parts() []lifecycle.Part
	// Close releases the resources that the constructor opened. It must not be called while parts
	// run.
	Close() error
}

// Process describes how to run a service as a separate process.
type Process struct {
	Name        string // label for logs and metrics, such as "ws-server"
	Addr        string // listen address for the API and the probes
	MetricsAddr string // listen address for /metrics
	// MetricsAtAddr makes the process serve /metrics at Addr instead of MetricsAddr. Addr must then
	// not be public.
	MetricsAtAddr bool
	ProfileAddr   string // listen address for profiles; "" disables them
	RedisURL      string
	DrainTimeout  time.Duration // 0 selects the default of lifecycle.Run
	Logger        *slog.Logger
	// New constructs the service. addr is the address that the process listens on; its port may
	// differ from the port in Addr.
	New func(redisURL, addr string, reg *prometheus.Registry) (Service, error)
}

// Run runs the service until ctx is done. If REDIS_URL contains one address, and the server there
// turns out to belong to a Redis Cluster, Run constructs the service again for that cluster.
func (p Process) Run(ctx context.Context) error {
	redisURL := redisclient.Discover(ctx, p.RedisURL)
	err := p.serve(ctx, redisURL)
	if errors.Is(err, redisclient.ErrCluster) && ctx.Err() == nil {
		err = p.serve(ctx, redisclient.AsCluster(redisURL))
	}
	return err
}

func (p Process) serve(ctx context.Context, redisURL string) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", p.Addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", p.Addr, err)
	}
	defer func() { _ = listener.Close() }() // the listener is already closed if the part "http" has run
	reg := telemetry.NewRegistry(p.Name)
	service, err := p.New(redisURL, listener.Addr().String(), reg)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	telemetry.Probes(mux, p.Logger, service.Checks()...)
	if h := service.Handler(); h != nil {
		mux.Handle("/", h)
	}
	parts := append(service.Parts(), lifecycle.Part{Name: "profiles", Run: func(ctx context.Context) error {
		return telemetry.ServeProfiles(ctx, p.ProfileAddr, p.Logger)
	}})
	if p.MetricsAtAddr {
		mux.Handle("GET /metrics", telemetry.MetricsHandler(reg))
	} else {
		parts = append(parts, lifecycle.Part{Name: "metrics", Run: func(ctx context.Context) error {
			return telemetry.ServeMetrics(ctx, p.MetricsAddr, reg, p.Logger)
		}})
	}
	parts = append(parts, lifecycle.Part{Name: "http", Run: func(ctx context.Context) error {
		return telemetry.ServeListener(ctx, listener, mux, p.Logger)
	}})
	err = lifecycle.Run(ctx, p.Logger, p.DrainTimeout, parts...)
	return errors.Join(err, service.Close())
}

// Redis returns a part that waits until Redis is suitable for a service, closes the channel ready,
// and then watches the settings of Redis. The part fails if Redis can never be suitable.
func Redis(rdb redis.UniversalClient, watch *redisclient.Watch, partitions int, commands redisclient.Commands, log *slog.Logger) (part lifecycle.Part, ready <-chan struct{}) {
	suitable := make(chan struct{})
	return lifecycle.Part{Name: "redis", Run: func(ctx context.Context) error {
		if err := redisclient.Await(ctx, rdb, partitions, commands, log); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		close(suitable)
		return watch.Run(ctx)
	}}, suitable
}

// After returns a copy of part that starts its work only after the channel ready has been closed.
func After(ready <-chan struct{}, part lifecycle.Part) lifecycle.Part {
	run := part.Run
	part.Run = func(ctx context.Context) error {
		select {
		case <-ready:
			return run(ctx)
		case <-ctx.Done():
			return nil
		}
	}
	return part
}
