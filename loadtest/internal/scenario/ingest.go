package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"parley.chat/loadtest/internal/swarm"
)

// Ingest measures how fast messages are acknowledged. Each publisher sends its next message when
// the previous one is acknowledged.
type Ingest struct {
	Publishers int           `default:"50" help:"Number of publishers, each in its own channel."`
	Members    int           `default:"2" help:"Members of each channel, including the publisher."`
	Window     int           `default:"1" help:"Maximum number of unacknowledged messages of a publisher."`
	Duration   time.Duration `default:"10s" help:"Duration of the measurement."`
	Body       int           `default:"100" help:"Size of a message body in bytes."`
	Fsync      string        `default:"everysec" enum:"everysec,always" help:"appendfsync of Redis."`
	WithSync   bool          `help:"Also run a sync-service."`
}

// Name implements Scenario.
func (s *Ingest) Name() string { return "ingest" }

// Run implements Scenario.
func (s *Ingest) Run(ctx context.Context, env Env) (_ *Result, err error) {
	c, err := newCrew(ctx, env, s.Publishers, s.Members, s.Body, s.Fsync)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if s.WithSync {
		if _, err := env.Stage.SyncService(ctx); err != nil {
			return nil, err
		}
	}
	if err := c.join(ctx, c.loop.Conns); err != nil {
		return nil, err
	}
	going := true
	c.loop.OnAck = func(conn *swarm.Conn, now int64) {
		if going {
			c.say(conn, now)
		}
	}
	for i := 0; i < len(c.loop.Conns); i += s.Members {
		for range s.Window {
			c.say(c.loop.Conns[i], c.loop.Now())
		}
	}
	never := func() bool { return c.loop.Tally.Errors > 0 }
	if err := c.loop.Run(ctx, min(2*time.Second, s.Duration), never); err != nil { // warm up
		return nil, err
	}
	r, err := c.measure(ctx, s, func() error { return c.loop.Run(ctx, s.Duration, never) })
	if err != nil {
		return nil, err
	}
	going = false
	if err := c.settle(ctx, 10*time.Second); err != nil {
		return nil, err
	}
	r.Lost = c.lost()
	r.Figures["acks_per_second"] = r.AckThroughput
	if fsync, err := env.Stage.FsyncTime(); err == nil {
		r.Figures["fsync_ms"] = float64(fsync) / float64(time.Millisecond)
	}
	return r, nil
}

// AppendScript is the floor of Ingest. It measures only the append script.
type AppendScript struct {
	Events   int    `default:"200000" help:"Number of events to append."`
	Channels int    `default:"50" help:"Number of channels to append to."`
	Body     int    `default:"100" help:"Size of a message body in bytes."`
	Fsync    string `default:"everysec" enum:"everysec,always" help:"appendfsync of Redis."`
}

// Name implements Scenario.
func (*AppendScript) Name() string { return "script" }

// Run implements Scenario. It ignores env.Target, because there is only one program to measure.
func (s *AppendScript) Run(ctx context.Context, env Env) (_ *Result, err error) {
	if err := env.Stage.StartRedis(ctx, s.Fsync); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, env.Stage.Clear()) }()
	r := &Result{Scenario: s.Name(), Target: Script, Started: time.Now().UTC().Round(time.Second), Settings: s, Processes: map[string]Cost{}}
	from, err := env.Stage.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	out, err := env.Stage.Script(ctx, s.Events, s.Channels, s.Body)
	if err != nil {
		return nil, err
	}
	to, err := env.Stage.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	for name, u := range to {
		r.Processes[name] = Cost{CPUSeconds: u.CPUSeconds - from[name].CPUSeconds, RSSBytes: u.RSSBytes}
	}
	if err := json.Unmarshal(out, &r.Figures); err != nil {
		return nil, fmt.Errorf("read the script floor's figures: %w", err)
	}
	r.Sent, r.Seconds = int64(s.Events), r.Figures["seconds"]
	return r, nil
}
