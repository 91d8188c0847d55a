package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley.chat/internal/devkit/localserver"
	"parley.chat/loadtest/internal/plot"
	"parley.chat/loadtest/internal/stats"
)

// Curve measures latency as a function of load. It measures fan-out and ingest at several fractions
// of their highest rates.
type Curve struct {
	Members    int           `default:"1000" help:"Members of the fan-out channel."`
	Ramp       float64       `default:"100" help:"Messages per second in the first step of the search for the highest rate."`
	Step       time.Duration `default:"3s" help:"Duration of a step of the search."`
	Publishers int           `default:"50" help:"Publishers of ingest, each in a channel of 2. The highest rate is measured with each of them sending its next message immediately after an ack."`
	Hold       time.Duration `default:"6s" help:"Duration of the measurement at each rate."`
	Body       int           `default:"100" help:"Size of a message body in bytes."`
}

// Name implements Scenario.
func (*Curve) Name() string { return "curve" }

// parts lists the fractions of the highest rate at which latency is measured.
var parts = []float64{.10, .25, .50, .75, .90, 1}

// Point is a point of a curve.
type Point struct {
	Load float64 `json:"load"` // fraction of the highest rate (curve), or number of rows (table)
	Rate float64 `json:"rate"` // per second
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
}

// Names of the curves of Curve.
const (
	fanoutCurve = "fanout"
	ingestCurve = "ingest"
)

// Run implements Scenario.
func (s *Curve) Run(ctx context.Context, env Env) (*Result, error) {
	r := &Result{
		Scenario: s.Name(), Target: env.Target, Started: time.Now().UTC().Round(time.Second), Settings: s,
		Curves: map[string][]Point{}, Figures: map[string]float64{},
	}
	if err := s.fanout(ctx, env, r); err != nil {
		return nil, err
	}
	return r, s.ingest(ctx, env, r)
}

func (s *Curve) fanout(ctx context.Context, env Env, r *Result) (err error) {
	c, err := newCrew(ctx, env, 1, s.Members, s.Body, localserver.FsyncEverySec)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if err := c.join(ctx, c.loop.Conns); err != nil {
		return err
	}
	best, err := c.highestRate(ctx, s.Ramp, s.Step)
	if err != nil {
		return err
	}
	r.Figures["fanout_highest_deliveries_per_second"] = stats.Round(best.rate*float64(s.Members), 4)
	for _, part := range parts {
		if best.rate == 0 {
			break // no rate was sustained
		}
		one, err := c.try(ctx, part*best.rate, s.Hold)
		if err != nil {
			return err
		}
		r.Curves[fanoutCurve] = append(r.Curves[fanoutCurve], Point{
			part, stats.Round(one.rate*float64(s.Members), 4), one.latency.P50, one.latency.P99,
		})
	}
	return nil
}

func (s *Curve) ingest(ctx context.Context, env Env, r *Result) (err error) {
	c, err := newCrew(ctx, env, s.Publishers, 2, s.Body, localserver.FsyncEverySec)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if err := c.join(ctx, c.loop.Conns); err != nil {
		return err
	}
	t := &turns{say: c.say}
	for i := 0; i < len(c.loop.Conns); i += 2 {
		t.idle = append(t.idle, c.loop.Conns[i])
	}
	c.loop.OnAck = t.acked
	if _, err := s.hold(ctx, c, t); err != nil { // warm up
		return err
	}
	best, err := s.hold(ctx, c, t)
	if err != nil {
		return err
	}
	r.Figures["ingest_highest_acks_per_second"] = best.AckThroughput
	for _, part := range parts {
		t.rate = part * best.AckThroughput
		one, err := s.hold(ctx, c, t)
		if err != nil {
			return err
		}
		r.Curves[ingestCurve] = append(r.Curves[ingestCurve], Point{part, one.AckThroughput, one.AckLatency.P50, one.AckLatency.P99})
		fmt.Fprintf(env.Say, "  %8.0f of %.0f msg/s acknowledged: p50 %.2f ms, p99 %.1f ms\n", one.AckThroughput, t.rate, one.AckLatency.P50, one.AckLatency.P99)
	}
	r.Lost = c.lost()
	return nil
}

// hold measures ingest at the rate t.rate, and waits until all clients have received all messages.
func (s *Curve) hold(ctx context.Context, c *crew, t *turns) (*Result, error) {
	r, err := c.measure(ctx, s, func() error {
		t.begin(c.loop, int(t.rate*s.Hold.Seconds()))
		return c.loop.Run(ctx, s.Hold, func() bool { return c.loop.Tally.Errors > 0 })
	})
	if err != nil {
		return nil, err
	}
	t.end()
	if err := r.Clean(); err != nil {
		return nil, err
	}
	return r, errors.Join(c.settle(ctx, 10*time.Second), c.loop.Run(ctx, time.Second, func() bool { return len(t.idle) == s.Publishers }))
}

// DrawCurves draws the medians of several results of Curve.
func DrawCurves(results []*Result) []byte {
	chart := plot.Chart{
		Title: "Latency against load", X: "% of the highest rate", Y: "ms", LogY: true,
		Notes: []string{"Measured on two cores that the generator, Redis and PostgreSQL share with the gateway."},
	}
	for i, name := range []string{fanoutCurve, ingestCurve} {
		p50, p99, highest := plot.Line{Color: i}, plot.Line{Color: i, Dashed: true}, 0.0
		for at := range parts {
			points := pointsAt(results, name, at)
			if len(points) == 0 {
				continue
			}
			median := func(f func(Point) float64) float64 {
				var all []float64
				for _, p := range points {
					all = append(all, f(p))
				}
				return stats.MedianOf(all)
			}
			p50.X, p99.X = append(p50.X, points[0].Load*100), append(p99.X, points[0].Load*100)
			p50.Y, p99.Y = append(p50.Y, median(func(p Point) float64 { return p.P50 })), append(p99.Y, median(func(p Point) float64 { return p.P99 }))
			highest = median(func(p Point) float64 { return p.Rate })
		}
		if len(p50.X) == 0 {
			continue
		}
		p50.Name, p99.Name = name+" p50", name+" p99"
		what := map[string]string{fanoutCurve: "deliveries", ingestCurve: "acknowledged messages"}[name]
		chart.Notes = append(chart.Notes, fmt.Sprintf("%s: 100%% is %s %s a second.", name, plot.Short(stats.Round(highest, 3)), what))
		chart.Lines = append(chart.Lines, p50, p99)
	}
	return plot.SVG(chart)
}

// pointsAt returns the point at index i of each result's curve with the given name.
func pointsAt(results []*Result, name string, i int) (points []Point) {
	for _, r := range results {
		if r != nil && i < len(r.Curves[name]) {
			points = append(points, r.Curves[name][i])
		}
	}
	return points
}
