// Package msgtrace traces events from a WebSocket frame or REST request, through the stream, to
// their rows in PostgreSQL. The id of an event's trace is the event's id. So the stream carries no
// trace data, and every service adds its spans under an id that it already knows. A message's trace
// can be found by the message's id.
//
// Whether an event is traced depends on the random bits of its id, so every service with the same
// ratio makes the same decision. Spans are created when they end, so an event that is not traced
// costs one comparison. If nothing is traced, New returns a nil Tracer, which is ready for use and
// costs nothing.
//
// Nothing in this package blocks, fails or starts goroutines. All of it is safe for concurrent use.
package msgtrace

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"parley.chat/internal/platform/telemetry/tracing"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// Tracer creates the spans of events. A nil Tracer creates none.
type Tracer struct {
	tracer    trace.Tracer
	threshold uint64 // lowest chance of a traced event
}

// New returns a Tracer that traces the given fraction of all events, or nil if tracing has no
// collector or the ratio is 0.
func New(t *tracing.Tracing, ratio float64) *Tracer {
	// The event's id determines whether it is traced. OTEL_TRACES_SAMPLER applies only to requests.
	p := t.Provider(sdktrace.WithIDGenerator(ids{}), sdktrace.WithSampler(sdktrace.AlwaysSample()))
	if p == nil || ratio <= 0 {
		return nil
	}
	return &Tracer{tracer: p.Tracer("parley.chat/internal/eventlog/msgtrace"), threshold: thresholdOf(ratio)}
}

// Traces reports whether an event is traced.
func (t *Tracer) Traces(id chat.EventID) bool {
	return t != nil && chance(id) >= t.threshold && isV7(id.UUID)
}

// Link links the span of a request, if ctx has one, to the trace of the event that the request
// created.
func (t *Tracer) Link(ctx context.Context, id chat.EventID) {
	if t.Traces(id) {
		trace.SpanFromContext(ctx).AddLink(trace.Link{SpanContext: Root(id)})
	}
}

// Storing describes an entry that was read from the stream and stored as a row in PostgreSQL.
type Storing struct {
	ID        chat.EventID
	Channel   chat.ChannelID
	Seq       int64
	Kind      event.Kind
	Partition int
	EntryID   string
	Added     time.Time // when the entry was added to the stream, according to the Redis server's clock
	Gathered  time.Time // when it was added to a batch
	Committed time.Time
	Rows      int  // rows in the batch
	Copied    bool // whether the row was stored with COPY rather than INSERT
	Failed    string
}

// Stored creates the span for a committed row or tombstone.
func (t *Tracer) Stored(s Storing) {
	if !t.Traces(s.ID) {
		return
	}
	path := "insert"
	if s.Copied {
		path = "copy"
	}
	added := s.Added
	if added.After(s.Committed) { // clocks differ between machines
		added = s.Committed
	}
	span := t.begin(Root(s.ID), "store", trace.SpanKindConsumer, added,
		attribute.String("channel_id", s.Channel.String()), attribute.Int64("seq", s.Seq), attribute.String("kind", string(s.Kind)),
		attribute.Int("partition", s.Partition), attribute.String("entry_id", s.EntryID),
		attribute.Int("batch_rows", s.Rows), attribute.String("path", path))
	span.AddEvent("gathered", trace.WithTimestamp(s.Gathered))
	if s.Failed != "" {
		span.SetStatus(codes.Error, s.Failed)
	}
	span.End(trace.WithTimestamp(s.Committed))
}

// Delivery describes a fan-out of events to the connections of one gateway.
type Delivery struct {
	Channel    chat.ChannelID
	Began      time.Time
	Ended      time.Time
	Events     int // events in the fan-out
	Recipients int // connections
}

// Delivered creates the span for one event in a delivery.
func (t *Tracer) Delivered(id chat.EventID, seq int64, d Delivery) {
	if !t.Traces(id) {
		return
	}
	t.begin(Root(id), "deliver", trace.SpanKindConsumer, d.Began,
		attribute.String("channel_id", d.Channel.String()), attribute.Int64("seq", seq),
		attribute.Int("recipients", d.Recipients), attribute.Int("batch_events", d.Events)).End(trace.WithTimestamp(d.Ended))
}

// begin starts a span below parent.
func (t *Tracer) begin(parent trace.SpanContext, name string, kind trace.SpanKind, at time.Time, attrs ...attribute.KeyValue) trace.Span {
	_, span := t.tracer.Start(trace.ContextWithSpanContext(context.Background(), parent), name,
		trace.WithSpanKind(kind), trace.WithTimestamp(at), trace.WithAttributes(attrs...))
	return span
}

// root starts the root span of an event's trace.
func (t *Tracer) root(id chat.EventID, name string, kind trace.SpanKind, attrs []attribute.KeyValue, links ...trace.Link) trace.Span {
	_, span := t.tracer.Start(context.WithValue(context.Background(), rootKey{}, id), name, trace.WithNewRoot(),
		trace.WithSpanKind(kind), trace.WithTimestamp(id.CreatedAt()), trace.WithAttributes(attrs...), trace.WithLinks(links...))
	return span
}

// fail marks a span as failed. It records only the error code that clients see.
func fail(span trace.Span, err error) { span.SetStatus(codes.Error, string(apierr.CodeOf(err))) }
