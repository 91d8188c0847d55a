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
	receiptMoveInterval  = time.Second           // between two moves of one member's cursor in a channel
	receiptRoundInterval = 20 * time.Millisecond // between two round trips: what comes meanwhile shares the next
	maxMovesPerRound     = 2000                  // moves of one round trip
	receiptMoveTimeout   = 3 * time.Second       // for a round trip
	storeRetryInterval   = 5 * time.Second       // after PostgreSQL did not answer it is not asked
	maxReceiptStates     = 100_000               // members whose moves are remembered; those of more are dropped
)

// receiptWriter gathers how far the members who are connected here have come, and moves their cursors in
// Redis: at once, and what follows within a second in one move at its end. A move that Redis does not
// take is kept and tried again; what is asked for meanwhile is merged into it.
//
// One goroutine, run, moves. States are made by whoever asks and forgotten a second after they are at rest.
type receiptWriter struct {
	log         *eventlog.Log
	store       *store.Store
	refuses     func(partition int) bool // while the log takes nothing more, moves wait
	seedChannel func(chat.ChannelID)     // makes a channel's counter; does not block
	onFailure   func(error)              // Redis or PostgreSQL has begun not to answer
	onDropped   func()
	moves       prometheus.Counter

	wake chan struct{} // holds at most one token: there is something in ready

	// mu guards what follows and the states. It is held for map work alone.
	mu      sync.Mutex
	states  map[store.MemberKey]*receiptState
	ready   []*receiptState // to be moved now
	cooling []*receiptState // moved within the last second, the earliest first

	// The mover's own.
	failing       bool
	storeFailedAt time.Time // when PostgreSQL did not answer last
}

// receiptState is a member whose cursor is to be moved or was a moment ago. It is in ready, in cooling, or
// in the mover's hands.
type receiptState struct {
	member     store.MemberKey
	wanted     eventlog.Cursor // asked for since the last move
	current    eventlog.Cursor // where the cursor stood after the last move
	inRedis    bool            // Redis has held the cursor
	coolsUntil time.Time       // it cools until then
}

func (s *receiptState) needsMove() bool { return s.wanted.Max(s.current) != s.current }

// handleReceipt takes a delivered or read frame. A member needs no subscription: a client may clear what is
// unread in channels that it does not follow.
func (c *client) handleReceipt(f *frame.Client) error {
	if err := c.access.Admit(*f.ChannelID); err != nil {
		return err
	}
	wanted := eventlog.Cursor{Delivered: *f.Seq}
	if f.Type == frame.Read {
		wanted.Read = *f.Seq
	}
	c.g.receiptWriter.request(store.MemberKey{Channel: *f.ChannelID, User: c.user}, wanted)
	return nil
}

func (g *Gateway) newReceiptWriter() *receiptWriter {
	refuses := g.cfg.Refuses
	if refuses == nil {
		refuses = func(int) bool { return false }
	}
	return &receiptWriter{
		log: g.cfg.Log, store: g.cfg.Store, refuses: refuses, onDropped: g.cfg.Metrics.cursorsDropped.Inc,
		moves: g.cfg.Metrics.cursorMoves, wake: make(chan struct{}, 1), states: make(map[store.MemberKey]*receiptState),
		seedChannel: func(id chat.ChannelID) {
			g.background.run(func() {
				ctx, cancel := context.WithTimeout(g.ctx, requestTimeout)
				defer cancel()
				if _, err := g.cfg.Log.EnsureHead(ctx, id, g.cfg.Store.MaxSeq); err != nil && g.ctx.Err() == nil {
					g.cfg.Logger.Warn("channel not seeded", "channel_id", id, "err", err)
				}
			})
		},
		onFailure: func(err error) { g.cfg.Logger.Warn("cursors not moved or not read", "err", err) },
	}
}

// request asks that a member's cursor stand at least at want. It does not wait.
func (w *receiptWriter) request(member store.MemberKey, wanted eventlog.Cursor) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.states[member]
	if s == nil {
		if len(w.states) >= maxReceiptStates {
			w.onDropped()
			return
		}
		s = &receiptState{member: member}
		w.states[member] = s
		w.ready = append(w.ready, s)
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
	s.wanted = s.wanted.Max(wanted)
}

// run moves cursors until ctx is done. What is left then is for drain.
func (w *receiptWriter) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-timer.C:
		}
		for batch := w.nextBatch(time.Now()); len(batch) > 0 && ctx.Err() == nil; batch = w.nextBatch(time.Now()) {
			w.flush(ctx, batch)
		}
		if !lifecycle.Sleep(ctx, receiptRoundInterval) {
			return
		}
		timer.Reset(w.nextDue())
	}
}

// drain moves, once, whatever was asked for and not moved. Called after run, when nothing is asked for
// any more.
func (w *receiptWriter) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, receiptMoveTimeout)
	defer cancel()
	for batch := w.nextBatch(time.Now().Add(2 * receiptMoveInterval)); len(batch) > 0; batch = w.nextBatch(time.Now()) {
		w.flush(ctx, batch)
	}
}

func (w *receiptWriter) nextDue() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.cooling) == 0 {
		return time.Hour
	}
	return max(0, time.Until(w.cooling[0].coolsUntil))
}

// pendingMove is a state in the mover's hands, and what it is moved to. The state is not to be read without
// the lock.
type pendingMove struct {
	state *receiptState
	move  eventlog.CursorMove
}

// nextBatch returns what is to be moved at now, at most a page of it, and forgets who is at rest.
func (w *receiptWriter) nextBatch(now time.Time) (batch []pendingMove) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.cooling) > 0 && !w.cooling[0].coolsUntil.After(now) {
		s := w.cooling[0]
		w.cooling[0] = nil
		w.cooling = w.cooling[1:]
		if s.needsMove() {
			w.ready = append(w.ready, s)
		} else {
			delete(w.states, s.member)
		}
	}
	page := w.ready[:min(len(w.ready), maxMovesPerRound)]
	for i, s := range page {
		batch = append(batch, pendingMove{s, eventlog.CursorMove{Channel: s.member.Channel, User: s.member.User, Cursor: s.wanted.Max(s.current), IfHeld: !s.inRedis}})
		s.wanted = eventlog.Cursor{}
		page[i] = nil
	}
	if w.ready = w.ready[len(page):]; len(w.ready) == 0 {
		w.ready = nil // let go of the array
	}
	return batch
}

// flush moves a batch and lets its states cool. What was not moved is asked for again.
func (w *receiptWriter) flush(ctx context.Context, batch []pendingMove) {
	accepted := make([]pendingMove, 0, len(batch))
	var moves []eventlog.CursorMove
	for _, s := range batch {
		if w.refuses(w.log.Partition(s.move.Channel.UUID)) {
			w.recordResult(s, eventlog.MovedCursor{})
			continue
		}
		accepted, moves = append(accepted, s), append(moves, s.move)
	}
	moved, err := w.moveBatch(ctx, moves)
	if (err != nil) != w.failing {
		if w.failing = err != nil; w.failing && ctx.Err() == nil {
			w.onFailure(err)
		}
	}
	unseeded := make(map[chat.ChannelID]struct{})
	for i, s := range accepted {
		w.recordResult(s, moved[i])
		if moved[i].Changed {
			w.moves.Inc()
		}
		if moved[i].Said && !moved[i].Seeded {
			unseeded[s.move.Channel] = struct{}{}
		}
	}
	for id := range unseeded {
		w.seedChannel(id)
	}
}

// recordResult takes note of what became of a move, and lets its state cool.
func (w *receiptWriter) recordResult(s pendingMove, moved eventlog.MovedCursor) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if moved.Seeded && moved.Held {
		s.state.current, s.state.inRedis = moved.Cursor, true
	} else {
		s.state.wanted = s.state.wanted.Max(s.move.Cursor)
	}
	s.state.coolsUntil = time.Now().Add(receiptMoveInterval)
	w.cooling = append(w.cooling, s.state)
}

// moveBatch moves cursors, those that Redis does not hold from where they are stored: so that none seems to
// move back.
func (w *receiptWriter) moveBatch(ctx context.Context, moves []eventlog.CursorMove) ([]eventlog.MovedCursor, error) {
	ctx, cancel := context.WithTimeout(ctx, receiptMoveTimeout)
	defer cancel()
	moved, err := w.log.MoveCursors(ctx, moves)
	var missing []int
	var members []store.MemberKey
	for i, m := range moved {
		if m.Seeded && !m.Held {
			missing = append(missing, i)
			members = append(members, store.MemberKey{Channel: moves[i].Channel, User: moves[i].User})
		}
	}
	if len(missing) == 0 {
		return moved, err
	}
	stored := w.readStored(ctx, members)
	retries := make([]eventlog.CursorMove, len(missing))
	for n, i := range missing {
		retries[n] = moves[i]
		retries[n].Cursor, retries[n].IfHeld = moves[i].Max(stored[n]), false
	}
	results, retryErr := w.log.MoveCursors(ctx, retries)
	for n, i := range missing {
		moved[i] = results[n]
	}
	return moved, errors.Join(err, retryErr)
}

// readStored returns what PostgreSQL has of cursors. While it does not answer that is nothing: members go on
// without it.
func (w *receiptWriter) readStored(ctx context.Context, members []store.MemberKey) []eventlog.Cursor {
	if time.Since(w.storeFailedAt) > storeRetryInterval {
		ctx, cancel := context.WithTimeout(ctx, receiptMoveTimeout/2)
		defer cancel()
		cursors, err := w.store.ReceiptsOf(ctx, members)
		if err == nil {
			return cursors
		}
		w.storeFailedAt = time.Now()
		w.onFailure(err)
	}
	return make([]eventlog.Cursor, len(members))
}

// raiseToRedis raises what PostgreSQL has of a user's cursors to what Redis has.
func (c *client) raiseToRedis(ctx context.Context, list []store.Membership) error {
	members := make([]eventlog.Member, len(list))
	for i, m := range list {
		members[i] = eventlog.Member{Channel: m.ChannelID, User: c.user}
	}
	held, err := c.g.sharedReads.cursors.AskAll(ctx, members)
	if err != nil {
		return apierr.Wrap(err, apierr.Unavailable, "the event log does not answer right now")
	}
	for i := range list {
		m := &list[i]
		m.LastDeliveredSeq, m.LastReadSeq = max(m.LastDeliveredSeq, held[i].Delivered), max(m.LastReadSeq, held[i].Read)
	}
	return nil
}
