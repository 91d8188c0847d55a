package scenario

import (
	"context"
	"fmt"
	"time"

	"parley.chat/loadtest/internal/stats"
	"parley.chat/loadtest/internal/swarm"
)

// The server sustains a rate if it meets three conditions. It closes no connection. The 99th
// percentile of the measured latencies is at most inTime. At least the fraction inTimePart of the
// expected messages are delivered within inTime.
const (
	inTimePart = 0.98
	inTime     = 250 * time.Millisecond
)

// step is the result for one rate.
type step struct {
	rate                        float64
	sustained                   bool
	latency                     stats.Quantiles
	eventsPerFrame              float64
	serverCores, generatorCores float64
}

// highestRate searches for the highest sustained rate. It raises the rate by 50% per step until a
// step fails, and then bisects. Finally, it verifies the result with a step that takes twice as
// long.
func (c *crew) highestRate(ctx context.Context, first float64, d time.Duration) (best step, err error) {
	fails := 0.0
	for rate := first; fails == 0; rate *= 1.5 {
		s, err := c.try(ctx, rate, d)
		if err != nil {
			return best, err
		}
		if s.sustained {
			best = s
		} else {
			fails = rate
		}
	}
	for range 3 {
		s, err := c.try(ctx, (best.rate+fails)/2, d)
		if err != nil {
			return best, err
		}
		if s.sustained {
			best = s
		} else {
			fails = s.rate
		}
	}
	for rate := best.rate; rate > 0; rate *= .95 {
		if best, err = c.try(ctx, rate, 2*d); err != nil || best.sustained {
			return best, err
		}
		if rate < first/4 {
			break
		}
	}
	return step{}, nil
}

// try measures one step of the search: it sends messages at the given rate for the duration d.
func (c *crew) try(ctx context.Context, rate float64, d time.Duration) (step, error) {
	if err := c.reconnectClosed(ctx); err != nil {
		return step{}, err
	}
	n := max(int(rate*d.Seconds()), 1)
	expected := int64(n * len(c.loop.Conns) / len(c.people.Channels))
	r, err := c.measure(ctx, &Fanout{Members: len(c.loop.Conns), Rate: rate, Duration: d}, func() error {
		if err := c.run(ctx, n, rate); err != nil {
			return err
		}
		return c.settle(ctx, inTime)
	})
	if err != nil {
		return step{}, err
	}
	s := step{
		rate: rate, latency: r.Latency, eventsPerFrame: r.EventsPerFrame,
		serverCores: r.Server().CPUSeconds / r.Seconds, generatorCores: r.Processes["generator"].CPUSeconds / r.Seconds,
	}
	came := float64(c.loop.Tally.Latency.Within(inTime)) / float64(expected)
	s.sustained = came >= inTimePart && r.Latency.P99 <= float64(inTime/time.Millisecond) && len(r.Closes) == 0
	fmt.Fprintf(c.env.Say, "  %8.0f msg/s: %5.1f%% in time, p99 %.1f ms, %.1f events per frame, server %.2f cores, generator %.2f, closed %v\n",
		rate, came*100, r.Latency.P99, r.EventsPerFrame, s.serverCores, s.generatorCores, r.Closes)
	if r.Holes+r.Repeats > 0 {
		return s, fmt.Errorf("%w: %w", errHole, r.Clean())
	}
	return s, c.settle(ctx, 20*time.Second)
}

// reconnectClosed reconnects the clients whose connections were closed. It does not make them fetch
// the messages that they missed.
func (c *crew) reconnectClosed(ctx context.Context) error {
	var gone []*swarm.Conn
	for _, conn := range c.loop.Conns {
		if !conn.Open() {
			conn.Next = 0
			gone = append(gone, conn)
		}
	}
	if err := c.join(ctx, gone); err != nil {
		return err
	}
	for _, conn := range gone {
		conn.Got = c.said[conn.Channel]
	}
	return nil
}
