// Package msgtrace traces events on their way from a socket, or a request, through the stream to their
// rows. The id of an event's trace is the event's id. So nothing of a trace crosses the stream, every
// service adds its spans by what it knows anyway, and who has a message's id can look its way up.
//
// Which events are traced is decided by the random bits of their ids, alike in every service with the same
// ratio. Spans are made when they are over, so an event that is not traced costs a comparison, and none
// costs anything where nothing is traced: a nil Tracer, which New returns then, is ready for use.
//
// Nothing here blocks, fails or starts goroutines. All of it is safe for concurrent use.
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

// Tracer makes the spans of events. A nil one makes none.
type Tracer struct {
	tracer    trace.Tracer
	threshold uint64 // the chance from which an event is traced
}

// New returns a Tracer of that share of all events, or nil when t has no collector or the ratio is 0.
func New(t *tracing.Tracing, ratio float64) *Tracer {
	// The decision is ours, by the id: what OTEL_TRACES_SAMPLER says is for requests.
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

// Link links the span of a request, if ctx has one, to the trace of the event that the request has caused.
func (t *Tracer) Link(ctx context.Context, id chat.EventID) {
	if t.Traces(id) {
		trace.SpanFromContext(ctx).AddLink(trace.Link{SpanContext: Root(id)})
	}
}

// Storing is a row on its way from the stream into PostgreSQL.
type Storing struct {
	ID        chat.EventID
	Channel   chat.ChannelID
	Seq       int64
	Kind      event.Kind
	Partition int
	EntryID   string
	Added     time.Time // to the stream, by the clock of Redis
	Gathered  time.Time // into a batch
	Committed time.Time
	Rows      int  // of the batch
	Copied    bool // by COPY
	Failed    string
}

// Stored makes the span of a row that is committed, or of its tombstone.
func (t *Tracer) Stored(s Storing) {
	if !t.Traces(s.ID) {
		return
	}
	path := "insert"
	if s.Copied {
		path = "copy"
	}
	added := s.Added
	if added.After(s.Committed) { // clocks differ
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

// Delivery is a fan-out of events to the connections of one gateway.
type Delivery struct {
	Channel    chat.ChannelID
	Began      time.Time
	Ended      time.Time
	Events     int // that went together
	Recipients int // connections
}

// Delivered makes the span of an event of a delivery.
func (t *Tracer) Delivered(id chat.EventID, seq int64, d Delivery) {
	if !t.Traces(id) {
		return
	}
	t.begin(Root(id), "deliver", trace.SpanKindConsumer, d.Began,
		attribute.String("channel_id", d.Channel.String()), attribute.Int64("seq", seq),
		attribute.Int("recipients", d.Recipients), attribute.Int("batch_events", d.Events)).End(trace.WithTimestamp(d.Ended))
}

// begin begins a span below parent.
func (t *Tracer) begin(parent trace.SpanContext, name string, kind trace.SpanKind, at time.Time, attrs ...attribute.KeyValue) trace.Span {
	_, span := t.tracer.Start(trace.ContextWithSpanContext(context.Background(), parent), name,
		trace.WithSpanKind(kind), trace.WithTimestamp(at), trace.WithAttributes(attrs...))
	return span
}

// root begins the first span of an event's trace.
func (t *Tracer) root(id chat.EventID, name string, kind trace.SpanKind, attrs []attribute.KeyValue, links ...trace.Link) trace.Span {
	_, span := t.tracer.Start(context.WithValue(context.Background(), rootKey{}, id), name, trace.WithNewRoot(),
		trace.WithSpanKind(kind), trace.WithTimestamp(madeAt(id)), trace.WithAttributes(attrs...), trace.WithLinks(links...))
	return span
}

// fail notes why a span has failed: the code alone, as clients see it.
func fail(span trace.Span, err error) { span.SetStatus(codes.Error, string(apierr.CodeOf(err))) }
