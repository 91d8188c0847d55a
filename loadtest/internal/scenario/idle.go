package scenario

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"parley.chat/internal/devkit/localserver"
)

// Idle measures what idle connections cost.
type Idle struct {
	Connections int           `default:"10000" help:"Number of connections."`
	Members     int           `default:"100" help:"Members of each channel, each with one connection."`
	Hold        time.Duration `default:"30s" help:"Idle time before the memory is read; use more than one heartbeat (25s)."`
}

// Name implements Scenario.
func (*Idle) Name() string { return "idle" }

// Run implements Scenario.
func (s *Idle) Run(ctx context.Context, env Env) (_ *Result, err error) {
	c, err := newCrew(ctx, env, max(s.Connections/s.Members, 1), s.Members, 0, localserver.FsyncEverySec)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	began := time.Now()
	if err := c.join(ctx, c.loop.Conns); err != nil {
		return nil, err
	}
	opened := time.Since(began)
	r, err := c.measure(ctx, s, func() error {
		return c.loop.Run(ctx, s.Hold, func() bool { return false })
	})
	if err != nil {
		return nil, err
	}
	r.Figures["bytes_per_connection"] = r.Server().BytesPerConnection
	r.Figures["opened_per_second"] = float64(len(c.loop.Conns)) / opened.Seconds()
	if env.Target == Parley {
		if err := c.runtimeMemory(ctx, r); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// runtimeMemory adds the Go runtime's memory statistics for the gateway, per connection, to the
// result.
func (c *crew) runtimeMemory(ctx context.Context, r *Result) error {
	page, err := c.server.Metrics(ctx)
	if err != nil {
		return err
	}
	for name, figure := range map[string]string{
		"go_memstats_heap_alloc_bytes":  "heap_alloc_bytes_per_connection",
		"go_memstats_heap_inuse_bytes":  "heap_inuse_bytes_per_connection",
		"go_memstats_stack_inuse_bytes": "stack_bytes_per_connection",
		"go_goroutines":                 "goroutines_per_connection",
	} {
		v, err := metric(page, name)
		if err != nil {
			return err
		}
		r.Figures[figure] = v / float64(max(r.Connections, 1))
	}
	return nil
}

// metric returns the value of an unlabeled metric in a page in the Prometheus text format.
func metric(page, name string) (float64, error) {
	for line := range strings.Lines(page) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				return 0, fmt.Errorf("read metric %s: %w", name, err)
			}
			return v, nil
		}
	}
	return 0, fmt.Errorf("read metric %s: there is none", name)
}
