// Package tracing sends spans to a collector of OpenTelemetry, over OTLP/HTTP, when there is one. Nothing
// is registered globally; without a collector nothing is made and nothing sent.
//
// A span that has ended waits in a bounded queue. Who ends one is never held up: where the queue is full
// the span is dropped and counted, as are those that the collector does not take.
package tracing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"parley.chat/internal/platform/config"
)

// Config is what a service's settings say of traces.
type Config struct {
	Endpoint      string  `env:"OTEL_EXPORTER_OTLP_ENDPOINT" desc:"collector of traces, such as http://localhost:4318; empty: none"`
	Headers       Headers `env:"OTEL_EXPORTER_OTLP_HEADERS" desc:"headers for the collector, such as a key: name=value,…, the values percent-encoded"`
	TracesHeaders Headers `env:"OTEL_EXPORTER_OTLP_TRACES_HEADERS" desc:"in their place for traces"`
	// Timeout is in milliseconds, as OpenTelemetry has it; 0 means the default.
	Timeout     int    `env:"OTEL_EXPORTER_OTLP_TIMEOUT" envDefault:"10000" desc:"milliseconds for an attempt to send a batch of spans; its retries have as many again"`
	Compression string `env:"OTEL_EXPORTER_OTLP_COMPRESSION" envDefault:"none" desc:"of what is sent to the collector: none or gzip"`

	Ratio float64 `env:"TRACE_RATIO" envDefault:"0.01" desc:"share of messages whose way is traced, from 0 to 1; the same for all services"`
}

// Check tells what is wrong with the settings, by variable.
func (c Config) Check() error {
	if c.Endpoint != "" {
		if err := config.CheckHTTP(c.Endpoint); err != nil {
			return &config.Error{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Err: err}
		}
	}
	if c.Timeout < 0 || c.Timeout > maxMilliseconds {
		return &config.Error{Name: "OTEL_EXPORTER_OTLP_TIMEOUT", Err: fmt.Errorf("%d is not between 0 (the default) and %d milliseconds", c.Timeout, maxMilliseconds)}
	}
	if c.Compression != "" && c.Compression != "none" && c.Compression != "gzip" {
		return &config.Error{Name: "OTEL_EXPORTER_OTLP_COMPRESSION", Err: fmt.Errorf("%q is neither none nor gzip", c.Compression)}
	}
	if !(c.Ratio >= 0 && c.Ratio <= 1) { // nor NaN
		return &config.Error{Name: "TRACE_RATIO", Err: fmt.Errorf("%v is not between 0 and 1", c.Ratio)}
	}
	return nil
}

// timeout bounds an attempt to send a batch.
func (c Config) timeout() time.Duration {
	return cmp.Or(time.Duration(c.Timeout)*time.Millisecond, defaultTimeout)
}

// Bounds of what waits to be sent, and of sending it.
const (
	queueSpans = 4096
	batchSpans = 512
	batchWait  = time.Second
	// attempts says how many timeouts a batch may take, its retries and the pauses between them included.
	attempts = 2
	// maxMilliseconds is an hour: more is a mistake.
	maxMilliseconds = 3_600_000
	// flushPatience bounds what a collector may cost a program that stops.
	flushPatience = 3 * time.Second
)

// Tracing makes spans. Construct it, Run it. It is safe for concurrent use.
type Tracing struct {
	cfg   Config
	log   *slog.Logger
	own   *resource.Resource
	queue *queue // nil without a collector
}

// New returns a Tracing of a service, with its metrics at reg. It starts nothing, and checks nothing: see
// Config.Check.
func New(cfg Config, service string, reg prometheus.Registerer, log *slog.Logger) *Tracing {
	t := &Tracing{cfg: cfg, log: log}
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
	client, err := newClient(t.cfg)
	if err != nil {
		return &config.Error{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Err: err}
	}
	exporter, err := otlptrace.New(sending, client)
	if err != nil {
		return fmt.Errorf("start the exporter of traces: %w", err)
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
	ctx, cancel := context.WithTimeout(ctx, attempts*t.cfg.timeout())
	defer cancel()
	err, lost := to.ExportSpans(ctx, batch), 0
	if partial, ok := errors.AsType[*rejectedError](err); ok {
		lost = min(max(partial.spans, 0), len(batch))
	} else if err != nil {
		lost = len(batch)
	}
	t.queue.sent.Add(float64(len(batch) - lost))
	t.queue.failed.Add(float64(lost))
	if err != nil && !failing {
		t.log.WarnContext(ctx, "traces not sent", "spans", lost, "err", err) // the work itself was done all the same
	}
	return lost > 0 // a collector that merely complains hides no failure to come
}
