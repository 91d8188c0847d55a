package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley.chat/loadtest/internal/stage"
	"parley.chat/loadtest/internal/stats"
)

// Drain measures how fast sync-service instances move a backlog from Redis to PostgreSQL. Its floor
// stores the same rows with a single plain COPY.
type Drain struct {
	Entries   int    `default:"1000000" help:"Number of entries in the backlog."`
	Channels  int    `default:"1000" help:"Number of channels of the entries."`
	Body      int    `default:"200" help:"Size of a message body in bytes."`
	Instances int    `default:"1" help:"Number of sync-services."`
	Fsync     string `default:"always" enum:"everysec,always" help:"appendfsync of Redis."`
}

// Name implements Scenario.
func (*Drain) Name() string { return "drain" }

// drainTimeout limits the duration of a drain.
const drainTimeout = 5 * time.Minute

// Run implements Scenario.
func (s *Drain) Run(ctx context.Context, env Env) (_ *Result, err error) {
	defer func() { err = errors.Join(err, env.Stage.Clear(), env.Stage.Forget(context.WithoutCancel(ctx))) }()
	backlog := stage.NewBacklog(s.Entries, s.Channels, s.Body)
	r := &Result{Scenario: s.Name(), Target: env.Target, Started: time.Now().UTC().Round(time.Second), Settings: s, Sent: int64(s.Entries)}
	switch env.Target {
	case Copy:
		took, err := env.Stage.CopyPlainly(ctx, backlog)
		if err != nil {
			return nil, err
		}
		r.Seconds = stats.Round(took.Seconds(), 4)
		r.Figures = map[string]float64{"entries_per_second": stats.Round(float64(s.Entries)/took.Seconds(), 4)}
		return r, nil
	case Parley:
		return r, s.drain(ctx, env, backlog, r)
	}
	return nil, fmt.Errorf("no target %q", env.Target)
}

// drain measures the time from the start of the first process to the last acknowledgement.
func (s *Drain) drain(ctx context.Context, env Env, backlog *stage.Backlog, r *Result) error {
	if err := env.Stage.StartRedis(ctx, s.Fsync); err != nil {
		return err
	}
	if err := env.Stage.Append(ctx, backlog); err != nil {
		return err
	}
	from, err := env.Stage.Snapshot(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	for range s.Instances {
		if _, err := env.Stage.SyncService(ctx); err != nil {
			return err
		}
	}
	left, err := env.Stage.AwaitStored(ctx, drainTimeout)
	if err != nil {
		return err
	}
	took := time.Since(began)
	to, err := env.Stage.Snapshot(ctx)
	if err != nil {
		return err
	}
	r.Seconds = stats.Round(took.Seconds(), 4)
	r.Figures = map[string]float64{"entries_per_second": stats.Round(float64(s.Entries)/took.Seconds(), 4), "not_stored": float64(left)}
	r.Processes = map[string]Cost{}
	for name, u := range to {
		used := u.CPUSeconds - from[name].CPUSeconds
		r.Processes[name] = Cost{CPUSeconds: stats.Round(used, 4), RSSBytes: u.RSSBytes}
		r.Figures["cpu_us_per_entry_"+name] = stats.Round(used/float64(s.Entries)*1e6, 3)
	}
	stored, err := env.Stage.StoredOf(ctx, backlog.Channels)
	if err != nil {
		return err
	}
	for i, is := range stored {
		want := int64((s.Entries - i + s.Channels - 1) / s.Channels)
		r.Lost += want - is.Rows
		r.Holes += is.Last - is.Rows
		r.Repeats += is.Rows - is.Distinct
	}
	return nil
}
