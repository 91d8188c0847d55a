package msgtrace

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"parley.chat/internal/eventlog"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// Send is an event on its way into the stream, one that is traced. A nil Send, that of any other event,
// notes nothing.
type Send struct {
	tracer    *Tracer
	event     *frame.Event
	caller    trace.SpanContext
	submitted time.Time
	reserved  time.Time
	batch     eventlog.BatchInfo
}

// Send begins to trace e, which has been checked and must not change until End. It returns nil if e is not
// traced. The span of a request in ctx is linked.
func (t *Tracer) Send(ctx context.Context, e *frame.Event) *Send {
	if !t.Traces(e.ID) {
		return nil
	}
	return &Send{tracer: t, event: e, caller: trace.SpanContextFromContext(ctx), submitted: time.Now()}
}

// Reserved notes that the rate limit has given its answer.
func (s *Send) Reserved() {
	if s != nil {
		s.reserved = time.Now()
	}
}

// Trip returns where the append notes its round trip, for eventlog.AppendOptions.
func (s *Send) Batch() *eventlog.BatchInfo {
	if s == nil {
		return nil
	}
	return &s.batch
}

// End makes the span of a send from the making of the event's id to now, with its steps below it. That of
// a retry is not made here, see Retried.
func (s *Send) End(ack eventlog.Ack, err error) {
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
	} else { // else somebody may still note the trip
		s.append(span.SpanContext(), waited, now)
	}
	span.End(trace.WithTimestamp(now))
}

// append makes the span of the append: what came before its batch left is waiting for one.
func (s *Send) append(parent trace.SpanContext, from, to time.Time) {
	span := s.tracer.begin(parent, "append", trace.SpanKindClient, from,
		attribute.Int("batch_events", s.batch.Events), attribute.Int("batch_channels", s.batch.Channels))
	span.AddEvent("sent", trace.WithTimestamp(s.batch.SentAt))
	span.End(trace.WithTimestamp(to))
}

// Retried makes the span of a send that turned out to have been sent before, in the trace of the first.
func (t *Tracer) Retried(e *frame.Event, first chat.EventID) {
	if t.Traces(first) {
		t.begin(Root(first), "send", trace.SpanKindProducer, madeAt(e.ID), append(attributes(e), attribute.Bool("duplicate", true))...).End()
	}
}

// attributes are what a trace says of an event: where and whose it is, never what it says.
func attributes(e *frame.Event) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("kind", string(e.Type)), attribute.String("channel_id", e.ChannelID.String()),
		attribute.String("user_id", e.SenderID.String()), attribute.Int("body_bytes", len(e.Body)),
	}
}
