package receipts

import (
	"context"
	"errors"
	"sync"
	"time"

	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/internal/platform/lifecycle"
	"parley.chat/shared-contracts/chat"
)

const (
	moveInterval     = time.Second     // minimum interval between two writes of one member's receipt to Redis
	moveTimeout      = 3 * time.Second // for one round
	maxMovesPerRound = 2000            // maximum number of receipts written in one round trip
	maxStates        = 100_000         // maximum number of members with pending or recent receipts; receipts of other members are dropped
)

// writer collects the receipts (delivered and read positions) of members connected to this gateway
// and writes them to Redis. A member's first receipt is written immediately. Further receipts
// within a second are merged into one, which is written at the end of that second. A receipt whose
// write fails stays pending and is retried; newer receipts are merged into it.
//
// A single goroutine, run, writes the receipts. A member's first receipt creates the member's
// state. The state is removed if no new receipt arrives within a second after the last write.
type writer struct {
	cfg       *Config
	onFailure func(error)   // called when Redis or PostgreSQL starts to fail
	wake      chan struct{} // capacity 1; a token means that ready is not empty

	// mu guards the fields below and the states. No I/O happens while it is held.
	mu      sync.Mutex
	states  map[chat.MemberKey]*memberState
	ready   []*memberState // to be moved now
	cooling []*memberState // moved within the last second, oldest first

	// The following fields are used only by the goroutine that writes receipts to Redis.
	failing       bool
	storeFailedAt time.Time // when PostgreSQL last failed
}

// memberState is the state of a member with a pending or recently written receipt. It is in ready,
// in cooling, or in a batch that is being written.
type memberState struct {
	member     chat.MemberKey
	wanted     receiptlog.Receipt // requested since the last move
	current    receiptlog.Receipt // position after the last move
	inRedis    bool               // Redis contained the receipt at the last write
	coolsUntil time.Time          // time at which the receipt may be written again; used while the state is in cooling
}

func (s *memberState) needsMove() bool { return s.wanted.Max(s.current) != s.current }

func newWriter(cfg *Config) *writer {
	return &writer{
		cfg: cfg, wake: make(chan struct{}, 1), states: make(map[chat.MemberKey]*memberState),
		onFailure: func(err error) { cfg.Logger.Warn("failed to move or read receipts", "err", err) },
	}
}

// move raises a member's receipt to wanted, unless the receipt is already at wanted or higher. It
// does not wait for the result.
func (w *writer) move(member chat.MemberKey, wanted receiptlog.Receipt) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.states[member]
	if s == nil {
		if len(w.states) >= maxStates {
			w.cfg.Dropped()
			return
		}
		s = &memberState{member: member}
		w.states[member] = s
		w.ready = append(w.ready, s)
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
	s.wanted = s.wanted.Max(wanted)
}

// run writes receipts to Redis until ctx is done. Receipts that are still pending are left to
// drain.
func (w *writer) run(ctx context.Context) {
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
		if !lifecycle.Sleep(ctx, roundInterval) {
			return
		}
		timer.Reset(w.nextDue())
	}
}

// drain tries once to write each pending receipt. It must be called only after run has returned,
// when no more requests can arrive.
func (w *writer) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, moveTimeout)
	defer cancel()
	for batch := w.nextBatch(time.Now().Add(2 * moveInterval)); len(batch) > 0; batch = w.nextBatch(time.Now()) {
		w.flush(ctx, batch)
	}
}

func (w *writer) nextDue() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.cooling) == 0 {
		return time.Hour
	}
	return max(0, time.Until(w.cooling[0].coolsUntil))
}

// pendingMove is the write of one member's receipt in the current batch. state may be accessed only
// with mu held.
type pendingMove struct {
	state *memberState
	move  receiptlog.Move
}

// nextBatch returns the receipts that are due at now, at most maxMovesPerRound. It removes the
// state of a member who has sent no new receipt within moveInterval of the last write.
func (w *writer) nextBatch(now time.Time) (batch []pendingMove) {
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
		batch = append(batch, pendingMove{s, receiptlog.Move{Channel: s.member.Channel, User: s.member.User, Receipt: s.wanted.Max(s.current), IfHeld: !s.inRedis}})
		s.wanted = receiptlog.Receipt{}
		page[i] = nil
	}
	if w.ready = w.ready[len(page):]; len(w.ready) == 0 {
		w.ready = nil // releases the array
	}
	return batch
}

// flush writes a batch of receipts to Redis. Each member's next receipt is delayed by moveInterval.
// A receipt whose write failed stays pending.
func (w *writer) flush(ctx context.Context, batch []pendingMove) {
	accepted := make([]pendingMove, 0, len(batch))
	var moves []receiptlog.Move
	for _, s := range batch {
		if w.cfg.Refuses(s.move.Channel) {
			w.recordResult(s, receiptlog.Moved{})
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
			w.cfg.Moved()
		}
		if moved[i].Said && !moved[i].Seeded {
			unseeded[s.move.Channel] = struct{}{}
		}
	}
	for id := range unseeded {
		w.cfg.SeedChannel(id)
	}
}

// recordResult stores the result of a write in the member's state and delays the member's next
// receipt by moveInterval.
func (w *writer) recordResult(s pendingMove, moved receiptlog.Moved) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if moved.Seeded && moved.Held {
		s.state.current, s.state.inRedis = moved.Receipt, true
	} else {
		s.state.wanted = s.state.wanted.Max(s.move.Receipt)
	}
	s.state.coolsUntil = time.Now().Add(moveInterval)
	w.cooling = append(w.cooling, s.state)
}

// moveBatch writes receipts to Redis. For a receipt that Redis does not hold, it first reads the
// positions stored in PostgreSQL, and then writes the higher of the stored and the reported
// positions. So a receipt never moves backward.
func (w *writer) moveBatch(ctx context.Context, moves []receiptlog.Move) ([]receiptlog.Moved, error) {
	ctx, cancel := context.WithTimeout(ctx, moveTimeout)
	defer cancel()
	moved, err := w.cfg.Log.Move(ctx, moves)
	var missing []int
	var members []chat.MemberKey
	for i, m := range moved {
		if m.Seeded && !m.Held {
			missing = append(missing, i)
			members = append(members, chat.MemberKey{Channel: moves[i].Channel, User: moves[i].User})
		}
	}
	if len(missing) == 0 {
		return moved, err
	}
	stored := w.readStored(ctx, members)
	retries := make([]receiptlog.Move, len(missing))
	for n, i := range missing {
		retries[n] = moves[i]
		retries[n].Receipt, retries[n].IfHeld = moves[i].Max(stored[n]), false
	}
	results, retryErr := w.cfg.Log.Move(ctx, retries)
	for n, i := range missing {
		moved[i] = results[n]
	}
	return moved, errors.Join(err, retryErr)
}

// readStored returns the receipts stored in PostgreSQL. While PostgreSQL is down it returns zero
// positions, so that receipts keep working without it.
func (w *writer) readStored(ctx context.Context, members []chat.MemberKey) []receiptlog.Receipt {
	if time.Since(w.storeFailedAt) > storeRetryInterval {
		ctx, cancel := context.WithTimeout(ctx, moveTimeout/2)
		defer cancel()
		cursors, err := w.cfg.Store.ReceiptsOf(ctx, members)
		if err == nil {
			return cursors
		}
		w.storeFailedAt = time.Now()
		w.onFailure(err)
	}
	return make([]receiptlog.Receipt, len(members))
}
