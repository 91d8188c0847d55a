package tracing_test

import (
	"context"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/otlptest"
	"parley.chat/internal/platform/telemetry/tracing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// run runs a Tracing until stop is called; stop returns Run's result.
func run(t *testing.T, tr *tracing.Tracing) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tr.Run(ctx) }()
	return func() error { cancel(); return <-done }
}

// count returns how many spans had an outcome.
func count(t *testing.T, reg *prometheus.Registry, outcome string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "parley_trace_spans_total" && m.GetLabel()[0].GetValue() == outcome {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no metric of %s spans", outcome)
	return 0
}

// TestRun_flushes checks that spans that ended before the stop reach the collector, even if they
// ended before the start.
func TestRun_flushes(t *testing.T) {
	t.Parallel()
	collector, reg := otlptest.New(t), prometheus.NewRegistry()
	tr := tracing.New(tracing.Config{Endpoint: collector.URL + "/"}, "chat-service", reg, quiet)
	_, span := tr.Tracer("test").Start(t.Context(), "the first")
	span.End()
	stop := run(t, tr)
	testkit.Until(t, testkit.Timeout, func() error {
		if len(collector.Spans()) == 0 {
			return context.DeadlineExceeded
		}
		return nil
	})
	_, span = tr.Tracer("test").Start(t.Context(), "the last")
	span.End()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	got := collector.Spans()
	if len(got) != 2 || got[0].Name != "the first" || got[1].Name != "the last" || got[1].Service != "chat-service" {
		t.Errorf("the collector has %+v", got)
	}
	if n := count(t, reg, "sent"); n != 2 {
		t.Errorf("%v spans are counted as sent, want 2", n)
	}
}

func TestRun_withoutCollector(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	tr := tracing.New(tracing.Config{Ratio: 1}, "chat-service", reg, quiet)
	_, span := tr.Tracer("test").Start(t.Context(), "x")
	if span.IsRecording() || tr.Provider() != nil {
		t.Error("a span was created for an untraced event")
	}
	if err := run(t, tr)(); err != nil {
		t.Error(err)
	}
	if families, err := reg.Gather(); err != nil || len(families) != 0 {
		t.Errorf("metrics %v, %v; want none", families, err)
	}
}

// TestTracer_neverWaits checks that a hanging collector only causes lost spans, which are counted,
// and delays the end of the program by at most flushTimeout.
func TestTracer_neverWaits(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer collector.Close()
	defer close(hang)
	reg := prometheus.NewRegistry()
	tr := tracing.New(tracing.Config{Endpoint: collector.URL}, "ws-server", reg, quiet)
	tracer, stop := tr.Tracer("test"), run(t, tr)
	const many = 10_000
	for range many {
		_, span := tracer.Start(t.Context(), "x")
		span.End()
	}
	began := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("stopping took %s", took)
	}
	dropped, failed := count(t, reg, "dropped"), count(t, reg, "failed")
	if dropped < many-2*4096 || failed == 0 || dropped+failed != many {
		t.Errorf("of %d spans %v were dropped and %v failed", many, dropped, failed)
	}
}

func TestConfig_Check(t *testing.T) {
	t.Parallel()
	for _, ok := range []tracing.Config{{}, {Endpoint: "http://localhost:4318", Ratio: 1}, {Endpoint: "https://x/otlp", Ratio: 0.01, Timeout: 1, Compression: "none"}} {
		if err := ok.Check(); err != nil {
			t.Errorf("%+v: %v", ok, err)
		}
	}
	for _, bad := range []struct {
		cfg  tracing.Config
		name string
	}{
		{tracing.Config{Endpoint: "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT"},
		{tracing.Config{Endpoint: "http://"}, "OTEL_EXPORTER_OTLP_ENDPOINT"},
		{tracing.Config{Timeout: -1}, "OTEL_EXPORTER_OTLP_TIMEOUT"},
		{tracing.Config{Timeout: 3_600_001}, "OTEL_EXPORTER_OTLP_TIMEOUT"},
		{tracing.Config{Compression: "zstd"}, "OTEL_EXPORTER_OTLP_COMPRESSION"},
		{tracing.Config{Ratio: 1.1}, "TRACE_RATIO"},
		{tracing.Config{Ratio: -1}, "TRACE_RATIO"},
		{tracing.Config{Ratio: math.NaN()}, "TRACE_RATIO"},
	} {
		if err := bad.cfg.Check(); err == nil || !strings.HasPrefix(err.Error(), bad.name+": ") {
			t.Errorf("%+v: %v, want an error that begins with %s", bad.cfg, err, bad.name)
		}
	}
}
