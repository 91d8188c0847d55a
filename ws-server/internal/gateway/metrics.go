package gateway

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics holds the gateway's metrics.
type Metrics struct {
	connections prometheus.Gauge
	limit       prometheus.Gauge
	deliveries  prometheus.Counter
	acks        *prometheus.CounterVec
	ackSeconds  prometheus.Histogram
	errors      *prometheus.CounterVec
	refused     *prometheus.CounterVec
	paced       prometheus.Counter
	floods      prometheus.Counter
	slow        prometheus.Counter
	expelled    prometheus.Counter

	cursorMoves, cursorsDropped prometheus.Counter
	lost                        prometheus.Counter
}

// NewMetrics registers the gateway's metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	return &Metrics{
		connections: f.NewGauge(prometheus.GaugeOpts{Name: "parley_ws_connections", Help: "Open connections."}),
		limit:       f.NewGauge(prometheus.GaugeOpts{Name: "parley_ws_connections_limit", Help: "Maximum number of connections of this instance; 0 if unlimited."}),
		deliveries:  f.NewCounter(prometheus.CounterOpts{Name: "parley_ws_deliveries_total", Help: "Events delivered to connections."}),
		acks: f.NewCounterVec(prometheus.CounterOpts{Name: "parley_ws_acks_total", Help: "Events acknowledged to their senders."},
			[]string{"duplicate"}),
		ackSeconds: f.NewHistogram(prometheus.HistogramOpts{
			Name: "parley_ws_ack_duration_seconds", Help: "Time from receiving a send frame to sending its ack.",
			Buckets: []float64{.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .5, 1, 5},
		}),
		errors: f.NewCounterVec(prometheus.CounterOpts{Name: "parley_ws_errors_total", Help: "Error frames sent."}, []string{"code"}),
		refused: f.NewCounterVec(prometheus.CounterOpts{
			Name: "parley_ws_refused_connections_total", Help: "Connections refused because a limit was reached, by the limit: user, address or instance.",
		}, []string{"bound"}),
		paced:          f.NewCounter(prometheus.CounterOpts{Name: "parley_ws_paced_frames_total", Help: "Frames delayed because their client sends too fast."}),
		floods:         f.NewCounter(prometheus.CounterOpts{Name: "parley_ws_control_floods_total", Help: "Connections closed because their client sent too many control frames."}),
		slow:           f.NewCounter(prometheus.CounterOpts{Name: "parley_ws_slow_consumers_total", Help: "Connections closed because too much data was waiting to be sent to them."}),
		cursorMoves:    f.NewCounter(prometheus.CounterOpts{Name: "parley_ws_cursor_moves_total", Help: "Receipts (delivered or read positions of members) moved forward."}),
		cursorsDropped: f.NewCounter(prometheus.CounterOpts{Name: "parley_ws_cursors_dropped_total", Help: "Receipt frames (delivered or read) dropped because too many receipts were pending."}),
		lost:           f.NewCounter(prometheus.CounterOpts{Name: "parley_ws_lost_seqs_total", Help: "Seqs that were requested by a reader, found in no store, and shown as lost."}),
		expelled: f.NewCounter(prometheus.CounterOpts{
			Name: "parley_ws_expelled_subscriptions_total", Help: "Subscriptions of removed members that were ended by the periodic check because the notice was lost.",
		}),
	}
}

// Lost counts seqs that no store holds.
func (m *Metrics) Lost(seqs int64) { m.lost.Add(float64(seqs)) }

func (m *Metrics) acked(began time.Time, duplicate bool) {
	label := "false"
	if duplicate {
		label = "true"
	}
	m.acks.WithLabelValues(label).Inc()
	m.ackSeconds.Observe(time.Since(began).Seconds())
}
