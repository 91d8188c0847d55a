package hub

import (
	"sync"
	"sync/atomic"
	"time"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// Event is an event as the hub handles it: where it stands, and bytes that it does not read.
type Event struct {
	Seq   int64
	Epoch event.Epoch
	Kind  event.Kind
	Left  chat.UserID // member_left: who
	Frame []byte
}

// Channel is a channel that this gateway is live in.
type Channel struct {
	hub *Hub
	id  chat.ChannelID

	ready chan struct{} // closed by Begin

	// fanned is the last seq that the fan-out has handed to the live subscriptions. It is written with
	// subsMu held; who reads it with mu alone may see it a little old.
	fanned atomic.Int64

	// subsMu guards subs, their cursors and states, and is held during a fan-out. It is taken before
	// mu, never after it.
	subsMu sync.Mutex
	subs   []*Subscription
	gone   bool // dropped from the hub

	// mu guards what follows. It is held for work on the ring alone.
	mu        sync.Mutex
	begun     bool
	epoch     event.Epoch
	next      int64 // the seq that must come next
	ring      []Event
	ringBytes int
	unseen    bool            // the ring may have deletions that Redact has not looked at
	ahead     map[int64]Event // came before what precedes them
	healing   bool
	fanning   bool
	resync    []byte // a new epoch began: to be sent before what follows
	lastEvent time.Time
	offers    offers
}

// ID returns the channel's id.
func (ch *Channel) ID() chat.ChannelID { return ch.id }

// Ready is closed when the channel takes subscriptions.
func (ch *Channel) Ready() <-chan struct{} { return ch.ready }

// Begin says how far the channel has come; events up to seq are history. What was published before
// is kept where it follows. Only the first call counts.
func (ch *Channel) Begin(seq int64, epoch event.Epoch) {
	ch.subsMu.Lock()
	ch.mu.Lock()
	if ch.begun {
		ch.mu.Unlock()
		ch.subsMu.Unlock()
		return
	}
	ch.begun, ch.epoch, ch.next = true, epoch, seq+1
	ch.fanned.Store(seq)
	early := ch.ahead
	ch.ahead = nil
	ch.mu.Unlock()
	ch.subsMu.Unlock()
	close(ch.ready)
	for _, e := range early {
		ch.Publish([]Event{e})
	}
}

// Head returns the newest seq and its epoch.
func (ch *Channel) Head() (seq int64, epoch event.Epoch) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.next - 1, ch.epoch
}

// QuietSince returns when the newest event came.
func (ch *Channel) QuietSince() time.Time {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.lastEvent
}

// Publish takes events in any order, any number of times, and fans out each seq once, in order.
func (ch *Channel) Publish(events []Event) {
	if ch.Add(events) {
		ch.hub.fanouts.Go(ch.fanout)
	}
}

// Add is Publish without the fan-out. It reports whether the caller owes the channel one, see
// Hub.FanOut.
func (ch *Channel) Add(events []Event) (owed bool) {
	ch.mu.Lock()
	for _, e := range events {
		ch.take(e)
	}
	ch.followUp()
	after, upTo, heal := ch.gapLocked()
	owed = ch.startFanoutLocked()
	ch.mu.Unlock()
	if heal {
		ch.hub.cfg.Heal(ch, after, upTo)
	}
	return owed
}

// take puts an event where it belongs. Called with mu held.
func (ch *Channel) take(e Event) {
	switch {
	case !ch.begun:
		ch.stash(e)
	case e.Epoch != ch.epoch && ch.epoch.NewerThan(e.Epoch):
		// Of a numbering that Redis has lost since.
	case e.Epoch != ch.epoch:
		ch.turn(e.Epoch, e.Seq)
		ch.push(e)
	case e.Seq == ch.next:
		ch.push(e)
	case e.Seq > ch.next:
		ch.stash(e)
	}
}

// turn begins a new epoch at seq: what was gathered of the old one is void.
func (ch *Channel) turn(epoch event.Epoch, seq int64) {
	ch.epoch, ch.next = epoch, seq
	ch.ring, ch.ringBytes, ch.ahead, ch.healing = nil, 0, nil, false
	ch.resync = ch.hub.cfg.Resync(ch.id, epoch, seq-1)
}

func (ch *Channel) push(e Event) {
	ch.ring = append(ch.ring, e)
	ch.ringBytes += len(e.Frame)
	ch.unseen = ch.unseen || e.Kind == event.Delete
	ch.next = e.Seq + 1
	delete(ch.ahead, e.Seq) // a heal may bring what has come ahead meanwhile
	ch.lastEvent = time.Now()
	ch.cutRing()
}

// cutRing keeps the ring in its bounds, and never cuts what the fan-out has not taken.
func (ch *Channel) cutRing() {
	drop := 0
	for drop < len(ch.ring)-1 && ch.ring[drop].Seq <= ch.fanned.Load() &&
		(len(ch.ring)-drop > ringEvents || ch.ringBytes > ringBytes) {
		ch.ringBytes -= len(ch.ring[drop].Frame)
		ch.ring[drop].Frame = nil
		drop++
	}
	ch.ring = ch.ring[drop:] // the next append that finds no room moves it to an array of its size
}

func (ch *Channel) stash(e Event) {
	if ch.ahead == nil {
		ch.ahead = make(map[int64]Event)
	}
	if old, ok := ch.ahead[e.Seq]; !ok || e.Epoch.NewerThan(old.Epoch) {
		ch.ahead[e.Seq] = e
	}
}

// followUp takes in what came ahead and now follows. Called with mu held.
func (ch *Channel) followUp() {
	for ch.begun && len(ch.ahead) > 0 {
		e, ok := ch.ahead[ch.next]
		if !ok {
			return
		}
		delete(ch.ahead, ch.next)
		ch.take(e)
	}
	if ch.begun && len(ch.ahead) == 0 {
		ch.healing = false
	}
}

// gapLocked reports a gap that nobody is healing yet.
func (ch *Channel) gapLocked() (after, upTo int64, found bool) {
	if !ch.begun || len(ch.ahead) == 0 || ch.healing {
		return 0, 0, false
	}
	for seq := range ch.ahead {
		upTo = max(upTo, seq)
	}
	ch.healing = true
	return ch.next - 1, upTo, true
}

// Expect tells that seq exists, as a look at the counter has found: if it never came, it is a gap. It
// reports whether it was one. An older epoch is ignored; a newer one begins behind seq.
func (ch *Channel) Expect(seq int64, epoch event.Epoch) bool {
	ch.mu.Lock()
	if !ch.begun || ch.epoch.NewerThan(epoch) {
		ch.mu.Unlock()
		return false
	}
	if epoch != ch.epoch {
		ch.turn(epoch, seq+1)
		start := ch.startFanoutLocked()
		ch.mu.Unlock()
		if start {
			ch.hub.fanouts.Go(ch.fanout)
		}
		return true
	}
	if seq < ch.next || ch.healing {
		ch.mu.Unlock()
		return false
	}
	ch.healing = true
	after := ch.next - 1
	ch.mu.Unlock()
	ch.hub.cfg.Heal(ch, after, seq)
	return true
}

// Missing returns the range that a heal has to bring: the first seq that lacks, and the last before
// the first that is there, or upTo if that is less.
func (ch *Channel) Missing(upTo int64) (from, to int64) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	to = upTo
	for seq := range ch.ahead {
		if seq >= ch.next {
			to = min(to, seq-1)
		}
	}
	return ch.next, to
}

// HealFailed gives a gap up: everyone's connection is closed, to resume from what the stores hold then.
func (ch *Channel) HealFailed() {
	ch.subsMu.Lock()
	ch.mu.Lock()
	ch.healing = false
	ch.mu.Unlock()
	subs := append([]*Subscription(nil), ch.subs...)
	ch.subsMu.Unlock()
	for _, s := range subs {
		s.conn.Resume()
	}
}

// HealDone says that a heal has ended, so that the next gap is asked for again.
func (ch *Channel) HealDone() {
	ch.mu.Lock()
	ch.healing = false
	after, upTo, heal := ch.gapLocked()
	ch.mu.Unlock()
	if heal {
		ch.hub.cfg.Heal(ch, after, upTo)
	}
}
