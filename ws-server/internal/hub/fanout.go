package hub

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"parley.chat/internal/cores"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// startFanoutLocked reports whether a fan-out must be started, and notes that it was.
func (ch *Channel) startFanoutLocked() bool {
	if ch.fanning || !ch.begun {
		return false
	}
	if ch.fanned.Load() >= ch.next-1 && ch.resync == nil && !ch.offers.due(time.Now()) {
		return false
	}
	ch.fanning = true
	return true
}

// inlineDeliveries is how many deliveries FanOut makes itself. To wake a goroutine costs about as much
// as two of them.
const inlineDeliveries = 64

// FanOut runs the fan-outs that the channels are owed: small ones right here, the others each in a
// goroutine. So it is bounded how long the caller is held up.
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

// fanout delivers batches until there is nothing left. One runs per channel at a time.
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

// round is what leaves for the live subscriptions at once.
type round struct {
	resync []byte // first, and to all
	batch  []Event
	offers []passing // behind the batch
}

// nextRound takes the next run of events that may leave as one frame: at most batchBytes or one event,
// ended by a member_left, since its subject must not see what follows; and the ephemeral frames that go with
// it or are due. Called with subsMu held.
func (ch *Channel) nextRound() (r round, more bool) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.offers.pace = paceFor(len(ch.subs))
	r.resync, ch.resync = ch.resync, nil
	if r.resync != nil {
		ch.fanned.Store(ch.firstLocked() - 1)
	}
	r.batch = ch.nextBatchLocked()
	n := len(r.batch)
	now := time.Now()
	if n > 0 && r.batch[n-1].Kind != event.MemberLeft || n == 0 && ch.offers.due(now) {
		r.offers = ch.offers.take(now)
	}
	ch.fanning = n > 0 || r.resync != nil || len(r.offers) > 0
	if !ch.fanning {
		ch.awaitRoundLocked()
	}
	return r, ch.fanning
}

// nextBatchLocked takes the next run of events.
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
	// The ring's array may be cut under us, but only below what has been fanned out; the batch is
	// copied so that this holds even while it is delivered.
	return append([]Event(nil), ch.ring[i:end]...)
}

// firstLocked returns the first seq of the ring, or the next one if it is empty.
func (ch *Channel) firstLocked() int64 { return ch.next - int64(len(ch.ring)) }

// A fan-out of two parts or more is shared by the cores, which take piece after piece: when one of them has
// something else to do, the others do not wait for its half.
const (
	eachPart  = 1024 // deliveries that are worth a goroutine of their own
	eachPiece = 128  // that are taken at a time, some 1.5 ms
	eachLook  = 32   // that are looked at before they are written to
)

// deliver hands a round to the live subscriptions, and returns to how many of them events went. Called with
// subsMu held.
func (ch *Channel) deliver(r round) (to int) {
	if len(r.batch)+len(r.offers) == 0 {
		return 0
	}
	whole := ch.join(r.batch, r.offers, chat.UserID{})
	var sum tally
	if parts := min(len(ch.subs)/eachPart, runtime.GOMAXPROCS(0)); parts < 2 {
		sum = ch.deliverTo(ch.subs, r, whole)
	} else {
		var (
			others                 sync.WaitGroup
			taken, reached, events atomic.Int64
			spread                 = cores.NewSpread(parts)
		)
		work := func(worker int) {
			defer spread.Ended(worker)
			var mine tally
			for {
				from := int(taken.Add(eachPiece)) - eachPiece
				if from >= len(ch.subs) {
					break
				}
				spread.Apart(worker)
				mine.add(ch.deliverTo(ch.subs[from:min(from+eachPiece, len(ch.subs))], r, whole))
			}
			reached.Add(int64(mine.reached))
			events.Add(int64(mine.events))
		}
		for i := range parts - 1 {
			others.Go(func() { work(i + 1) })
		}
		work(0)
		others.Wait()
		sum = tally{int(reached.Load()), int(events.Load())}
	}
	if n := len(r.batch); n > 0 {
		ch.fanned.Store(r.batch[n-1].Seq)
	}
	ch.hub.count(sum.events)
	return sum.reached
}

// tally is what a delivery has come to.
type tally struct {
	reached int // subscriptions that got events
	events  int // that they got together
}

func (t *tally) add(u tally) { t.reached, t.events = t.reached+u.reached, t.events+u.events }

// handover is a frame and who gets it.
type handover struct {
	to     Connection
	frame  []byte
	events int // in frame; 0: it may be dropped
}

// deliverTo is deliver to some subscriptions. whole is the round as one frame.
//
// Of thousands of subscriptions and connections none is in a cache, and a write to a socket ends whatever the
// processor does ahead. So a few are looked at first, all of them, one miss beside the other, and then written to.
func (ch *Channel) deliverTo(subs []*Subscription, r round, whole []byte) (sum tally) {
	var room [eachLook]handover
	for len(subs) > 0 {
		next := subs[:min(len(subs), eachLook)]
		subs = subs[len(next):]
		look := room[:0]
		for _, s := range next {
			if h := ch.due(s, r, whole); h.frame != nil {
				look = append(look, h)
			}
		}
		if len(look) > 1 {
			for _, h := range look {
				h.to.Prefetch()
			}
		}
		for _, h := range look {
			if h.events == 0 {
				h.to.DeliverEphemeral(h.frame)
				continue
			}
			h.to.Deliver(h.frame, h.events)
			sum.add(tally{1, h.events})
		}
	}
	return sum
}

// due returns what a subscription gets of a round, and puts it behind that. whole is the round as one frame.
func (ch *Channel) due(s *Subscription, r round, whole []byte) handover {
	if s.state != live {
		return handover{}
	}
	lacks := r.batch
	if n := len(lacks); n > 0 && s.next != lacks[0].Seq { // it has some of the batch already, or all
		lacks = lacks[min(int(s.next-lacks[0].Seq), n):]
	}
	frame := whole
	// To look at who it is costs: mostly there are no ephemeral frames.
	if len(lacks) < len(r.batch) || len(r.offers) > 0 && concerns(r.offers, s.conn.User()) {
		frame = ch.join(lacks, r.offers, s.conn.User())
	}
	if n := len(lacks); n > 0 {
		s.next = lacks[n-1].Seq + 1
	}
	return handover{s.conn, frame, len(lacks)}
}

// concerns reports whether an ephemeral frame is not for a user.
func concerns(offers []passing, user chat.UserID) bool {
	for i := range offers {
		if offers[i].skips(user) {
			return true
		}
	}
	return false
}

// join makes a frame of events, and of those ephemeral ones that are not of the user. Nil means that nothing
// is left.
func (ch *Channel) join(batch []Event, offers []passing, user chat.UserID) []byte {
	frames := make([][]byte, 0, len(batch)+len(offers))
	for _, e := range batch {
		frames = append(frames, e.Frame)
	}
	for i := range offers {
		if user.IsZero() || !offers[i].skips(user) {
			frames = append(frames, offers[i].frame)
		}
	}
	if len(frames) == 0 {
		return nil
	}
	return ch.hub.cfg.Join(frames)
}

// endFor ends the live subscriptions of the member who left with e; one that replays ends when it gets
// there. Called with subsMu held.
func (ch *Channel) endFor(e Event) (ended []*Subscription) {
	for i := len(ch.subs) - 1; i >= 0; i-- {
		if s := ch.subs[i]; s.state == live && s.conn.User() == e.Left && s.next > e.Seq && s.from <= e.Seq {
			ch.removeLocked(s)
			ended = append(ended, s)
		}
	}
	return ended
}

// resyncAll tells every subscription of the new epoch and puts it at its beginning.
func (ch *Channel) resyncAll(frame []byte) {
	for _, s := range ch.subs {
		s.conn.Deliver(frame, 1)
		s.next, s.state = ch.fanned.Load()+1, live
	}
	ch.hub.count(len(ch.subs))
}
