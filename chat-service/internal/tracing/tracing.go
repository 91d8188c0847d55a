// Package tracing sends a span of each request to a collector of OpenTelemetry, over OTLP/HTTP, when
// there is one. Nothing is registered globally; without a collector nothing is made and nothing sent.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// flushPatience bounds what a collector may cost a program that stops.
const flushPatience = 3 * time.Second

// Tracing makes spans. Construct it, Run it. It is safe for concurrent use.
type Tracing struct {
	endpoint string
	provider *sdktrace.TracerProvider // nil without a collector
	log      *slog.Logger
}

// New returns a Tracing of a service. endpoint is the collector's address, as in
// OTEL_EXPORTER_OTLP_ENDPOINT; "" for none. It does no I/O and starts nothing. The sampler is that of
// OTEL_TRACES_SAMPLER: by default every request, unless the caller's trace is not sampled.
func New(endpoint, service string, log *slog.Logger) *Tracing {
	t := &Tracing{endpoint: endpoint, log: log}
	if endpoint != "" {
		t.provider = sdktrace.NewTracerProvider(sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", service))))
	}
	return t
}

// Tracer returns what makes the spans.
func (t *Tracing) Tracer() trace.Tracer {
	const name = "parley.chat/chat-service"
	if t.provider == nil {
		return noop.NewTracerProvider().Tracer(name)
	}
	return t.provider.Tracer(name)
}

// Run sends spans until ctx is done, and then what is left. Spans that end before or after it are lost.
func (t *Tracing) Run(ctx context.Context) error {
	if t.provider == nil {
		<-ctx.Done()
		return nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(strings.TrimRight(t.endpoint, "/")+"/v1/traces"))
	if err != nil {
		return fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
	}
	t.provider.RegisterSpanProcessor(sdktrace.NewBatchSpanProcessor(exporter))
	<-ctx.Done()
	soon, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushPatience)
	defer cancel()
	if err := t.provider.Shutdown(soon); err != nil {
		t.log.WarnContext(ctx, "last spans not sent", "err", err) // requests were answered all the same
	}
	return nil
}
