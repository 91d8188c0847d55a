package msgtrace

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"parley.chat/internal/eventlog/appender"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// Send traces an event that is being sent. For an event that is not traced, the Send is nil, and
// its methods do nothing.
type Send struct {
	tracer    *Tracer
	event     *frame.Event
	caller    trace.SpanContext
	submitted time.Time
	reserved  time.Time
	batch     appender.BatchInfo
}

// Send starts the trace of e, which has been validated and must not change until End. It returns
// nil if e is not traced. If ctx contains the span of a request, the trace is linked to it.
func (t *Tracer) Send(ctx context.Context, e *frame.Event) *Send {
	if !t.Traces(e.ID) {
		return nil
	}
	return &Send{tracer: t, event: e, caller: trace.SpanContextFromContext(ctx), submitted: time.Now()}
}

// Reserved records when the rate limiter answered.
func (s *Send) Reserved() {
	if s != nil {
		s.reserved = time.Now()
	}
}

// Batch returns the BatchInfo to pass in appender.Options. The append fills it in.
func (s *Send) Batch() *appender.BatchInfo {
	if s == nil {
		return nil
	}
	return &s.batch
}

// End creates the span of a send, with child spans for its steps. The span lasts from the creation
// of the event's id until now. It does nothing for a retry; see Retried.
func (s *Send) End(ack appender.Ack, err error) {
	if s == nil || ack.Duplicate {
		return
	}
	now := time.Now()
	attrs := attributes(s.event)
	if err == nil {
		attrs = append(attrs, attribute.Int64("seq", ack.Seq))
	}
	var links []trace.Link
	if s.caller.IsValid() {
		links = []trace.Link{{SpanContext: s.caller}}
	}
	span := s.tracer.root(s.event.ID, "send", trace.SpanKindProducer, attrs, links...)
	span.AddEvent("checked", trace.WithTimestamp(s.submitted))
	waited := s.submitted
	if !s.reserved.IsZero() {
		s.tracer.begin(span.SpanContext(), "reserve", trace.SpanKindClient, s.submitted).End(trace.WithTimestamp(s.reserved))
		waited = s.reserved
	}
	if err != nil {
		fail(span, err)
	} else { // after an error, the append may still be writing to batch
		s.append(span.SpanContext(), waited, now)
	}
	span.End(trace.WithTimestamp(now))
}

// append creates the span of the append. The span's "sent" event marks when the batch was sent;
// before that, the event waited for a batch.
func (s *Send) append(parent trace.SpanContext, from, to time.Time) {
	span := s.tracer.begin(parent, "append", trace.SpanKindClient, from,
		attribute.Int("batch_events", s.batch.Events), attribute.Int("batch_channels", s.batch.Channels))
	span.AddEvent("sent", trace.WithTimestamp(s.batch.SentAt))
	span.End(trace.WithTimestamp(to))
}

// Retried creates the span of a retry, in the trace of the first send.
func (t *Tracer) Retried(e *frame.Event, first chat.EventID) {
	if t.Traces(first) {
		t.begin(Root(first), "send", trace.SpanKindProducer, e.ID.CreatedAt(), append(attributes(e), attribute.Bool("duplicate", true))...).End()
	}
}

// attributes returns the attributes of an event's spans: its channel and its sender, never its
// content.
func attributes(e *frame.Event) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("kind", string(e.Type)), attribute.String("channel_id", e.ChannelID.String()),
		attribute.String("user_id", e.SenderID.String()), attribute.Int("body_bytes", len(e.Body)),
	}
}
