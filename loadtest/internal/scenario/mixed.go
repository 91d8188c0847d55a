package scenario

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"parley.chat/internal/devkit/localserver"
	"parley.chat/loadtest/internal/stage"
	"parley.chat/loadtest/internal/stats"
	"parley.chat/loadtest/internal/swarm"
	"parley.chat/loadtest/internal/wire"
)

// Mixed simulates users at work in a large company. All users are connected and are in several
// channels of very different sizes. A few users send messages and all users read them; some users
// lose their connection and resume, and some read history. All services run with their default
// settings, including their limits.
type Mixed struct {
	People   int           `default:"5000" help:"Number of users, each with one connection."`
	Large    int           `default:"20" help:"Number of large channels, whose sizes follow Zipf's law: all users, a half, a third …"`
	Each     int           `default:"10" help:"Number of channels of each user. Users who are in fewer large channels are in more small ones."`
	Team     int           `default:"12" help:"Members of each small channel."`
	Speakers float64       `default:"0.01" help:"Fraction of the users who send messages. They select one of their channels by Zipf's law, the largest most often."`
	Say      time.Duration `default:"10s" help:"Interval between the messages of each of them. Each message is preceded by a typing notice."`
	Read     time.Duration `default:"10s" help:"Interval at which each user reports what they have received and read."`
	Churn    float64       `default:"0.01" help:"Fraction of the connections that are cut each second, except connections of users who send."`
	Away     time.Duration `default:"2s" help:"Time after which a cut client reconnects and resumes."`
	History  float64       `default:"20" help:"Pages of history read over REST per second."`
	Duration time.Duration `default:"60s" help:"Duration of the measurement."`
	Body     int           `default:"100" help:"Size of a message body in bytes."`
	Profile  string        `help:"File for a CPU profile of the gateway, over 30 s or the measured time if that is shorter."`
}

// underWay is how long the scenario waits for deliveries that are in flight when the load ends. The
// measurement includes these deliveries.
const underWay = 250 * time.Millisecond

// Name implements Scenario.
func (*Mixed) Name() string { return "mixed" }

// mixed holds the state of a running Mixed scenario.
type mixed struct {
	*crew
	s        *Mixed
	company  *company
	rng      *rand.Rand
	speakers []*swarm.Conn
	others   []*swarm.Conn // in random order
	acks     int64
	going    bool

	sending, reading, churn schedule
	next                    map[*swarm.Conn]int // channel in which a user is typing
	moved                   map[*swarm.Conn][]int64
	positions               []swarm.Position // buffer of read
	away                    []absence        // ordered by time of return
	pause                   int64            // number of clients that have reconnected after the scenario cut them off
}

// absence records a disconnected client and the time at which it reconnects.
type absence struct {
	conn *swarm.Conn
	back int64
}

// Run implements Scenario.
func (s *Mixed) Run(ctx context.Context, env Env) (_ *Result, err error) {
	m := &mixed{s: s, company: newCompany(s.People, s.Large, s.Each, s.Team), rng: rand.New(rand.NewPCG(3, 4)), going: true}
	if err := m.setUp(ctx, env); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.close(), env.Stage.Forget(context.WithoutCancel(ctx))) }()
	pages, err := env.Stage.ChatService(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := env.Stage.SyncService(ctx); err != nil {
		return nil, err
	}
	if err := m.join(ctx, m.loop.Conns); err != nil {
		return nil, err
	}
	m.begin()
	if err := m.loop.Run(ctx, min(2*s.Say, s.Duration), m.tick); err != nil { // warm up
		return nil, err
	}
	m.pause = 0
	background := m.startBackground(ctx, pages)
	r, err := m.measure(ctx, s, func() error {
		err := m.loop.Run(ctx, s.Duration, m.tick)
		m.going = false
		return errors.Join(err, m.loop.Run(ctx, underWay, m.tick))
	})
	if err := errors.Join(err, background.wait()); err != nil {
		return nil, err
	}
	r.Figures["cut_and_resumed"] = float64(m.pause)
	r.Figures["channels"] = float64(len(m.people.Channels))
	background.report(r)
	return r, m.finish(ctx, r)
}

// setUp starts Redis and the gateway, and creates the clients.
func (m *mixed) setUp(ctx context.Context, env Env) (err error) {
	c := &crew{env: env, said: make([]int64, len(m.company.rosters))}
	m.crew = c
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	if env.Target != Parley {
		return fmt.Errorf("no target %q", env.Target)
	}
	if err := env.Stage.StartRedis(ctx, localserver.FsyncEverySec); err != nil {
		return err
	}
	if c.people, err = env.Stage.Company(ctx, m.s.People, m.company.rosters); err != nil {
		return err
	}
	if c.server, err = env.Stage.GatewayAsShipped(ctx); err != nil {
		return err
	}
	c.frames = newFrameBuilder(Parley, c.people.Channels, m.s.Body)
	if c.loop, err = swarm.New(); err != nil {
		return err
	}
	if err := c.loop.Aim(c.server.Addr); err != nil {
		return err
	}
	c.loop.Index = map[wire.ChannelID]int{}
	for i, name := range c.frames.channels {
		c.loop.Index[wire.ChannelID([]byte(name))] = i
	}
	for i, p := range c.people.People {
		conn := c.loop.Add(-1, c.frames.upgrade(c.server.Addr, p, true))
		for _, channel := range m.company.of[i] {
			conn.Positions = append(conn.Positions, swarm.Position{Channel: channel, Next: 1}) // the channels are new
		}
	}
	c.before, err = env.Stage.Snapshot(ctx)
	return err
}

// begin selects the users who send messages and sets up the schedules.
func (m *mixed) begin() {
	order := m.rng.Perm(len(m.loop.Conns))
	speakers := max(int(m.s.Speakers*float64(len(order))), 1)
	for n, i := range order {
		conn := m.loop.Conns[i]
		if n < speakers {
			m.speakers = append(m.speakers, conn)
			continue
		}
		m.others = append(m.others, conn)
		conn.Ask(m.frames.upgrade(m.server.Addr, m.people.People[i], false)) // used for reconnecting
	}
	m.next, m.moved = map[*swarm.Conn]int{}, map[*swarm.Conn][]int64{}
	// A speaker acts twice per message: it starts typing, and then it sends. So the interval is
	// half of Say.
	m.sending = schedule{every: m.s.Say / 2, n: len(m.speakers)}
	m.reading = schedule{every: m.s.Read, n: len(m.loop.Conns)}
	if n := int(m.s.Churn * float64(len(m.loop.Conns))); n > 0 {
		m.churn = schedule{every: time.Second, n: n}
	}
	m.loop.OnAck = func(*swarm.Conn, int64) { m.acks++ }
	m.loop.OnOpen = func(conn *swarm.Conn) {
		conn.Live = m.loop.Now()
		m.loop.Write(conn, m.frames.resumeAll(conn.Positions))
	}
}

// tick performs the actions that are due. It returns true after an error, to end the load.
func (m *mixed) tick() bool {
	now := m.loop.Now()
	if m.going {
		m.sending.due(now, func(i int) { m.speak(m.speakers[i]) })
		m.reading.due(now, func(i int) { m.read(m.loop.Conns[i]) })
		m.churn.due(now, func(int) { m.cut(now) })
	}
	for len(m.away) > 0 && m.away[0].back <= now {
		if err := m.loop.Dial(m.away[0].conn); err != nil {
			m.loop.Tally.Errors++
			m.loop.Tally.FirstError = err.Error()
		}
		m.away = m.away[1:]
		m.pause++
	}
	return m.loop.Tally.Errors > 0
}

// speak makes a user start typing or, if the user is already typing, send the message.
func (m *mixed) speak(conn *swarm.Conn) {
	channel, typing := m.next[conn]
	if !typing {
		channel = m.company.pick(m.rng, conn.ID)
		m.next[conn] = channel
		m.loop.Write(conn, m.frames.typing(channel, true))
		return
	}
	delete(m.next, conn)
	m.said[channel]++
	m.loop.Write(conn, m.frames.message(channel, m.said[channel], m.loop.Now()))
	m.loop.Write(conn, m.frames.typing(channel, false))
}

// read sends a user's new receipts for all channels in one frame, as the SDK does.
func (m *mixed) read(conn *swarm.Conn) {
	if !conn.Open() {
		return
	}
	at := m.moved[conn]
	if at == nil {
		at = make([]int64, len(conn.Positions))
		m.moved[conn] = at
	}
	m.positions = m.positions[:0]
	for i, p := range conn.Positions {
		if p.Next-1 > at[i] {
			at[i] = p.Next - 1
			m.positions = append(m.positions, p)
		}
	}
	if len(m.positions) > 0 {
		m.loop.Write(conn, m.frames.cursors(m.positions...))
	}
}

// cut disconnects a random connected user.
func (m *mixed) cut(now int64) {
	conn := m.others[m.rng.IntN(len(m.others))]
	if conn.Open() && conn.Greeted {
		m.loop.Drop(conn)
		m.away = append(m.away, absence{conn, now + int64(m.s.Away)})
	}
}

// missing returns the number of events that clients have not received yet, summed over all clients.
func (m *mixed) missing() (n int64) {
	for _, conn := range m.loop.Conns {
		for _, p := range conn.Positions {
			n += m.said[p.Channel] - (p.Next - 1)
		}
	}
	return n
}

// finish waits until all clients have reconnected and received all events. It then compares the
// sent messages with the stored rows.
func (m *mixed) finish(ctx context.Context, r *Result) error {
	next := m.loop.Now()
	err := m.loop.Run(ctx, 20*time.Second, func() bool {
		if m.tick() {
			return true
		}
		if now := m.loop.Now(); now >= next {
			next = now + int64(20*time.Millisecond)
			return len(m.away) == 0 && m.missing() <= 0
		}
		return false
	})
	if err != nil {
		return err
	}
	r.Lost, r.Holes, r.Repeats = m.missing(), m.loop.Tally.Holes, m.loop.Tally.Repeats
	r.Errors, r.FirstError = m.loop.Tally.Errors, m.loop.Tally.FirstError
	left, err := m.env.Stage.AwaitStored(ctx, time.Minute)
	if err != nil {
		return err
	}
	r.Figures["not_stored"] = float64(left)
	stored, err := m.env.Stage.StoredOf(ctx, m.people.Channels)
	if err != nil {
		return err
	}
	for i, is := range stored {
		r.Lost += max(m.said[i]-is.Rows, 0)
		r.Holes += is.Last - is.Rows
		r.Repeats += is.Rows - is.Distinct
	}
	return nil
}

// background holds the activities that run at the same time as the clients: history reads and
// profiling.
type background struct {
	stop    context.CancelFunc
	ended   chan error // one value per activity
	running int
	pages   stats.Histogram
	failed  int64
}

// startBackground starts goroutines that read history pages and, if requested, profile the gateway.
func (m *mixed) startBackground(ctx context.Context, server *stage.Process) *background {
	a := &background{ended: make(chan error, 2)}
	readers, cancel := context.WithCancel(ctx)
	a.stop = cancel
	if m.s.History > 0 {
		a.running++
		go func() { a.ended <- a.readPages(readers, m, server) }()
	}
	if m.s.Profile != "" {
		a.running++
		go func() { a.ended <- m.profile(ctx) }()
	}
	time.AfterFunc(m.s.Duration, cancel)
	return a
}

func (a *background) wait() error {
	var errs []error
	for range a.running {
		errs = append(errs, <-a.ended)
	}
	a.stop()
	return errors.Join(errs...)
}

func (a *background) report(r *Result) {
	if a.pages.Count() > 0 {
		q := a.pages.Quantiles()
		r.Figures["history_pages"], r.Figures["history_p50_ms"], r.Figures["history_p99_ms"] = float64(a.pages.Count()), q.P50, q.P99
	}
	r.Errors += a.failed
}

// readPages reads history pages at a fixed rate, one at a time. For each request, it chooses a
// random user and one of the user's channels.
func (a *background) readPages(ctx context.Context, m *mixed, server *stage.Process) error {
	rng := rand.New(rand.NewPCG(5, 6)) // the loop's generator belongs to another goroutine
	tick := time.NewTicker(time.Duration(float64(time.Second) / m.s.History))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		i := rng.IntN(len(m.people.People))
		path := "/v1/channels/" + m.frames.channels[m.company.pick(rng, i)] + "/messages"
		began := time.Now()
		if err := server.Ask(ctx, path, m.people.People[i].Token); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			a.failed++
			fmt.Fprintf(m.env.Say, "  a page of history: %v\n", err)
			continue
		}
		a.pages.Add(int64(time.Since(began)))
	}
}

// profile records a CPU profile of the gateway.
func (m *mixed) profile(ctx context.Context) error {
	raw, err := m.server.Profile(ctx, max(min(m.s.Duration, 30*time.Second), time.Second))
	if err != nil {
		return err
	}
	if err := os.WriteFile(m.s.Profile, []byte(raw), 0o644); err != nil {
		return fmt.Errorf("write the profile: %w", err)
	}
	return nil
}
