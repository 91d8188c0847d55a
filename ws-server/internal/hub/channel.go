package hub

import (
	"sync"
	"sync/atomic"
	"time"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// Event holds an event's position and its frame. The hub does not decode the frame.
type Event struct {
	Seq   int64
	Epoch event.Epoch
	Kind  event.Kind
	Left  chat.UserID // the user who left, if Kind is event.MemberLeft
	Frame []byte
}

// Channel is a channel in which this gateway is live.
type Channel struct {
	hub *Hub
	id  chat.ChannelID

	ready chan struct{} // closed by Begin

	// fanned is the last seq that the fan-out has sent to the live subscriptions. It is written
	// with subsMu held. A reader that holds only mu may see a slightly outdated value.
	fanned atomic.Int64

	// subsMu guards subs and each subscription's position and state. It is held during a fan-out.
	// It is locked before mu, never after it.
	subsMu sync.Mutex
	subs   []*Subscription
	gone   bool // removed from the hub

	// mu guards the fields below. It is held only for short operations on the ring and the queues.
	mu         sync.Mutex
	begun      bool
	epoch      event.Epoch
	next       int64 // the seq that must come next
	ring       []Event
	ringBytes  int
	unredacted bool            // the ring may hold deletions that Redact has not processed
	ahead      map[int64]Event // events that arrived before their predecessors, by seq
	healing    bool
	fanning    bool
	resync     []byte // the frame that announces a new epoch, sent before the events that follow it; nil if there is none
	lastEvent  time.Time
	ephemeral  ephemeralQueue
}

// ID returns the channel's id.
func (ch *Channel) ID() chat.ChannelID { return ch.id }

// Ready returns a Go channel that is closed when ch accepts subscriptions.
func (ch *Channel) Ready() <-chan struct{} { return ch.ready }

// Begin sets the channel's current seq and epoch; events up to seq are history. Events that were
// published before Begin are kept if they follow seq. Only the first call has an effect.
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

// QuietSince returns when the newest event arrived.
func (ch *Channel) QuietSince() time.Time {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.lastEvent
}

// Publish adds events and fans out each seq once, in order. Events may be published in any order
// and more than once.
func (ch *Channel) Publish(events []Event) {
	if ch.Add(events) {
		ch.hub.fanouts.Go(ch.fanout)
	}
}

// Add is like Publish, but does not run the fan-out. It reports whether the caller must run the
// channel's fan-out; see Hub.FanOut.
func (ch *Channel) Add(events []Event) (owed bool) {
	ch.mu.Lock()
	for _, e := range events {
		ch.addLocked(e)
	}
	ch.drainAhead()
	after, upTo, heal := ch.gapLocked()
	owed = ch.startFanoutLocked()
	ch.mu.Unlock()
	if heal {
		ch.hub.cfg.Heal(ch, after, upTo)
	}
	return owed
}

// addLocked adds an event to the ring, or to ahead if the channel has not begun or an earlier event
// is missing. It discards an event that was already received or belongs to an older epoch. Called
// with mu held.
func (ch *Channel) addLocked(e Event) {
	switch {
	case !ch.begun:
		ch.stash(e)
	case e.Epoch != ch.epoch && ch.epoch.NewerThan(e.Epoch):
		// Discard the event: it belongs to an epoch that Redis has lost.
	case e.Epoch != ch.epoch:
		ch.startEpoch(e.Epoch, e.Seq)
		ch.push(e)
	case e.Seq == ch.next:
		ch.push(e)
	case e.Seq > ch.next:
		ch.stash(e)
	}
}

// startEpoch begins a new epoch at seq and discards all events of the old epoch.
func (ch *Channel) startEpoch(epoch event.Epoch, seq int64) {
	ch.epoch, ch.next = epoch, seq
	ch.ring, ch.ringBytes, ch.ahead, ch.healing = nil, 0, nil, false
	ch.resync = ch.hub.cfg.Resync(ch.id, epoch, seq-1)
}

func (ch *Channel) push(e Event) {
	ch.ring = append(ch.ring, e)
	ch.ringBytes += len(e.Frame)
	ch.unredacted = ch.unredacted || e.Kind == event.Delete
	ch.next = e.Seq + 1
	delete(ch.ahead, e.Seq) // e may have arrived early and then been returned again by the read that filled the gap
	ch.lastEvent = time.Now()
	ch.cutRing()
}

// cutRing keeps the ring within its limits. It never removes events that are not yet fanned out.
func (ch *Channel) cutRing() {
	drop := 0
	for drop < len(ch.ring)-1 && ch.ring[drop].Seq <= ch.fanned.Load() &&
		(len(ch.ring)-drop > ringEvents || ch.ringBytes > ringBytes) {
		ch.ringBytes -= len(ch.ring[drop].Frame)
		ch.ring[drop].Frame = nil
		drop++
	}
	ch.ring = ch.ring[drop:] // the removed events' memory is freed when a later append allocates a new array
}

func (ch *Channel) stash(e Event) {
	if ch.ahead == nil {
		ch.ahead = make(map[int64]Event)
	}
	if old, ok := ch.ahead[e.Seq]; !ok || e.Epoch.NewerThan(old.Epoch) {
		ch.ahead[e.Seq] = e
	}
}

// drainAhead moves events from ahead to the ring as long as they directly follow its last event.
// Called with mu held.
func (ch *Channel) drainAhead() {
	for ch.begun && len(ch.ahead) > 0 {
		e, ok := ch.ahead[ch.next]
		if !ok {
			return
		}
		delete(ch.ahead, ch.next)
		ch.addLocked(e)
	}
	if ch.begun && len(ch.ahead) == 0 {
		ch.healing = false
	}
}

// gapLocked searches for a gap that is not being healed yet. If it finds one, it marks the gap as
// being healed and returns its range.
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

// Expect handles a seq that was read from the channel's counter. If the event with that seq has not
// arrived, Expect starts to heal the gap. If the counter has a newer epoch, the channel starts that
// epoch at the next seq. Expect ignores an older epoch. It reports whether it has found a gap or a
// newer epoch.
func (ch *Channel) Expect(seq int64, epoch event.Epoch) bool {
	ch.mu.Lock()
	if !ch.begun || ch.epoch.NewerThan(epoch) {
		ch.mu.Unlock()
		return false
	}
	if epoch != ch.epoch {
		ch.startEpoch(epoch, seq+1)
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

// Missing returns the range of seqs that must be fetched to heal a gap. The range starts at the
// first missing seq and ends before the next seq that is present, or at upTo if that is lower.
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

// HealFailed gives up on a gap and closes every subscribed connection, so that clients resume from
// the stores.
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

// HealDone records that a gap has been healed. If there is another gap, HealDone starts to heal it.
func (ch *Channel) HealDone() {
	ch.mu.Lock()
	ch.healing = false
	after, upTo, heal := ch.gapLocked()
	ch.mu.Unlock()
	if heal {
		ch.hub.cfg.Heal(ch, after, upTo)
	}
}
