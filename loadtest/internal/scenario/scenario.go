// Package scenario defines the measurements. Each scenario fills the stores with test data, applies
// the same load to Parley or to its floor, a minimal program for the same job, and summarizes the
// results. A scenario's fields are its command-line flags.
package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"parley.chat/loadtest/internal/stage"
	"parley.chat/loadtest/internal/stats"
	"parley.chat/loadtest/internal/swarm"
)

// Targets of a scenario.
const (
	Parley = "parley"
	Bare   = "bare" // the floor of fan-out
	Script = "script"
	Rest   = "rest" // the floor of REST
	Copy   = "copy" // the floor of sync-service
)

// Env is the environment of a scenario.
type Env struct {
	Stage  *stage.Stage
	Target string    // Parley, or a floor
	Say    io.Writer // progress messages for people
}

// Scenario is a measurement that can be run against a target: Parley or a floor.
type Scenario interface {
	Name() string
	Run(ctx context.Context, env Env) (*Result, error)
}

// Cost describes the resources that a process used during the measurement.
type Cost struct {
	CPUSeconds         float64 `json:"cpu_seconds"`
	CPUPerMillion      float64 `json:"cpu_seconds_per_million_deliveries,omitempty"`
	CPUPerThousand     float64 `json:"cpu_seconds_per_thousand_requests,omitempty"`
	RSSBytes           int64   `json:"rss_bytes"`
	BytesPerConnection float64 `json:"bytes_per_connection,omitempty"` // growth of RSS since before the first connection
}

// Result contains the measurements of one run of a scenario.
type Result struct {
	Scenario string    `json:"scenario"`
	Target   string    `json:"target"`
	Started  time.Time `json:"started"`
	Settings any       `json:"settings"`
	Load     float64   `json:"load_average,omitempty"` // load average of the machine before the run; set by report.Bench

	Connections int     `json:"connections"`
	Seconds     float64 `json:"seconds"`

	Sent       int64       `json:"sent"`
	Deliveries int64       `json:"deliveries"`
	Throughput float64     `json:"deliveries_per_second"`
	Lost       int64       `json:"lost"`    // events that never arrived
	Repeats    int64       `json:"repeats"` // events that arrived again
	Holes      int64       `json:"holes"`   // events that were skipped
	Errors     int64       `json:"errors"`
	FirstError string      `json:"first_error,omitempty"`
	Closes     map[int]int `json:"closes,omitempty"`

	Latency        stats.Quantiles `json:"latency"`
	EventsPerFrame float64         `json:"events_per_frame"`
	Acks           int64           `json:"acks,omitempty"`
	AckThroughput  float64         `json:"acks_per_second,omitempty"`
	AckLatency     stats.Quantiles `json:"ack_latency,omitzero"`

	Processes map[string]Cost    `json:"processes"`
	Figures   map[string]float64 `json:"figures,omitempty"` // figures specific to the scenario
	Curves    map[string][]Point `json:"curves,omitempty"`  // the scenario's figures that are curves
}

// Clean returns nil if the run had no faults. Otherwise it returns an error with the numbers of
// lost, skipped and repeated events, of errors, and of closed connections.
func (r *Result) Clean() error {
	if r.Lost == 0 && r.Holes == 0 && r.Repeats == 0 && r.Errors == 0 && len(r.Closes) == 0 {
		return nil
	}
	return fmt.Errorf("%s on %s: %d lost, %d holes, %d repeats, %d errors (%s), closes %v",
		r.Scenario, r.Target, r.Lost, r.Holes, r.Repeats, r.Errors, r.FirstError, r.Closes)
}

// crew contains a scenario's clients and the server to which they connect.
type crew struct {
	env    Env
	loop   *swarm.Loop
	server *stage.Process
	people *stage.Population
	frames *frameBuilder
	before stage.Snapshot // before the first connection
	said   []int64        // messages sent, by channel
}

// newCrew starts the target and creates one client for each member of each channel. It does not
// connect the clients.
func newCrew(ctx context.Context, env Env, channels, members, body int, fsync string) (c *crew, err error) {
	c = &crew{env: env, said: make([]int64, channels)}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	switch env.Target {
	case Bare:
		c.people = stage.Crowd(channels, members)
		c.server, err = env.Stage.Bare(ctx)
	case Parley:
		if err := env.Stage.StartRedis(ctx, fsync); err != nil {
			return c, err
		}
		if c.people, err = env.Stage.Populate(ctx, channels, members); err != nil {
			return c, err
		}
		c.server, err = env.Stage.Gateway(ctx)
	default:
		err = fmt.Errorf("no target %q", env.Target)
	}
	if err != nil {
		return c, err
	}
	c.frames = newFrameBuilder(env.Target, c.people.Channels, body)
	if c.loop, err = swarm.New(); err != nil {
		return c, err
	}
	if err := c.loop.Aim(c.server.Addr); err != nil {
		return c, err
	}
	for _, p := range c.people.People {
		c.loop.Add(p.Channel, c.frames.upgrade(c.server.Addr, p, true))
	}
	c.before, err = env.Stage.Snapshot(ctx)
	return c, err
}

// close disconnects the clients and stops the programs that were started for them.
func (c *crew) close() error {
	var err error
	if c.loop != nil {
		err = c.loop.Close()
	}
	return errors.Join(err, c.env.Stage.Clear())
}

// join connects the given clients.
func (c *crew) join(ctx context.Context, conns []*swarm.Conn) error {
	const atOnce, each = 128, 10 * time.Millisecond
	return c.loop.DialAll(ctx, conns, atOnce, c.env.Target == Parley, 30*time.Second+time.Duration(len(conns))*each)
}

// say makes a client send a message to its channel.
func (c *crew) say(conn *swarm.Conn, stamp int64) {
	if !conn.Open() {
		return
	}
	c.said[conn.Channel]++
	c.loop.Write(conn, c.frames.message(conn.Channel, c.said[conn.Channel], stamp))
}

// stampOf returns the time stamp for a message that is sent at a fixed rate. It is the current time
// or, if the generator is late by 1 ms or more, the time at which the message was due. To avoid
// coordinated omission, the latency then includes the generator's delay.
func (c *crew) stampOf(due int64) int64 {
	if now := c.loop.Now(); now-due < int64(time.Millisecond) {
		return now
	}
	return due
}

// lost returns the number of events that clients should have received but did not, summed over all
// clients.
func (c *crew) lost() (n int64) {
	for _, conn := range c.loop.Conns {
		n += c.said[conn.Channel] - conn.Got
	}
	return n
}

// outstanding returns the number of events that connected clients have not received yet, summed
// over these clients.
func (c *crew) outstanding() (n int64) {
	for _, conn := range c.loop.Conns {
		if conn.Open() {
			n += c.said[conn.Channel] - conn.Got
		}
	}
	return n
}

// settle waits until all connected clients have received all events, but no longer than timeout.
func (c *crew) settle(ctx context.Context, timeout time.Duration) error {
	next := c.loop.Now() // counting the outstanding events is too slow for every iteration of the loop
	return c.loop.Run(ctx, timeout, func() bool {
		if now := c.loop.Now(); now >= next {
			next = now + int64(time.Millisecond)
			return c.outstanding() <= 0
		}
		return false
	})
}

// measure calls run and returns a summary of what was measured while it ran. The summary's Settings
// field holds s.
func (c *crew) measure(ctx context.Context, s Scenario, run func() error) (*Result, error) {
	said := sum(c.said)
	from, err := c.env.Stage.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	c.loop.Reset()
	r := &Result{Scenario: s.Name(), Target: c.env.Target, Started: time.Now().UTC().Round(time.Second), Settings: s}
	began := time.Now()
	if err := run(); err != nil {
		return nil, err
	}
	r.Seconds = stats.Round(time.Since(began).Seconds(), 4)
	to, err := c.env.Stage.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	t := &c.loop.Tally
	r.Connections = c.loop.Opened()
	r.Sent, r.Deliveries = sum(c.said)-said, t.Deliveries
	r.Holes, r.Repeats, r.Errors, r.FirstError, r.Closes = t.Holes, t.Repeats, t.Errors, t.FirstError, t.Closes
	r.Latency = t.Latency.Quantiles()
	r.Throughput = stats.Round(float64(t.Deliveries)/r.Seconds, 4)
	if t.Frames > 0 {
		r.EventsPerFrame = stats.Round(float64(t.Deliveries)/float64(max(t.Frames-t.Acks, 1)), 3)
	}
	if t.Acks > 0 {
		r.Acks, r.AckThroughput = t.Acks, stats.Round(float64(t.Acks)/r.Seconds, 4)
		r.AckLatency = t.AckLatency.Quantiles()
	}
	r.Figures = map[string]float64{}
	r.Processes = c.costs(from, to, t.Deliveries, r.Connections)
	return r, nil
}

func (c *crew) costs(from, to stage.Snapshot, deliveries int64, connections int) map[string]Cost {
	costs := map[string]Cost{}
	for name, u := range to {
		cost := Cost{CPUSeconds: stats.Round(u.CPUSeconds-from[name].CPUSeconds, 4), RSSBytes: u.RSSBytes}
		if deliveries > 0 {
			cost.CPUPerMillion = stats.Round(cost.CPUSeconds/float64(deliveries)*1e6, 4)
		}
		if connections > 0 {
			cost.BytesPerConnection = stats.Round(float64(u.RSSBytes-c.before[name].RSSBytes)/float64(connections), 4)
		}
		costs[name] = cost
	}
	return costs
}

// server returns the name of the program that holds the clients' connections.
func (r *Result) server() string {
	if r.Target == Bare {
		return "bare"
	}
	return "ws-server"
}

// Server returns the cost of the process that holds the clients' connections.
func (r *Result) Server() Cost { return r.Processes[r.server()] }

func sum(ns []int64) (total int64) {
	for _, n := range ns {
		total += n
	}
	return total
}

// errHole reports that clients have missed events or received events twice, which must never
// happen.
var errHole = errors.New("clients saw holes or repeats")
