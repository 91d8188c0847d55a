package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"parley.chat/loadtest/internal/plot"
	"parley.chat/loadtest/internal/stage"
	"parley.chat/loadtest/internal/stats"
)

// Table measures how the size of the messages table affects inserts and history reads. It measures
// the table itself, and a variant that is partitioned by the hash of the channel id.
type Table struct {
	Sizes    []int64       `default:"1000000,2000000,5000000,10000000,20000000,50000000" help:"Table sizes (in rows) at which to measure."`
	Limit    time.Duration `default:"10m" help:"Maximum duration. Each of the two tables gets half of it and stops growing when its half is over."`
	Hashed   int           `default:"16" help:"Number of partitions of the second table."`
	Channels int           `default:"20000" help:"Number of channels; the number of messages per channel follows Zipf's law."`
	Body     int           `default:"100" help:"Size of a message body in bytes."`
	Insert   int64         `default:"250000" help:"Number of rows to insert for measuring the rate, in transactions of 5,000."`
	Pages    int           `default:"1000" help:"Number of pages of history to read."`
}

// Name implements Scenario.
func (*Table) Name() string { return "table" }

// Names of the curves of Table.
const (
	plainCurve  = "plain"
	hashedCurve = "hashed"
)

// Run implements Scenario. It measures only PostgreSQL, whatever env.Target is.
func (s *Table) Run(ctx context.Context, env Env) (*Result, error) {
	r := &Result{
		Scenario: s.Name(), Target: env.Target, Started: time.Now().UTC().Round(time.Second), Settings: s,
		Curves: map[string][]Point{}, Figures: map[string]float64{},
	}
	for _, one := range []struct {
		name       string
		partitions int
	}{{plainCurve, 0}, {hashedCurve, s.Hashed}} {
		if err := s.grow(ctx, env, r, one.name, one.partitions); err != nil {
			return nil, err
		}
	}
	r.Seconds = stats.Round(time.Since(r.Started).Seconds(), 4)
	return r, nil
}

// grow fills one table step by step, and measures inserts and reads at each size.
func (s *Table) grow(ctx context.Context, env Env, r *Result, name string, partitions int) (err error) {
	t, err := env.Stage.MakeTable(ctx, partitions, s.Channels, s.Body)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Drop()) }()
	end := time.Now().Add(s.Limit / 2)
	perRow, pace := int64(512), 0.0 // a guess, replaced by measured values
	for _, size := range s.Sizes {
		missing := max(size-t.Rows, 0)
		if room, err := t.Room(); err != nil || room/2 < missing*perRow {
			fmt.Fprintf(env.Say, "  %s: not enough disk space for %d rows\n", name, size)
			return err
		}
		if pace > 0 && time.Duration(float64(missing)/pace*1.3*float64(time.Second)) > time.Until(end) {
			fmt.Fprintf(env.Say, "  %s: not enough time for %d rows\n", name, size)
			return nil
		}
		began := time.Now()
		if _, err := t.Fill(ctx, max(missing-s.Insert, 0)); err != nil {
			return err
		}
		point, err := s.measure(ctx, t)
		if err != nil {
			return err
		}
		pace = float64(missing) / time.Since(began).Seconds()
		r.Curves[name] = append(r.Curves[name], point)
		all, indexes, err := t.Bytes(ctx)
		if err != nil {
			return err
		}
		perRow = all / t.Rows
		r.Figures["bytes_per_row_"+name] = float64(perRow)
		r.Figures["bytes_of_indexes_per_row_"+name] = float64(indexes / t.Rows)
		fmt.Fprintf(env.Say, "  %s, %d rows: %.0f rows/s, page p50 %.3f ms, p99 %.3f ms, %d bytes per row\n", name, t.Rows, point.Rate, point.P50, point.P99, perRow)
	}
	return nil
}

// measure inserts s.Insert more rows and reads history pages. It returns the insert rate and the
// latency of the reads.
func (s *Table) measure(ctx context.Context, t *stage.Table) (Point, error) {
	if err := t.Settle(ctx); err != nil {
		return Point{}, err
	}
	took, err := t.Fill(ctx, s.Insert)
	if err != nil {
		return Point{}, err
	}
	if err := t.Settle(ctx); err != nil {
		return Point{}, err
	}
	pages, err := t.Pages(ctx, s.Pages)
	if err != nil {
		return Point{}, err
	}
	q := pages.Quantiles()
	return Point{Load: float64(t.Rows), Rate: stats.Round(float64(s.Insert)/took.Seconds(), 4), P50: q.P50, P99: q.P99}, nil
}

// DrawTable draws a result of Table.
func DrawTable(r *Result) []byte {
	rates := plot.Chart{Title: "Insert rate against the size of the table", X: "rows", Y: "rows/s", LogX: true, ZeroAt: true, Notes: []string{"COPY, 5,000 rows per transaction, one connection"}}
	pages := plot.Chart{Title: "A page of history against the size of the table", X: "rows", Y: "ms", LogX: true, LogY: true, Notes: []string{"50 messages from a random position in a channel"}}
	for i, name := range []string{plainCurve, hashedCurve} {
		points := slices.Clone(r.Curves[name])
		if len(points) == 0 {
			continue
		}
		rate, p50, p99 := plot.Line{Name: name, Color: i}, plot.Line{Name: name + " p50", Color: i}, plot.Line{Name: name + " p99", Color: i, Dashed: true}
		for _, p := range points {
			rate.X, rate.Y = append(rate.X, p.Load), append(rate.Y, p.Rate)
			p50.X, p50.Y = append(p50.X, p.Load), append(p50.Y, p.P50)
			p99.X, p99.Y = append(p99.X, p.Load), append(p99.Y, p.P99)
		}
		rates.Lines, pages.Lines = append(rates.Lines, rate), append(pages.Lines, p50, p99)
	}
	return plot.SVG(rates, pages)
}
