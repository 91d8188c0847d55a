package hub

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"parley.chat/internal/platform/affinity"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// startFanoutLocked reports whether the caller must start a fan-out, and records that it was
// started.
func (ch *Channel) startFanoutLocked() bool {
	if ch.fanning || !ch.begun {
		return false
	}
	if ch.fanned.Load() >= ch.next-1 && ch.resync == nil && !ch.ephemeral.due(time.Now()) {
		return false
	}
	ch.fanning = true
	return true
}

// inlineDeliveries limits the number of deliveries that FanOut makes in the caller's goroutine.
// Waking another goroutine costs about as much as two deliveries.
const inlineDeliveries = 64

// FanOut runs the channels' pending fan-outs. It runs small fan-outs in the caller's goroutine and
// each larger fan-out in its own goroutine. This limits how long FanOut delays the caller.
func (h *Hub) FanOut(channels []*Channel) {
	left := inlineDeliveries
	for _, ch := range channels {
		if n := ch.Subscribers(); n <= left {
			left -= n
			ch.fanout()
		} else {
			h.fanouts.Go(ch.fanout)
		}
	}
}

// fanout delivers batches until the channel's queues are empty. At most one fan-out runs per
// channel.
func (ch *Channel) fanout() {
	for {
		ch.subsMu.Lock()
		r, more := ch.nextRound()
		if !more {
			ch.subsMu.Unlock()
			return
		}
		if r.resync != nil {
			ch.resyncAll(r.resync)
		}
		var began time.Time
		if len(r.batch) > 0 && ch.hub.cfg.Delivered != nil {
			began = time.Now()
		}
		to := ch.deliver(r)
		var ended []*Subscription
		if n := len(r.batch); n > 0 && r.batch[n-1].Kind == event.MemberLeft {
			ended = ch.endFor(r.batch[n-1])
		}
		idle := len(ended) > 0 && len(ch.subs) == 0
		ch.subsMu.Unlock()
		if to > 0 && ch.hub.cfg.Delivered != nil {
			ch.hub.cfg.Delivered(ch, r.batch, to, began)
		}
		for _, s := range ended {
			s.conn.Ended(s)
		}
		if idle {
			ch.hub.cfg.Idle(ch)
		}
	}
}

// round holds the data that one pass of the fan-out sends to the live subscriptions.
type round struct {
	resync    []byte // sent first, to all subscriptions; nil if there is none
	batch     []Event
	ephemeral []ephemeralFrame // sent after the batch
}

// nextRound removes the next round from the channel's queues: the next events that fit into one
// frame, and the ephemeral frames that are sent with them or are due on their own. A member_left
// event ends the batch, because the user who left must not see the events that follow. Called with
// subsMu held.
func (ch *Channel) nextRound() (r round, more bool) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.ephemeral.pace = paceFor(len(ch.subs))
	r.resync, ch.resync = ch.resync, nil
	if r.resync != nil {
		ch.fanned.Store(ch.firstLocked() - 1)
	}
	r.batch = ch.nextBatchLocked()
	n := len(r.batch)
	now := time.Now()
	if n > 0 && r.batch[n-1].Kind != event.MemberLeft || n == 0 && ch.ephemeral.due(now) {
		r.ephemeral = ch.ephemeral.pop(now)
	}
	ch.fanning = n > 0 || r.resync != nil || len(r.ephemeral) > 0
	if !ch.fanning {
		ch.scheduleRoundLocked()
	}
	return r, ch.fanning
}

// nextBatchLocked returns the next events to send: at most batchEvents and batchBytes, but at least
// one event.
func (ch *Channel) nextBatchLocked() []Event {
	if ch.fanned.Load() >= ch.next-1 {
		return nil
	}
	i := len(ch.ring) - int(ch.next-1-ch.fanned.Load())
	size, end := 0, i
	for ; end < len(ch.ring); end++ {
		e := ch.ring[end]
		if end > i && (size+len(e.Frame) > batchBytes || end-i == batchEvents || ch.ring[end-1].Kind == event.MemberLeft) {
			break
		}
		size += len(e.Frame) + 1
	}
	// cutRing may remove events from the ring while the batch is delivered, but only events that
	// were already fanned out. The copy keeps the batch valid in any case.
	return append([]Event(nil), ch.ring[i:end]...)
}

// firstLocked returns the first seq in the ring, or the next seq if the ring is empty.
func (ch *Channel) firstLocked() int64 { return ch.next - int64(len(ch.ring)) }

// Several cores share a large fan-out by claiming small pieces of it, one at a time (work sharing).
// If one core is delayed by other work, the other cores wait for at most one small piece.
const (
	partSize      = 1024 // minimum number of deliveries per goroutine
	pieceSize     = 128  // number of deliveries that a goroutine claims at a time, about 1.5 ms of work
	prefetchGroup = 32   // number of connections that are prefetched before the first of them is written to
)

// deliver sends a round to the live subscriptions and returns the number of subscriptions that
// received events. Called with subsMu held.
func (ch *Channel) deliver(r round) (to int) {
	if len(r.batch)+len(r.ephemeral) == 0 {
		return 0
	}
	whole := ch.join(r.batch, r.ephemeral, chat.UserID{})
	var sum deliveryCount
	if parts := min(len(ch.subs)/partSize, runtime.GOMAXPROCS(0)); parts < 2 {
		sum = ch.deliverTo(ch.subs, r, whole)
	} else {
		var (
			others                 sync.WaitGroup
			taken, reached, events atomic.Int64
			spread                 = affinity.NewSpread(parts)
		)
		work := func(worker int) {
			defer spread.Ended(worker)
			var mine deliveryCount
			for {
				from := int(taken.Add(pieceSize)) - pieceSize
				if from >= len(ch.subs) {
					break
				}
				spread.Apart(worker)
				mine.add(ch.deliverTo(ch.subs[from:min(from+pieceSize, len(ch.subs))], r, whole))
			}
			reached.Add(int64(mine.reached))
			events.Add(int64(mine.events))
		}
		for i := range parts - 1 {
			others.Go(func() { work(i + 1) })
		}
		work(0)
		others.Wait()
		sum = deliveryCount{int(reached.Load()), int(events.Load())}
	}
	if n := len(r.batch); n > 0 {
		ch.fanned.Store(r.batch[n-1].Seq)
	}
	ch.hub.count(sum.events)
	return sum.reached
}

// deliveryCount counts the result of a delivery.
type deliveryCount struct {
	reached int // subscriptions that received events
	events  int // events sent, summed over all subscriptions
}

func (t *deliveryCount) add(u deliveryCount) {
	t.reached, t.events = t.reached+u.reached, t.events+u.events
}

// delivery is a frame and its recipient.
type delivery struct {
	to     Connection
	frame  []byte
	events int // number of events in frame; 0 means that the frame may be dropped
}

// deliverTo is like deliver but sends only to the given subscriptions. whole is one frame that
// contains everything in the round.
//
// Subscriptions and connections are rarely in the CPU cache, and a socket write stalls prefetching.
// So deliverTo first touches a small group of them, which lets the cache misses overlap, and then
// writes to each.
func (ch *Channel) deliverTo(subs []*Subscription, r round, whole []byte) (sum deliveryCount) {
	var room [prefetchGroup]delivery
	for len(subs) > 0 {
		next := subs[:min(len(subs), prefetchGroup)]
		subs = subs[len(next):]
		group := room[:0]
		for _, s := range next {
			if h := ch.prepare(s, r, whole); h.frame != nil {
				group = append(group, h)
			}
		}
		if len(group) > 1 {
			for _, h := range group {
				h.to.Prefetch()
			}
		}
		for _, h := range group {
			if h.events == 0 {
				h.to.DeliverEphemeral(h.frame)
				continue
			}
			h.to.Deliver(h.frame, h.events)
			sum.add(deliveryCount{1, h.events})
		}
	}
	return sum
}

// prepare returns the data that a subscription receives in one pass of the fan-out, and advances
// the subscription's position. whole is one frame that contains everything in the round.
func (ch *Channel) prepare(s *Subscription, r round, whole []byte) delivery {
	if s.state != live {
		return delivery{}
	}
	missing := r.batch
	if n := len(missing); n > 0 && s.next != missing[0].Seq { // s already has some or all of the batch
		missing = missing[min(int(s.next-missing[0].Seq), n):]
	}
	frame := whole
	// Reading the user touches another cache line, so avoid it if there are no ephemeral frames, as
	// in most rounds.
	if len(missing) < len(r.batch) || len(r.ephemeral) > 0 && anyExcludes(r.ephemeral, s.conn.User()) {
		frame = ch.join(missing, r.ephemeral, s.conn.User())
	}
	if n := len(missing); n > 0 {
		s.next = missing[n-1].Seq + 1
	}
	return delivery{s.conn, frame, len(missing)}
}

// anyExcludes reports whether any of the ephemeral frames must not be sent to the user.
func anyExcludes(ephemeral []ephemeralFrame, user chat.UserID) bool {
	for i := range ephemeral {
		if ephemeral[i].excludes(user) {
			return true
		}
	}
	return false
}

// join combines events and the ephemeral frames that the user may receive into one frame. If user
// is zero, join includes all ephemeral frames. It returns nil if there is nothing to send.
func (ch *Channel) join(batch []Event, ephemeral []ephemeralFrame, user chat.UserID) []byte {
	frames := make([][]byte, 0, len(batch)+len(ephemeral))
	for _, e := range batch {
		frames = append(frames, e.Frame)
	}
	for i := range ephemeral {
		if user.IsZero() || !ephemeral[i].excludes(user) {
			frames = append(frames, ephemeral[i].frame)
		}
	}
	if len(frames) == 0 {
		return nil
	}
	return ch.hub.cfg.Join(frames)
}

// endFor ends the live subscriptions of the user whom the member_left event e removes. A replaying
// subscription ends when its replay reaches e. Called with subsMu held.
func (ch *Channel) endFor(e Event) (ended []*Subscription) {
	for i := len(ch.subs) - 1; i >= 0; i-- {
		if s := ch.subs[i]; s.state == live && s.conn.User() == e.Left && s.next > e.Seq && s.firstSeq <= e.Seq {
			ch.removeLocked(s)
			ended = append(ended, s)
		}
	}
	return ended
}

// resyncAll sends the announcement of the new epoch to every subscription and moves each
// subscription's position to the epoch's first seq.
func (ch *Channel) resyncAll(frame []byte) {
	for _, s := range ch.subs {
		s.conn.Deliver(frame, 1)
		s.next, s.state = ch.fanned.Load()+1, live
	}
	ch.hub.count(len(ch.subs))
}
