package consumer

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"parley.chat/sync-service/internal/store"
)

// Metrics are those of the way from the stream to the row.
type Metrics struct {
	batchEntries  prometheus.Histogram
	batchDuration prometheus.Histogram
	inserted      prometheus.Counter
	batches       *prometheus.CounterVec
	conflicts     *prometheus.CounterVec
	dead          prometheus.Counter
	newer         prometheus.Counter
	vanished      prometheus.Counter
	moved         prometheus.Counter
	claimed       prometheus.Counter
	reaped        prometheus.Counter
	retries       *prometheus.CounterVec
	trimmed       prometheus.Counter
	overBudget    prometheus.Gauge
}

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "parley_sync_" + name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: "parley_sync_" + name, Help: help}, labels)
	}
	return &Metrics{
		batchEntries: f.NewHistogram(prometheus.HistogramOpts{
			Name: "parley_sync_batch_entries", Help: "Rows per transaction.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 8),
		}),
		batchDuration: f.NewHistogram(prometheus.HistogramOpts{
			Name: "parley_sync_batch_duration_seconds", Help: "From a gathered batch to its commit, retries included.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
		inserted:  counter("inserted_total", "Rows inserted."),
		batches:   vec("batches_total", "Transactions by the path they took.", "path"),
		conflicts: vec("conflicts_total", "Rows that were not inserted: stored before, or their seq or id taken.", "reason"),
		dead:      counter("dead_total", "Entries moved to the dead letters."),
		newer:     counter("newer_total", "Deliveries of entries of a newer version, which stay pending."),
		vanished:  counter("vanished_total", "Pending entries that were not in the stream any more."),
		moved:     counter("moved_total", "Events appended again because another event holds their seq."),
		claimed:   counter("claimed_total", "Entries claimed after their consumer fell silent."),
		reaped:    counter("consumers_removed_total", "Consumers removed as gone."),
		retries:   vec("retries_total", "Steps that failed and are done again.", "step"),
		trimmed:   counter("trimmed_total", "Entries trimmed from the streams."),
		overBudget: f.NewGauge(prometheus.GaugeOpts{
			Name: "parley_sync_memory_over_budget", Help: "1 if after the last trimming Redis used more memory than REDIS_TRIM_AT, else 0.",
		}),
	}
}

func (m *Metrics) stored(b store.Batch, res store.Result, took time.Duration) {
	path := "insert"
	if res.Copied {
		path = "copy"
	}
	m.batches.WithLabelValues(path).Inc()
	m.batchEntries.Observe(float64(len(b.Rows)))
	m.batchDuration.Observe(took.Seconds())
	m.inserted.Add(float64(res.Inserted))
	for _, r := range res.Rejected {
		switch r.Reason {
		case store.ReasonElsewhere:
			m.conflicts.WithLabelValues("id_stored_elsewhere").Inc()
		case store.ReasonSeqTaken:
			m.conflicts.WithLabelValues("seq_taken").Inc()
		default:
			m.conflicts.WithLabelValues("refused").Inc()
		}
	}
	if known := len(b.Rows) - res.Inserted - len(res.Rejected); known > 0 {
		m.conflicts.WithLabelValues("stored_before").Add(float64(known))
	}
}
