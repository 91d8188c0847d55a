// Package ops implements the pipeline view for operators. It collects the current metrics of all
// instances and adds them up. It also manages the operator role.
//
// The values come from the endpoints that Prometheus scrapes, so they always agree with Prometheus.
// The package stores no history; use Prometheus for that. Instances are queried concurrently, at
// most once a second regardless of the number of viewers. An instance that does not respond does
// not affect the values of the other instances.
package ops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/uptrace/bun"
	"golang.org/x/sync/singleflight"

	"parley.chat/internal/platform/config"
	"parley.chat/shared-contracts/apierr"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/httpapi"
)

// Config configures a Service. If an optional field is zero, its default is used.
type Config struct {
	DB       *bun.DB       // required
	Targets  []string      // URLs of metrics endpoints; each IP address of a host name is queried
	Open     bool          // whether every user is an operator
	Fresh    time.Duration // maximum age of a reading; default 1s
	Timeout  time.Duration // time limit for querying an instance and for a DNS lookup; default 1.5s
	Resolver *net.Resolver // default net.DefaultResolver
}

// Service implements the endpoint for operators. It is safe for concurrent use.
type Service struct {
	cfg    Config
	client *http.Client
	flight singleflight.Group

	mu   sync.Mutex // guards last
	last reading
}

// reading holds the metrics from one round of queries and the time at which they were collected.
type reading struct {
	at      time.Time
	metrics api.OpsMetrics
}

// New validates cfg and returns a Service.
func New(cfg Config) (*Service, error) {
	if cfg.DB == nil {
		return nil, errors.New("ops: DB is required")
	}
	for i, target := range cfg.Targets {
		if err := config.CheckHTTP(target); err != nil {
			return nil, &config.Error{Name: "METRICS_TARGETS", Err: fmt.Errorf("address %d of %d %w", i+1, len(cfg.Targets), err)}
		}
	}
	cfg.Resolver = cmp.Or(cfg.Resolver, net.DefaultResolver)
	cfg.Fresh, cfg.Timeout = cmp.Or(cfg.Fresh, time.Second), cmp.Or(cfg.Timeout, 1500*time.Millisecond)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Resolver: cfg.Resolver}).DialContext
	return &Service{cfg: cfg, client: &http.Client{Timeout: cfg.Timeout, Transport: transport}}, nil
}

// GetOpsMetrics handles GET /v1/ops/metrics.
func (s *Service) GetOpsMetrics(ctx context.Context, _ api.GetOpsMetricsRequestObject) (api.GetOpsMetricsResponseObject, error) {
	if !s.cfg.Open {
		may, err := isOperator(ctx, s.cfg.DB, httpapi.UserOf(ctx).UserID)
		if err != nil {
			return nil, err
		}
		if !may {
			return nil, apierr.New(apierr.Forbidden, "This operation is only for operators. Use chat-service operator grant NAME to make a user an operator.")
		}
	}
	metrics, err := s.metrics(ctx)
	if err != nil {
		return nil, err
	}
	return api.GetOpsMetrics200JSONResponse(metrics), nil
}

// metrics returns metrics that are at most cfg.Fresh old. Concurrent callers share one round of
// queries. The round continues even if one of the callers disconnects.
func (s *Service) metrics(ctx context.Context) (api.OpsMetrics, error) {
	done := s.flight.DoChan("", func() (any, error) {
		s.mu.Lock()
		last := s.last
		s.mu.Unlock()
		if time.Since(last.at) < s.cfg.Fresh {
			return last.metrics, nil
		}
		now := time.Now()
		metrics := s.gather(context.WithoutCancel(ctx), now)
		s.mu.Lock()
		s.last = reading{now, metrics}
		s.mu.Unlock()
		return metrics, nil
	})
	select {
	case r := <-done:
		return r.Val.(api.OpsMetrics), nil
	case <-ctx.Done():
		return api.OpsMetrics{}, fmt.Errorf("gather metrics: %w", ctx.Err())
	}
}
