package tracing

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// queue holds spans that have ended. It is a processor of our own because the SDK's keeps to itself how
// many spans it drops, and starts its goroutine when it is made.
type queue struct {
	spans                 chan sdktrace.ReadOnlySpan
	sent, failed, dropped prometheus.Counter
}

func newQueue(reg prometheus.Registerer) *queue {
	spans := promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "parley_trace_spans_total",
		Help: "Spans by what became of them: sent; failed, which the collector did not take; dropped, since too many waited.",
	}, []string{"outcome"})
	return &queue{
		spans: make(chan sdktrace.ReadOnlySpan, queueSpans),
		sent:  spans.WithLabelValues("sent"), failed: spans.WithLabelValues("failed"), dropped: spans.WithLabelValues("dropped"),
	}
}

// OnStart is called when a span begins.
func (q *queue) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd takes a span, or drops it: it never waits.
func (q *queue) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	select {
	case q.spans <- s:
	default:
		q.dropped.Inc()
	}
}

// Shutdown does nothing: it is Run that sends, and what is left at its end with it.
func (q *queue) Shutdown(context.Context) error { return nil }

// ForceFlush does nothing; see Shutdown.
func (q *queue) ForceFlush(context.Context) error { return nil }

// take waits for a span and then a little for others. After ctx has ended it returns what is there, and in
// the end nothing.
func (q *queue) take(ctx context.Context) []sdktrace.ReadOnlySpan {
	var batch []sdktrace.ReadOnlySpan
	select {
	case s := <-q.spans:
		batch = append(batch, s)
	case <-ctx.Done():
		return q.rest(batch)
	}
	timer := time.NewTimer(batchWait)
	defer timer.Stop()
	for len(batch) < batchSpans {
		select {
		case s := <-q.spans:
			batch = append(batch, s)
		case <-timer.C:
			return batch
		case <-ctx.Done():
			return q.rest(batch)
		}
	}
	return batch
}

// rest adds to a batch what is there.
func (q *queue) rest(batch []sdktrace.ReadOnlySpan) []sdktrace.ReadOnlySpan {
	for len(batch) < batchSpans {
		select {
		case s := <-q.spans:
			batch = append(batch, s)
		default:
			return batch
		}
	}
	return batch
}
