// Package tracing sends spans to an OpenTelemetry collector over OTLP/HTTP, if one is configured.
// It registers nothing globally. If no collector is configured, it creates and sends nothing.
//
// Ended spans wait in a bounded queue. Ending a span never blocks: if the queue is full, the span
// is dropped and counted. Spans that the collector does not accept are also counted.
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

// Config holds a service's tracing settings.
type Config struct {
	Endpoint      string  `env:"OTEL_EXPORTER_OTLP_ENDPOINT" desc:"collector of traces, such as http://localhost:4318; empty: none"`
	Headers       Headers `env:"OTEL_EXPORTER_OTLP_HEADERS" desc:"headers for the collector, such as a key: name=value,… with percent-encoded values"`
	TracesHeaders Headers `env:"OTEL_EXPORTER_OTLP_TRACES_HEADERS" desc:"used instead of OTEL_EXPORTER_OTLP_HEADERS, for traces"`
	// Timeout is in milliseconds, as specified by OpenTelemetry; 0 means the default.
	Timeout     int    `env:"OTEL_EXPORTER_OTLP_TIMEOUT" envDefault:"10000" desc:"timeout in milliseconds for one attempt to send a batch of spans; its retries may take as long again"`
	Compression string `env:"OTEL_EXPORTER_OTLP_COMPRESSION" envDefault:"none" desc:"compression of data sent to the collector: none or gzip"`

	Ratio float64 `env:"TRACE_RATIO" envDefault:"0.01" desc:"share of messages that are traced, from 0 to 1; the same for all services"`
}

// Check returns an error that names the first invalid variable.
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
	if !(c.Ratio >= 0 && c.Ratio <= 1) { // also rejects NaN
		return &config.Error{Name: "TRACE_RATIO", Err: fmt.Errorf("%v is not between 0 and 1", c.Ratio)}
	}
	return nil
}

// timeout returns the time limit for one attempt to send a batch.
func (c Config) timeout() time.Duration {
	return cmp.Or(time.Duration(c.Timeout)*time.Millisecond, defaultTimeout)
}

// Limits for queueing and sending spans.
const (
	queueSpans = 4096
	batchSpans = 512
	batchWait  = time.Second
	// attempts determines the time limit for sending a batch, including retries and pauses. The
	// limit is attempts times the timeout per attempt.
	attempts = 2
	// maxMilliseconds is the maximum timeout setting: one hour. A larger value is assumed to be a
	// mistake.
	maxMilliseconds = 3_600_000
	// flushTimeout limits how long sending the last spans may delay the program's exit.
	flushTimeout = 3 * time.Second
)

// Tracing creates spans, and sends them while Run is running. It is safe for concurrent use.
type Tracing struct {
	cfg   Config
	log   *slog.Logger
	own   *resource.Resource
	queue *queue // nil without a collector
}

// New returns a Tracing for a service and registers its metrics with reg. It starts nothing and
// does not validate cfg: see Config.Check.
func New(cfg Config, service string, reg prometheus.Registerer, log *slog.Logger) *Tracing {
	t := &Tracing{cfg: cfg, log: log}
	if cfg.Endpoint != "" {
		host, _ := os.Hostname() // distinguishes instances; if unknown, set OTEL_RESOURCE_ATTRIBUTES
		t.own = resource.NewSchemaless(attribute.String("service.name", service), attribute.String("host.name", cmp.Or(host, "unknown")))
		t.queue = newQueue(reg)
	}
	return t
}

// Tracer returns a tracer for requests. OTEL_TRACES_SAMPLER selects the sampler. By default,
// the tracer follows the caller's sampling decision, and samples every request without one.
func (t *Tracing) Tracer(name string) trace.Tracer {
	p := t.Provider()
	if p == nil {
		p = noop.NewTracerProvider()
	}
	return p.Tracer(name)
}

// Provider returns a tracer provider whose spans are sent to the collector, or nil if there is no
// collector.
func (t *Tracing) Provider(options ...sdktrace.TracerProviderOption) trace.TracerProvider {
	if t.queue == nil {
		return nil
	}
	return sdktrace.NewTracerProvider(append(options, sdktrace.WithResource(t.own), sdktrace.WithSpanProcessor(t.queue))...)
}

// Run sends spans until ctx is done. It then sends the remaining spans, for at most 3 s. It also
// sends spans that ended before Run was called.
func (t *Tracing) Run(ctx context.Context) error {
	if t.queue == nil {
		<-ctx.Done()
		return nil
	}
	sending, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(flushTimeout, giveUp) })()
	client, err := newClient(t.cfg)
	if err != nil {
		return &config.Error{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Err: err}
	}
	exporter, err := otlptrace.New(sending, client)
	if err != nil {
		return fmt.Errorf("start the trace exporter: %w", err)
	}
	for failing := false; ; {
		batch := t.queue.next(ctx)
		if len(batch) == 0 {
			break // ctx is done, and nothing is left
		}
		failing = t.send(sending, exporter, batch, failing)
	}
	if err := exporter.Shutdown(sending); err != nil {
		t.log.WarnContext(ctx, "failed to close the trace exporter", "err", err)
	}
	return nil
}

// send sends a batch to the collector, counts the results, and reports whether spans were lost.
// Only the first of consecutive failures is logged.
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
		// Log only a warning: the traces are lost, but the traced requests were served.
		t.log.WarnContext(ctx, "failed to send traces", "spans", lost, "err", err)
	}
	return lost > 0 // false if the collector only sent a warning: the next failure is then logged
}
