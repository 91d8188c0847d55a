package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley.chat/internal/devkit/localserver"
	"parley.chat/loadtest/internal/stats"
	"parley.chat/loadtest/internal/swarm"
)

// Storm makes all clients reconnect at the same time, and measures how long it takes until they
// have received the messages that they missed. The bare broadcaster stores no messages, so for this
// target Storm measures only the time to reconnect.
type Storm struct {
	Clients  int           `default:"2000" help:"Number of clients."`
	Channels int           `default:"20" help:"Number of channels; each client is in one."`
	Lacking  int           `default:"50" help:"Number of messages that each client misses."`
	Body     int           `default:"100" help:"Size of a message body in bytes."`
	Cold     bool          `help:"Reconnect to another gateway that has just started and has nothing cached."`
	Patience time.Duration `default:"30s" help:"Maximum time until all clients have all messages."`
}

// Name implements Scenario.
func (s *Storm) Name() string {
	if s.Cold {
		return "storm-cold"
	}
	return "storm"
}

// Run implements Scenario.
func (s *Storm) Run(ctx context.Context, env Env) (_ *Result, err error) {
	members := s.Clients/s.Channels + 1 // one additional member stays connected and sends
	c, err := newCrew(ctx, env, s.Channels, members, s.Body, localserver.FsyncEverySec)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if err := c.join(ctx, c.loop.Conns); err != nil {
		return nil, err
	}
	var back []*swarm.Conn
	for i, conn := range c.loop.Conns {
		if i%members == 0 {
			continue
		}
		c.loop.Drop(conn)
		conn.Ask(c.frames.upgrade(c.server.Addr, c.people.People[i], false))
		back = append(back, conn)
	}
	if env.Target == Parley {
		if err := s.sendMissed(ctx, c, members); err != nil {
			return nil, err
		}
		if s.Cold {
			if err := s.move(ctx, c, members); err != nil {
				return nil, err
			}
		}
	}
	return s.reconnectAll(ctx, c, back)
}

// sendMissed makes the connected member of each channel send the messages that the disconnected
// clients miss.
func (s *Storm) sendMissed(ctx context.Context, c *crew, members int) error {
	for range s.Lacking {
		for i := 0; i < len(c.loop.Conns); i += members {
			c.say(c.loop.Conns[i], c.loop.Now())
		}
	}
	want := int64(s.Lacking * s.Channels)
	return c.loop.Run(ctx, 20*time.Second, func() bool { return c.loop.Tally.Deliveries >= want })
}

// move starts another gateway and makes the disconnected clients use it.
func (s *Storm) move(ctx context.Context, c *crew, members int) error {
	second, err := c.env.Stage.Gateway(ctx)
	if err != nil {
		return err
	}
	for i, conn := range c.loop.Conns {
		if i%members != 0 {
			conn.Ask(c.frames.upgrade(second.Addr, c.people.People[i], false))
		}
	}
	return c.loop.Aim(second.Addr)
}

// reconnectAll dials all clients at the same time, and measures the time until the last one has
// received everything that it missed.
func (s *Storm) reconnectAll(ctx context.Context, c *crew, back []*swarm.Conn) (*Result, error) {
	missing := len(back)
	c.loop.OnOpen = func(conn *swarm.Conn) {
		if c.env.Target == Bare {
			missing--
			return
		}
		conn.Next = 1
		c.loop.Write(conn, c.frames.resume(conn.Channel, 0))
	}
	c.loop.OnEvent = func(conn *swarm.Conn) {
		if conn.Next == int64(s.Lacking)+1 && conn.Got == int64(s.Lacking) {
			missing--
		}
	}
	opened := time.Duration(0)
	r, err := c.measure(ctx, s, func() error {
		began := time.Now()
		for _, conn := range back {
			if err := c.loop.Dial(conn); err != nil {
				return err
			}
		}
		want := c.loop.Opened() + len(back)
		return c.loop.Run(ctx, s.Patience, func() bool {
			if opened == 0 && c.loop.Opened() == want {
				opened = time.Since(began)
			}
			return missing <= 0 || c.loop.Tally.Errors > 0
		})
	})
	if err != nil {
		return nil, err
	}
	r.Latency = stats.Quantiles{} // the messages were sent long before, so their latency is meaningless
	r.Figures["seconds"], r.Figures["opened_seconds"] = r.Seconds, opened.Seconds()
	r.Figures["clients_without_all"] = float64(missing)
	// Wait briefly to catch duplicates, which would arrive shortly after the last missed event.
	if err := c.loop.Run(ctx, 500*time.Millisecond, func() bool { return false }); err != nil {
		return nil, err
	}
	r.Repeats, r.Holes = c.loop.Tally.Repeats, c.loop.Tally.Holes
	if c.env.Target == Parley {
		r.Lost = c.lost()
	}
	if missing > 0 {
		return r, fmt.Errorf("%d clients do not have all messages after %v: %w", missing, s.Patience, errors.Join(errHole, r.Clean()))
	}
	return r, nil
}
