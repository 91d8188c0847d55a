package tracing

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// queue holds ended spans until they are sent. The SDK's span processor is not used, because it
// does not report how many spans it drops, and its constructor starts a goroutine.
type queue struct {
	spans                 chan sdktrace.ReadOnlySpan
	sent, failed, dropped prometheus.Counter
}

func newQueue(reg prometheus.Registerer) *queue {
	spans := promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "parley_trace_spans_total",
		Help: "Spans by outcome: sent; failed (not accepted by the collector); dropped (the queue was full).",
	}, []string{"outcome"})
	return &queue{
		spans: make(chan sdktrace.ReadOnlySpan, queueSpans),
		sent:  spans.WithLabelValues("sent"), failed: spans.WithLabelValues("failed"), dropped: spans.WithLabelValues("dropped"),
	}
}

// OnStart is called when a span starts.
func (q *queue) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd queues a span, or drops it if the queue is full. It never blocks.
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

// Shutdown does nothing, because Run sends the remaining spans.
func (q *queue) Shutdown(context.Context) error { return nil }

// ForceFlush does nothing; see Shutdown.
func (q *queue) ForceFlush(context.Context) error { return nil }

// next returns the next batch. It waits for a first span, and then at most batchWait for more. Once
// ctx is done, it returns the queued spans without waiting, and finally an empty batch.
func (q *queue) next(ctx context.Context) []sdktrace.ReadOnlySpan {
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

// rest adds queued spans to a batch without waiting for more, and returns the batch.
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
