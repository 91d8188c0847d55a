package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley.chat/internal/devkit/localserver"
	"parley.chat/loadtest/internal/swarm"
)

// Fanout measures one large channel: the CPU time per delivery at a low rate, and the highest
// sustained rate.
type Fanout struct {
	Members  int           `default:"1000" help:"Members of the channel, each with one connection."`
	Rate     float64       `default:"20" help:"Messages per second in the steady part."`
	Duration time.Duration `default:"15s" help:"Duration of the steady part."`
	Body     int           `default:"100" help:"Size of a message body in bytes."`
	Ramp     float64       `default:"100" help:"Messages per second in the first step of the search for the highest rate; 0: no search."`
	Step     time.Duration `default:"3s" help:"Duration of a step of the search."`
}

// Name implements Scenario.
func (*Fanout) Name() string { return "fanout" }

// Run implements Scenario.
func (s *Fanout) Run(ctx context.Context, env Env) (_ *Result, err error) {
	c, err := newCrew(ctx, env, 1, s.Members, s.Body, localserver.FsyncEverySec)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if err := c.join(ctx, c.loop.Conns); err != nil {
		return nil, err
	}
	r, err := c.steady(ctx, s, s.Rate, s.Duration)
	if err != nil || s.Ramp == 0 {
		return r, err
	}
	best, err := c.highestRate(ctx, s.Ramp, s.Step)
	if err != nil {
		return nil, err
	}
	r.Figures["sustained_deliveries_per_second"] = best.rate * float64(s.Members)
	r.Figures["sustained_messages_per_second"] = best.rate
	r.Figures["sustained_p50_ms"], r.Figures["sustained_p99_ms"] = best.latency.P50, best.latency.P99
	r.Figures["sustained_events_per_frame"] = best.eventsPerFrame
	r.Figures["sustained_server_cores"] = best.serverCores
	r.Figures["sustained_generator_cores"] = best.generatorCores
	return r, nil
}

// ManyChannels measures many small channels at a steady rate.
type ManyChannels struct {
	Channels int           `default:"200" help:"Number of channels."`
	Members  int           `default:"20" help:"Members of each channel, each with one connection."`
	Rate     float64       `default:"5" help:"Messages per second in each channel."`
	Duration time.Duration `default:"15s" help:"Duration of the measurement."`
	Body     int           `default:"100" help:"Size of a message body in bytes."`
}

// Name implements Scenario.
func (*ManyChannels) Name() string { return "many-channels" }

// Run implements Scenario.
func (s *ManyChannels) Run(ctx context.Context, env Env) (_ *Result, err error) {
	c, err := newCrew(ctx, env, s.Channels, s.Members, s.Body, localserver.FsyncEverySec)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if err := c.join(ctx, c.loop.Conns); err != nil {
		return nil, err
	}
	return c.steady(ctx, s, s.Rate*float64(s.Channels), s.Duration)
}

// speaker returns the client that sends message i. Senders rotate through the channels and through
// the first members of each channel. If the server does not order messages from different senders,
// only the first member sends.
func (c *crew) speaker(i int) *swarm.Conn {
	voices := 16
	if c.env.Target == Bare {
		voices = 1
	}
	channels := len(c.people.Channels)
	members := len(c.loop.Conns) / channels
	return c.loop.Conns[i%channels*members+i/channels%min(voices, members)]
}

// pace schedules n messages at a rate.
func (c *crew) pace(n int, rate float64) {
	c.loop.Pace(n, time.Duration(float64(time.Second)/rate), func(i int, due int64) {
		c.say(c.speaker(i), c.stampOf(due))
	})
}

// run sends n messages at the given rate and waits until the last one has been sent.
func (c *crew) run(ctx context.Context, n int, rate float64) error {
	c.pace(n, rate)
	return c.loop.Run(ctx, time.Duration(float64(n)/rate*float64(time.Second))+10*time.Second, func() bool { return c.loop.Unsent() == 0 })
}

// steady measures at a fixed rate, after warming up for a second.
func (c *crew) steady(ctx context.Context, s Scenario, rate float64, d time.Duration) (*Result, error) {
	if err := c.run(ctx, max(int(rate), len(c.people.Channels)), max(rate, float64(len(c.people.Channels)))); err != nil {
		return nil, err
	}
	if err := c.settle(ctx, 5*time.Second); err != nil {
		return nil, err
	}
	r, err := c.measure(ctx, s, func() error {
		if err := c.run(ctx, int(rate*d.Seconds()), rate); err != nil {
			return err
		}
		return c.settle(ctx, 5*time.Second)
	})
	if err != nil {
		return nil, err
	}
	r.Lost = c.lost()
	if r.Holes+r.Repeats > 0 {
		return r, fmt.Errorf("%w: %w", errHole, r.Clean())
	}
	return r, nil
}
