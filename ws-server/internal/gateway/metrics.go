package gateway

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics of the gateway.
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
	expelled    prometheus.Counter

	cursorMoves, cursorsDropped prometheus.Counter
	lost                        prometheus.Counter
}

// NewMetrics registers the gateway's metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	return &Metrics{
		connections: f.NewGauge(prometheus.GaugeOpts{Name: "parley_ws_connections", Help: "Open connections."}),
		limit:       f.NewGauge(prometheus.GaugeOpts{Name: "parley_ws_connections_limit", Help: "Connections that the instance can hold; 0 for no limit."}),
		deliveries:  f.NewCounter(prometheus.CounterOpts{Name: "parley_ws_deliveries_total", Help: "Events handed to connections."}),
		acks: f.NewCounterVec(prometheus.CounterOpts{Name: "parley_ws_acks_total", Help: "Events acknowledged to their senders."},
			[]string{"duplicate"}),
		ackSeconds: f.NewHistogram(prometheus.HistogramOpts{
			Name: "parley_ws_ack_duration_seconds", Help: "From taking a send to its ack.",
			Buckets: []float64{.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .5, 1, 5},
		}),
		errors: f.NewCounterVec(prometheus.CounterOpts{Name: "parley_ws_errors_total", Help: "Error frames sent."}, []string{"code"}),
		refused: f.NewCounterVec(prometheus.CounterOpts{
			Name: "parley_ws_refused_connections_total", Help: "Connections over a bound, by whose: user, address or instance.",
		}, []string{"bound"}),
		paced:          f.NewCounter(prometheus.CounterOpts{Name: "parley_ws_paced_frames_total", Help: "Frames that waited because their client sends too fast."}),
		floods:         f.NewCounter(prometheus.CounterOpts{Name: "parley_ws_control_floods_total", Help: "Connections closed because their client sent too many control frames."}),
		cursorMoves:    f.NewCounter(prometheus.CounterOpts{Name: "parley_ws_cursor_moves_total", Help: "Cursors of members moved forward."}),
		cursorsDropped: f.NewCounter(prometheus.CounterOpts{Name: "parley_ws_cursors_dropped_total", Help: "Delivered and read frames dropped since too many members moved at once."}),
		lost:           f.NewCounter(prometheus.CounterOpts{Name: "parley_ws_lost_seqs_total", Help: "Seqs that no store holds, found on behalf of a reader and shown as lost."}),
		expelled: f.NewCounter(prometheus.CounterOpts{
			Name: "parley_ws_expelled_subscriptions_total", Help: "Subscriptions ended by the periodic check: the notice of the removal was lost.",
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
