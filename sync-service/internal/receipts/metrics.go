package receipts

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics holds the metrics of storing receipts.
type Metrics struct {
	moves, raised, dead, newer, trimmed prometheus.Counter
	duration                            prometheus.Histogram
	retries                             *prometheus.CounterVec
}

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "parley_sync_receipts_" + name, Help: help})
	}
	return &Metrics{
		moves:   counter("moves_total", "Receipts read."),
		raised:  counter("raised_total", "Rows raised: one per member and batch, without receipts that were already stored."),
		dead:    counter("dead_total", "Entries moved to the dead letters."),
		newer:   counter("newer_total", "Deliveries of entries of a newer version; the entries stay pending."),
		trimmed: counter("trimmed_total", "Entries trimmed from the streams."),
		duration: f.NewHistogram(prometheus.HistogramOpts{
			Name: "parley_sync_receipts_batch_duration_seconds", Help: "Time to store a batch, including retries.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
		retries: f.NewCounterVec(prometheus.CounterOpts{
			Name: "parley_sync_receipts_retries_total", Help: "Failed attempts of steps that are retried.",
		}, []string{"step"}),
	}
}

func (m *Metrics) stored(f *fold, raised int64, took time.Duration) {
	m.moves.Add(float64(f.read))
	m.raised.Add(float64(raised))
	m.duration.Observe(took.Seconds())
}
