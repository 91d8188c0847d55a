package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"parley.chat/loadtest/internal/stage"
	"parley.chat/loadtest/internal/stats"
	"parley.chat/loadtest/internal/swarm"
)

// Pipeline measures all services together. Publishers send messages, subscribers report receipts,
// and sync-service stores the acknowledged messages.
type Pipeline struct {
	Publishers int           `default:"50" help:"Number of publishers, each in its own channel."`
	Members    int           `default:"2" help:"Members of each channel, including the publisher."`
	Window     int           `default:"1" help:"Maximum number of unacknowledged messages of a publisher."`
	Rate       float64       `default:"0" help:"Total messages per second, if acks allow it; 0: as fast as acks allow."`
	Cursors    time.Duration `default:"1s" help:"Interval at which each subscriber reports what it has received and read; 0: never."`
	Duration   time.Duration `default:"60s" help:"Duration of the measurement."`
	Body       int           `default:"100" help:"Size of a message body in bytes."`
	Fsync      string        `default:"everysec" enum:"everysec,always" help:"appendfsync of Redis."`
}

// Name implements Scenario.
func (*Pipeline) Name() string { return "pipeline" }

// One in markEvery acknowledged messages is sampled: the scenario measures the time from the ack
// until the message's row is visible in PostgreSQL.
const markEvery = 100

// pipeline holds the state of a running Pipeline scenario.
type pipeline struct {
	*crew
	s       *Pipeline
	watch   *stage.Watch
	readers []*swarm.Conn // everyone except the publishers
	acked   []int64       // number of acks by channel, equal to the channel's last acknowledged seq
	acks    int64
	turns   turns
	cursors schedule
}

// Run implements Scenario.
func (s *Pipeline) Run(ctx context.Context, env Env) (_ *Result, err error) {
	c, err := newCrew(ctx, env, s.Publishers, s.Members, s.Body, s.Fsync)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close(), env.Stage.Forget(context.WithoutCancel(ctx))) }()
	if _, err := env.Stage.SyncService(ctx); err != nil {
		return nil, err
	}
	if err := c.join(ctx, c.loop.Conns); err != nil {
		return nil, err
	}
	p := &pipeline{crew: c, s: s, acked: make([]int64, s.Publishers)}
	if p.watch, err = env.Stage.Watch(ctx); err != nil {
		return nil, err
	}
	r, err := p.load(ctx)
	if err := errors.Join(err, p.watch.Stop()); err != nil {
		return nil, err
	}
	p.lags(r)
	return r, p.check(ctx, r)
}

// load generates the load, and waits until all clients have received all messages.
func (p *pipeline) load(ctx context.Context) (*Result, error) {
	s := p.s
	p.loop.OnAck = p.onAck
	// Measure the latency from the actual send, not from the time at which the send was due. The
	// wait for the previous ack must not count as the server's latency.
	p.turns = turns{rate: s.Rate, say: func(conn *swarm.Conn, _ int64) { p.say(conn, p.loop.Now()) }}
	for i, conn := range p.loop.Conns {
		conn.Next = 1 // the channels are new
		if i%s.Members != 0 {
			p.readers = append(p.readers, conn)
			continue
		}
		for range s.Window {
			p.turns.idle = append(p.turns.idle, conn)
		}
	}
	p.cursors = schedule{every: s.Cursors, n: len(p.readers)}
	warm := min(2*time.Second, s.Duration)
	p.turns.begin(p.loop, int(s.Rate*(warm+s.Duration).Seconds()))
	if err := p.loop.Run(ctx, warm, p.tick); err != nil {
		return nil, err
	}
	r, err := p.measure(ctx, s, func() error { return p.loop.Run(ctx, s.Duration, p.tick) })
	if err != nil {
		return nil, err
	}
	p.turns.end()
	return r, p.settle(ctx, 10*time.Second)
}

func (p *pipeline) onAck(conn *swarm.Conn, now int64) {
	p.acked[conn.Channel]++
	if p.acks++; p.acks%markEvery == 0 {
		p.watch.Mark(stage.Mark{Channel: p.people.Channels[conn.Channel], Seq: p.acked[conn.Channel], Acked: time.Now()})
	}
	p.turns.acked(conn, now)
}

// tick sends the receipts that are due. It returns true after an error, to end the load.
func (p *pipeline) tick() bool {
	p.cursors.due(p.loop.Now(), func(i int) { p.moveCursor(p.readers[i]) })
	return p.loop.Tally.Errors > 0
}

// moveCursor sends a reader's receipt for all messages that it has received.
func (p *pipeline) moveCursor(conn *swarm.Conn) {
	if conn.Open() && conn.Next > 1 {
		p.loop.Write(conn, p.frames.cursors(swarm.Position{Channel: conn.Channel, Next: conn.Next}))
	}
}

// lags adds two metrics to the result: sync-service's lag, and the time until messages were in
// PostgreSQL.
func (p *pipeline) lags(r *Result) {
	f, third := r.Figures, len(p.watch.Lags)/3
	f["acks_per_second"] = r.AckThroughput
	stored := p.watch.Stored.Quantiles()
	f["row_p50_ms"], f["row_p99_ms"], f["row_max_ms"] = stored.P50, stored.P99, stored.Max
	f["rows_sampled"] = float64(p.watch.Stored.Count())
	if len(p.watch.Lags) > 0 {
		f["lag_max"] = float64(slices.Max(p.watch.Lags))
	}
	if third > 0 {
		first, last := mean(p.watch.Lags[:third]), mean(p.watch.Lags[len(p.watch.Lags)-third:])
		f["lag_first_third"], f["lag_last_third"] = stats.Round(first, 4), stats.Round(last, 4)
		f["lag_middle_third"] = stats.Round(mean(p.watch.Lags[third:2*third]), 4)
		f["lag_growing"] = growing(first, last, r.AckThroughput)
	}
	if r.Acks > 0 {
		for name, cost := range r.Processes {
			f["cpu_us_per_message_"+name] = stats.Round(cost.CPUSeconds/float64(r.Acks)*1e6, 3)
		}
	}
}

// growing returns 1 if the lag grows, and 0 if not. first and last are the mean lags in the first
// and the last third of the run. The lag is considered to grow if last is more than 1.5 times first
// and the difference is more than the number of messages acknowledged per second.
func growing(first, last, perSecond float64) float64 {
	if last > 1.5*first && last-first > perSecond {
		return 1
	}
	return 0
}

func mean(ns []int64) float64 { return float64(sum(ns)) / float64(max(len(ns), 1)) }

// check waits until all messages are stored, and compares the stored messages with the acknowledged
// ones.
func (p *pipeline) check(ctx context.Context, r *Result) error {
	var wanted []stage.Cursor
	if p.s.Cursors > 0 {
		for _, conn := range p.readers {
			p.moveCursor(conn)
			wanted = append(wanted, stage.Cursor{Channel: p.people.Channels[conn.Channel], User: p.people.People[conn.ID].ID, Seq: conn.Next - 1})
		}
	}
	began := time.Now()
	left, err := p.env.Stage.AwaitStored(ctx, time.Minute)
	if err != nil {
		return err
	}
	r.Figures["drained_seconds"], r.Figures["not_stored"] = stats.Round(time.Since(began).Seconds(), 3), float64(left)
	stored, err := p.env.Stage.StoredOf(ctx, p.people.Channels)
	if err != nil {
		return err
	}
	r.Lost = p.lost()
	for i, is := range stored {
		r.Lost += max(p.acked[i]-is.Rows, 0)
		r.Holes += is.Last - is.Rows
		r.Repeats += is.Rows - is.Distinct
	}
	return p.checkCursors(ctx, r, wanted)
}

// checkCursors waits until the last reported receipts are stored. This can take seconds, because a
// gateway forwards a receipt at most once a second, and sync-service merges receipts.
func (p *pipeline) checkCursors(ctx context.Context, r *Result, wanted []stage.Cursor) error {
	for end := p.loop.Now() + int64(20*time.Second); ; {
		behind, err := p.env.Stage.CursorsBehind(ctx, wanted)
		if err != nil {
			return err
		}
		r.Figures["cursors_behind"] = float64(behind)
		if behind == 0 {
			return nil
		}
		if p.loop.Now() > end {
			return fmt.Errorf("%d of %d receipts are not stored", behind, len(wanted))
		}
		if err := p.loop.Run(ctx, 200*time.Millisecond, func() bool { return false }); err != nil {
			return err
		}
	}
}

// schedule performs an action for each of n elements once per period, evenly spread over the
// period.
type schedule struct {
	every time.Duration
	n     int
	began int64
	done  int64
}

// due calls do with the index of each element whose action is due.
func (d *schedule) due(now int64, do func(i int)) {
	if d.every <= 0 || d.n == 0 {
		return
	}
	if d.began == 0 {
		d.began = now
	}
	for turns := int64(float64(now-d.began) / float64(d.every) * float64(d.n)); d.done < turns; d.done++ {
		do(int(d.done % int64(d.n)))
	}
}
