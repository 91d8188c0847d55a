// Package ops shows operators the pipeline: it gathers what the metrics of all instances say at one moment
// and adds it up, and it knows who is an operator.
//
// The figures are Prometheus's, read from the same pages, so that no second count can differ from the
// first; nothing is kept from one question to the next, and whoever wants a history has Prometheus.
// Instances are asked side by side, at most once a second however many look, and one that does not answer
// costs the others nothing.
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

// Config configures a Service. A zero optional field means its default.
type Config struct {
	DB       *bun.DB       // required
	Targets  []string      // addresses of metrics; a name stands for every address that it has
	Open     bool          // everybody is an operator
	Fresh    time.Duration // default 1s: how old an answer may be
	Timeout  time.Duration // default 1.5s for an instance to answer, and for a name to be looked up
	Resolver *net.Resolver // default net.DefaultResolver
}

// Service is the feature. It is safe for concurrent use.
type Service struct {
	cfg    Config
	client *http.Client
	flight singleflight.Group

	mu   sync.Mutex // guards last
	last reading
}

// reading is what was gathered, and when.
type reading struct {
	at      time.Time
	metrics api.OpsMetrics
}

// New checks cfg.
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

// GetOpsMetrics answers GET /v1/ops/metrics.
func (s *Service) GetOpsMetrics(ctx context.Context, _ api.GetOpsMetricsRequestObject) (api.GetOpsMetricsResponseObject, error) {
	if !s.cfg.Open {
		may, err := isOperator(ctx, s.cfg.DB, httpapi.UserOf(ctx).UserID)
		if err != nil {
			return nil, err
		}
		if !may {
			return nil, apierr.New(apierr.Forbidden, "this is for operators: chat-service operator grant NAME makes one")
		}
	}
	metrics, err := s.metrics(ctx)
	if err != nil {
		return nil, err
	}
	return api.GetOpsMetrics200JSONResponse(metrics), nil
}

// metrics returns a reading that is fresh enough. Those who ask at the same time share one, which does not
// end because one of them goes away.
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
