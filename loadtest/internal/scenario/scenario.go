// Package scenario is what is measured: each scenario fills a stage, loads a gateway or its floor the
// same way, and sums up what came of it. A scenario's fields are its flags.
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

// What a scenario is run against.
const (
	Parley = "parley"
	Bare   = "bare" // the floor of fan-out
	Script = "script"
	Rest   = "rest" // the floor of REST
	Copy   = "copy" // the floor of the persister
)

// Env is where a scenario runs.
type Env struct {
	Stage  *stage.Stage
	Target string    // Parley, or a floor
	Say    io.Writer // progress, for people
}

// Scenario is one of this package's.
type Scenario interface {
	Name() string
	Run(ctx context.Context, env Env) (*Result, error)
}

// Cost is what a process used while the scenario was measured.
type Cost struct {
	CPUSeconds         float64 `json:"cpu_seconds"`
	CPUPerMillion      float64 `json:"cpu_seconds_per_million_deliveries,omitempty"`
	CPUPerThousand     float64 `json:"cpu_seconds_per_thousand_requests,omitempty"`
	RSSBytes           int64   `json:"rss_bytes"`
	BytesPerConnection float64 `json:"bytes_per_connection,omitempty"` // by which RSS has grown since before the first
}

// Result is what a scenario found.
type Result struct {
	Scenario string    `json:"scenario"`
	Target   string    `json:"target"`
	Started  time.Time `json:"started"`
	Settings any       `json:"settings"`
	Load     float64   `json:"load_average,omitempty"` // of the machine, before: whoever runs a bench notes it

	Connections int     `json:"connections"`
	Seconds     float64 `json:"seconds"`

	Sent       int64       `json:"sent"`
	Deliveries int64       `json:"deliveries"`
	Throughput float64     `json:"deliveries_per_second"`
	Lost       int64       `json:"lost"`    // never came
	Repeats    int64       `json:"repeats"` // came again
	Holes      int64       `json:"holes"`   // were passed over
	Errors     int64       `json:"errors"`
	FirstError string      `json:"first_error,omitempty"`
	Closes     map[int]int `json:"closes,omitempty"`

	Latency        stats.Quantiles `json:"latency"`
	EventsPerFrame float64         `json:"events_per_frame"`
	Acks           int64           `json:"acks,omitempty"`
	AckThroughput  float64         `json:"acks_per_second,omitempty"`
	AckLatency     stats.Quantiles `json:"ack_latency,omitzero"`

	Processes map[string]Cost    `json:"processes"`
	Figures   map[string]float64 `json:"figures,omitempty"` // what this scenario is about
	Curves    map[string][]Point `json:"curves,omitempty"`  // the same where it is more than a figure
}

// Clean says what was wrong with what clients saw: loss, holes, repeats, errors and closes.
func (r *Result) Clean() error {
	if r.Lost == 0 && r.Holes == 0 && r.Repeats == 0 && r.Errors == 0 && len(r.Closes) == 0 {
		return nil
	}
	return fmt.Errorf("%s on %s: %d lost, %d holes, %d repeats, %d errors (%s), closes %v",
		r.Scenario, r.Target, r.Lost, r.Holes, r.Repeats, r.Errors, r.FirstError, r.Closes)
}

// crew is the clients of a scenario and the server that they talk to.
type crew struct {
	env    Env
	loop   *swarm.Loop
	server *stage.Process
	people *stage.Population
	speech *speech
	before stage.Snapshot // before the first connection
	said   []int64        // messages by channel
}

// gather starts the target and makes clients: the people of so many channels, none connected yet.
func gather(ctx context.Context, env Env, channels, members, body int, fsync string) (c *crew, err error) {
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
	c.speech = newSpeech(env.Target, c.people.Channels, body)
	if c.loop, err = swarm.New(); err != nil {
		return c, err
	}
	if err := c.loop.Aim(c.server.Addr); err != nil {
		return c, err
	}
	for _, p := range c.people.People {
		c.loop.Add(p.Channel, c.speech.upgrade(c.server.Addr, p, true))
	}
	c.before, err = env.Stage.Snapshot(ctx)
	return c, err
}

// close ends the clients and what was started for them.
func (c *crew) close() error {
	var err error
	if c.loop != nil {
		err = c.loop.Close()
	}
	return errors.Join(err, c.env.Stage.Clear())
}

// join connects everybody.
func (c *crew) join(ctx context.Context, conns []*swarm.Conn) error {
	const atOnce, each = 128, 10 * time.Millisecond
	return c.loop.DialAll(ctx, conns, atOnce, c.env.Target == Parley, 30*time.Second+time.Duration(len(conns))*each)
}

// say has a client send a message to its channel.
func (c *crew) say(conn *swarm.Conn, stamp int64) {
	if !conn.Open() {
		return
	}
	c.said[conn.Channel]++
	c.loop.Write(conn, c.speech.message(conn.Channel, c.said[conn.Channel], stamp))
}

// stampOf is the time that a paced message carries: when it is sent or, if the generator is late by
// more than a timer's error, when it was due, so that its own delay does not hide the server's.
func (c *crew) stampOf(due int64) int64 {
	if now := c.loop.Now(); now-due < int64(time.Millisecond) {
		return now
	}
	return due
}

// lost is how many events did not come to the clients for which they were said.
func (c *crew) lost() (n int64) {
	for _, conn := range c.loop.Conns {
		n += c.said[conn.Channel] - conn.Got
	}
	return n
}

// owed is how many events may still come: those of the clients that are open.
func (c *crew) owed() (n int64) {
	for _, conn := range c.loop.Conns {
		if conn.Open() {
			n += c.said[conn.Channel] - conn.Got
		}
	}
	return n
}

// settle waits until everybody has everything, but no longer than patience.
func (c *crew) settle(ctx context.Context, patience time.Duration) error {
	next := c.loop.Now() // counting takes longer than a round of the loop
	return c.loop.Run(ctx, patience, func() bool {
		if now := c.loop.Now(); now >= next {
			next = now + int64(time.Millisecond)
			return c.owed() <= 0
		}
		return false
	})
}

// measure runs what is to be measured and sums up. Settings are the scenario's own.
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

// server is the name of the process that holds the connections.
func (r *Result) server() string {
	if r.Target == Bare {
		return "bare"
	}
	return "ws-server"
}

// Server returns the cost of the process that holds the connections.
func (r *Result) Server() Cost { return r.Processes[r.server()] }

func sum(ns []int64) (total int64) {
	for _, n := range ns {
		total += n
	}
	return total
}

// errHole is told when clients saw what must never be.
var errHole = errors.New("clients saw holes or repeats")
