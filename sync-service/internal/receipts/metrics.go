package receipts

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are those of the way from the receipts streams to the members' rows.
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
		moves:   counter("moves_total", "Cursor moves read."),
		raised:  counter("raised_total", "Rows raised: the moves after folding, less those of no effect."),
		dead:    counter("dead_total", "Entries moved to the dead letters."),
		newer:   counter("newer_total", "Deliveries of entries of a newer version, which stay pending."),
		trimmed: counter("trimmed_total", "Entries trimmed from the streams."),
		duration: f.NewHistogram(prometheus.HistogramOpts{
			Name: "parley_sync_receipts_batch_duration_seconds", Help: "From a folded batch to its commit, retries included.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
		retries: f.NewCounterVec(prometheus.CounterOpts{
			Name: "parley_sync_receipts_retries_total", Help: "Steps that failed and are done again.",
		}, []string{"step"}),
	}
}

func (m *Metrics) stored(f *fold, raised int64, took time.Duration) {
	m.moves.Add(float64(f.moves))
	m.raised.Add(float64(raised))
	m.duration.Observe(took.Seconds())
}
