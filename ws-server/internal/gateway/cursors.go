package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/lifecycle"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/store"
)

const (
	cursorEvery    = time.Second           // between two moves of one member's cursor in a channel
	cursorSpacing  = 20 * time.Millisecond // between two round trips: what comes meanwhile shares the next
	cursorPage     = 2000                  // moves of one round trip
	cursorPatience = 3 * time.Second       // for a round trip
	storeAgain     = 5 * time.Second       // after PostgreSQL did not answer it is not asked
	maxCursors     = 100_000               // members whose moves are remembered; those of more are dropped
)

// cursors gathers how far the members who are connected here have come, and moves their cursors in
// Redis: at once, and what follows within a second in one move at its end. A move that Redis does not
// take is kept and tried again; what is asked for meanwhile is merged into it.
//
// One goroutine, run, moves. States are made by whoever asks and forgotten a second after they are at rest.
type cursors struct {
	log     *eventlog.Log
	store   *store.Store
	refuses func(partition int) bool // while the log takes nothing more, moves wait
	seed    func(chat.ChannelID)     // makes a channel's counter; does not block
	failed  func(error)              // Redis or PostgreSQL has begun not to answer
	dropped func()
	moves   prometheus.Counter

	wake chan struct{} // holds at most one token: there is something in ready

	// mu guards what follows and the states. It is held for map work alone.
	mu      sync.Mutex
	states  map[store.MemberKey]*cursorState
	ready   []*cursorState // to be moved now
	cooling []*cursorState // moved within the last second, the earliest first

	// The mover's own.
	failing    bool
	storeAsked time.Time // when PostgreSQL did not answer last
}

// cursorState is a member whose cursor is to be moved or was a moment ago. It is in ready, in cooling, or
// in the mover's hands.
type cursorState struct {
	who   store.MemberKey
	want  eventlog.Cursor // asked for since the last move
	at    eventlog.Cursor // where the cursor stood after the last move
	held  bool            // Redis has held the cursor
	until time.Time       // it cools until then
}

func (s *cursorState) behind() bool { return s.want.Max(s.at) != s.at }

// cursor takes a delivered or read frame. A member needs no subscription: a client may clear what is
// unread in channels that it does not follow.
func (c *client) cursor(f *frame.Client) error {
	if err := c.who.Admit(*f.ChannelID); err != nil {
		return err
	}
	want := eventlog.Cursor{Delivered: *f.Seq}
	if f.Type == frame.Read {
		want.Read = *f.Seq
	}
	c.g.cursors.ask(store.MemberKey{Channel: *f.ChannelID, User: c.user}, want)
	return nil
}

func (g *Gateway) newCursors() *cursors {
	refuses := g.cfg.Refuses
	if refuses == nil {
		refuses = func(int) bool { return false }
	}
	return &cursors{
		log: g.cfg.Log, store: g.cfg.Store, refuses: refuses, dropped: g.cfg.Metrics.cursorsDropped.Inc,
		moves: g.cfg.Metrics.cursorMoves, wake: make(chan struct{}, 1), states: make(map[store.MemberKey]*cursorState),
		seed: func(id chat.ChannelID) {
			g.work.run(func() {
				ctx, cancel := context.WithTimeout(g.ctx, admissionTimeout)
				defer cancel()
				if _, err := g.cfg.Log.EnsureHead(ctx, id, g.cfg.Store.MaxSeq); err != nil && g.ctx.Err() == nil {
					g.cfg.Logger.Warn("channel not seeded", "channel_id", id, "err", err)
				}
			})
		},
		failed: func(err error) { g.cfg.Logger.Warn("cursors not moved or not read", "err", err) },
	}
}

// ask asks that a member's cursor stand at least at want. It does not wait.
func (c *cursors) ask(who store.MemberKey, want eventlog.Cursor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.states[who]
	if s == nil {
		if len(c.states) >= maxCursors {
			c.dropped()
			return
		}
		s = &cursorState{who: who}
		c.states[who] = s
		c.ready = append(c.ready, s)
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
	s.want = s.want.Max(want)
}

// run moves cursors until ctx is done. What is left then is for drain.
func (c *cursors) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		case <-timer.C:
		}
		for batch := c.take(time.Now()); len(batch) > 0 && ctx.Err() == nil; batch = c.take(time.Now()) {
			c.flush(ctx, batch)
		}
		if !lifecycle.Sleep(ctx, cursorSpacing) {
			return
		}
		timer.Reset(c.nextDue())
	}
}

// drain moves, once, whatever was asked for and not moved. Called after run, when nothing is asked for
// any more.
func (c *cursors) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, cursorPatience)
	defer cancel()
	for batch := c.take(time.Now().Add(2 * cursorEvery)); len(batch) > 0; batch = c.take(time.Now()) {
		c.flush(ctx, batch)
	}
}

func (c *cursors) nextDue() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.cooling) == 0 {
		return time.Hour
	}
	return max(0, time.Until(c.cooling[0].until))
}

// sending is a state in the mover's hands, and what it is moved to. The state is not to be read without
// the lock.
type sending struct {
	state *cursorState
	move  eventlog.CursorMove
}

// take returns what is to be moved at now, at most a page of it, and forgets who is at rest.
func (c *cursors) take(now time.Time) (batch []sending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.cooling) > 0 && !c.cooling[0].until.After(now) {
		s := c.cooling[0]
		c.cooling[0] = nil
		c.cooling = c.cooling[1:]
		if s.behind() {
			c.ready = append(c.ready, s)
		} else {
			delete(c.states, s.who)
		}
	}
	page := c.ready[:min(len(c.ready), cursorPage)]
	for i, s := range page {
		batch = append(batch, sending{s, eventlog.CursorMove{Channel: s.who.Channel, User: s.who.User, Cursor: s.want.Max(s.at), IfHeld: !s.held}})
		s.want = eventlog.Cursor{}
		page[i] = nil
	}
	if c.ready = c.ready[len(page):]; len(c.ready) == 0 {
		c.ready = nil // let go of the array
	}
	return batch
}

// flush moves a batch and lets its states cool. What was not moved is asked for again.
func (c *cursors) flush(ctx context.Context, batch []sending) {
	taken := make([]sending, 0, len(batch))
	var moves []eventlog.CursorMove
	for _, s := range batch {
		if c.refuses(c.log.Partition(s.move.Channel.UUID)) {
			c.settle(s, eventlog.MovedCursor{})
			continue
		}
		taken, moves = append(taken, s), append(moves, s.move)
	}
	moved, err := c.move(ctx, moves)
	if (err != nil) != c.failing {
		if c.failing = err != nil; c.failing && ctx.Err() == nil {
			c.failed(err)
		}
	}
	unseeded := make(map[chat.ChannelID]struct{})
	for i, s := range taken {
		c.settle(s, moved[i])
		if moved[i].Changed {
			c.moves.Inc()
		}
		if moved[i].Said && !moved[i].Seeded {
			unseeded[s.move.Channel] = struct{}{}
		}
	}
	for id := range unseeded {
		c.seed(id)
	}
}

// settle takes note of what became of a move, and lets its state cool.
func (c *cursors) settle(s sending, moved eventlog.MovedCursor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if moved.Seeded && moved.Held {
		s.state.at, s.state.held = moved.Cursor, true
	} else {
		s.state.want = s.state.want.Max(s.move.Cursor)
	}
	s.state.until = time.Now().Add(cursorEvery)
	c.cooling = append(c.cooling, s.state)
}

// move moves cursors, those that Redis does not hold from where they are stored: so that none seems to
// move back.
func (c *cursors) move(ctx context.Context, moves []eventlog.CursorMove) ([]eventlog.MovedCursor, error) {
	ctx, cancel := context.WithTimeout(ctx, cursorPatience)
	defer cancel()
	moved, err := c.log.MoveCursors(ctx, moves)
	var again []int
	var places []store.MemberKey
	for i, m := range moved {
		if m.Seeded && !m.Held {
			again = append(again, i)
			places = append(places, store.MemberKey{Channel: moves[i].Channel, User: moves[i].User})
		}
	}
	if len(again) == 0 {
		return moved, err
	}
	stored := c.stored(ctx, places)
	rest := make([]eventlog.CursorMove, len(again))
	for n, i := range again {
		rest[n] = moves[i]
		rest[n].Cursor, rest[n].IfHeld = moves[i].Max(stored[n]), false
	}
	results, errAgain := c.log.MoveCursors(ctx, rest)
	for n, i := range again {
		moved[i] = results[n]
	}
	return moved, errors.Join(err, errAgain)
}

// stored returns what PostgreSQL has of cursors. While it does not answer that is nothing: members go on
// without it.
func (c *cursors) stored(ctx context.Context, places []store.MemberKey) []eventlog.Cursor {
	if time.Since(c.storeAsked) > storeAgain {
		ctx, cancel := context.WithTimeout(ctx, cursorPatience/2)
		defer cancel()
		cursors, err := c.store.ReceiptsOf(ctx, places)
		if err == nil {
			return cursors
		}
		c.storeAsked = time.Now()
		c.failed(err)
	}
	return make([]eventlog.Cursor, len(places))
}

// furthest raises what PostgreSQL has of a user's cursors to what Redis has.
func (c *client) furthest(ctx context.Context, list []store.Membership) error {
	members := make([]eventlog.Member, len(list))
	for i, m := range list {
		members[i] = eventlog.Member{Channel: m.ChannelID, User: c.user}
	}
	held, err := c.g.reads.cursors.AskAll(ctx, members)
	if err != nil {
		return apierr.Wrap(err, apierr.Unavailable, "the event log does not answer right now")
	}
	for i := range list {
		m := &list[i]
		m.LastDeliveredSeq, m.LastReadSeq = max(m.LastDeliveredSeq, held[i].Delivered), max(m.LastReadSeq, held[i].Read)
	}
	return nil
}
