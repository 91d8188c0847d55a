// Package tracing sends spans to a collector of OpenTelemetry, over OTLP/HTTP, when there is one. Nothing
// is registered globally; without a collector nothing is made and nothing sent.
//
// A span that has ended waits in a bounded queue. Who ends one is never held up: where the queue is full
// the span is dropped and counted, as are those that the collector does not take.
package tracing

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"parley.chat/internal/config"
)

// Config is what a service's settings say of traces.
type Config struct {
	Endpoint string  `env:"OTEL_EXPORTER_OTLP_ENDPOINT" desc:"collector of traces, such as http://localhost:4318; empty: none"`
	Ratio    float64 `env:"TRACE_RATIO" envDefault:"0.01" desc:"share of messages whose way is traced, from 0 to 1; the same for all services"`
}

// Check tells what is wrong with the settings, by variable.
func (c Config) Check() error {
	if u, err := url.Parse(c.Endpoint); c.Endpoint != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		return &config.Error{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Err: fmt.Errorf("%q is no http or https address", c.Endpoint)}
	}
	if !(c.Ratio >= 0 && c.Ratio <= 1) { // nor NaN
		return &config.Error{Name: "TRACE_RATIO", Err: fmt.Errorf("%v is not between 0 and 1", c.Ratio)}
	}
	return nil
}

// Bounds of what waits to be sent, and of sending it.
const (
	queueSpans = 4096
	batchSpans = 512
	batchWait  = time.Second
	// sendWithin bounds a batch, the exporter's retries included.
	sendWithin = 20 * time.Second
	// flushPatience bounds what a collector may cost a program that stops.
	flushPatience = 3 * time.Second
)

// Tracing makes spans. Construct it, Run it. It is safe for concurrent use.
type Tracing struct {
	endpoint string
	log      *slog.Logger
	own      *resource.Resource
	queue    *queue // nil without a collector
}

// New returns a Tracing of a service, with its metrics at reg. It starts nothing, and checks nothing: see
// Config.Check.
func New(cfg Config, service string, reg prometheus.Registerer, log *slog.Logger) *Tracing {
	t := &Tracing{endpoint: cfg.Endpoint, log: log}
	if cfg.Endpoint != "" {
		host, _ := os.Hostname() // tells instances apart; one without a name is told by OTEL_RESOURCE_ATTRIBUTES
		t.own = resource.NewSchemaless(attribute.String("service.name", service), attribute.String("host.name", cmp.Or(host, "unknown")))
		t.queue = newQueue(reg)
	}
	return t
}

// Tracer returns what makes spans of requests. Its sampler is that of OTEL_TRACES_SAMPLER: by default
// every one, unless the caller's trace is not sampled.
func (t *Tracing) Tracer(name string) trace.Tracer {
	p := t.Provider()
	if p == nil {
		p = noop.NewTracerProvider()
	}
	return p.Tracer(name)
}

// Provider returns what makes tracers whose spans go to the collector, or nil without one.
func (t *Tracing) Provider(options ...sdktrace.TracerProviderOption) trace.TracerProvider {
	if t.queue == nil {
		return nil
	}
	return sdktrace.NewTracerProvider(append(options, sdktrace.WithResource(t.own), sdktrace.WithSpanProcessor(t.queue))...)
}

// Run sends spans until ctx is done, and then what is left, as far as the collector takes it in 3 s. What
// ended before Run is sent as well.
func (t *Tracing) Run(ctx context.Context) error {
	if t.queue == nil {
		<-ctx.Done()
		return nil
	}
	sending, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(flushPatience, giveUp) })()
	exporter, err := otlptracehttp.New(sending, otlptracehttp.WithEndpointURL(strings.TrimRight(t.endpoint, "/")+"/v1/traces"))
	if err != nil {
		return &config.Error{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Err: err}
	}
	for failing := false; ; {
		batch := t.queue.take(ctx)
		if len(batch) == 0 {
			break // told to stop, and nothing is left
		}
		failing = t.send(sending, exporter, batch, failing)
	}
	if err := exporter.Shutdown(sending); err != nil {
		t.log.WarnContext(ctx, "collector of traces not closed", "err", err)
	}
	return nil
}

// send hands a batch to the collector, counts what became of it, and reports whether it failed. Only the
// first failure in a row is logged.
func (t *Tracing) send(ctx context.Context, to sdktrace.SpanExporter, batch []sdktrace.ReadOnlySpan, failing bool) (failed bool) {
	ctx, cancel := context.WithTimeout(ctx, sendWithin)
	defer cancel()
	err := to.ExportSpans(ctx, batch)
	switch {
	case err == nil:
		t.queue.sent.Add(float64(len(batch)))
		return false
	case !failing:
		t.log.WarnContext(ctx, "traces not sent", "spans", len(batch), "err", err) // the work itself was done all the same
	}
	t.queue.failed.Add(float64(len(batch)))
	return true
}
