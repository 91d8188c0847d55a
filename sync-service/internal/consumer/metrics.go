package consumer

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"parley.chat/sync-service/internal/store"
)

// Metrics holds the metrics of storing entries.
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
			Name: "parley_sync_batch_duration_seconds", Help: "Time from the collection of a batch to its commit, including retries.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
		inserted:  counter("inserted_total", "Rows inserted."),
		batches:   vec("batches_total", "Transactions by path (copy or insert).", "path"),
		conflicts: vec("conflicts_total", "Rows that were not inserted, by reason: already stored, seq or id taken, refused.", "reason"),
		dead:      counter("dead_total", "Entries moved to the dead letters."),
		newer:     counter("newer_total", "Deliveries of entries of a newer version; the entries stay pending."),
		vanished:  counter("vanished_total", "Pending entries that were no longer in the stream."),
		moved:     counter("moved_total", "Events appended again because another event holds their seq."),
		claimed:   counter("claimed_total", "Entries claimed from idle consumers."),
		reaped:    counter("consumers_removed_total", "Idle consumers removed from the group."),
		retries:   vec("retries_total", "Failed attempts of steps that are retried.", "step"),
		trimmed:   counter("trimmed_total", "Entries trimmed from the streams."),
		overBudget: f.NewGauge(prometheus.GaugeOpts{
			Name: "parley_sync_memory_over_budget", Help: "1 if Redis still used more memory than REDIS_TRIM_AT after the last trim, else 0.",
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
