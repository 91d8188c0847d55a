package hub

import (
	"time"

	"parley.chat/shared-contracts/event"
)

// startFanoutLocked reports whether a fan-out must be started, and notes that it was.
func (ch *Channel) startFanoutLocked() bool {
	if ch.fanning || !ch.begun || ch.fanned.Load() >= ch.next-1 && ch.resync == nil && len(ch.passing) == 0 {
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
		batch, resync, passing, more := ch.nextBatch()
		if !more {
			ch.subsMu.Unlock()
			return
		}
		if resync != nil {
			ch.resyncAll(resync)
		}
		var (
			ended []*Subscription
			to    int
			began time.Time
		)
		if len(batch) > 0 {
			if ch.hub.cfg.Delivered != nil {
				began = time.Now()
			}
			to, ended = ch.deliver(batch)
		}
		for _, p := range passing {
			ch.offer(p)
		}
		idle := len(ended) > 0 && len(ch.subs) == 0
		ch.subsMu.Unlock()
		if to > 0 && ch.hub.cfg.Delivered != nil {
			ch.hub.cfg.Delivered(ch, batch, to, began)
		}
		for _, s := range ended {
			s.conn.Ended(s)
		}
		if idle {
			ch.hub.cfg.Idle(ch)
		}
	}
}

// nextBatch takes the next run of events that may leave as one frame: at most batchBytes or one event,
// ended by a member_left, since its subject must not see what follows. Called with subsMu held.
func (ch *Channel) nextBatch() (batch []Event, resync []byte, offers []passing, more bool) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	resync, ch.resync = ch.resync, nil
	offers, ch.passing = ch.passing, nil
	if resync != nil {
		ch.fanned.Store(ch.firstLocked() - 1)
	}
	if ch.fanned.Load() >= ch.next-1 {
		ch.fanning = resync != nil || len(offers) > 0
		return nil, resync, offers, ch.fanning
	}
	i := len(ch.ring) - int(ch.next-1-ch.fanned.Load())
	size := 0
	for j := i; j < len(ch.ring); j++ {
		e := ch.ring[j]
		if j > i && (size+len(e.Frame) > batchBytes || j-i == batchEvents) {
			break
		}
		size += len(e.Frame) + 1
		batch = ch.ring[i : j+1 : j+1]
		if e.Kind == event.MemberLeft {
			break
		}
	}
	// The ring's array may be cut under us, but only below what has been fanned out; the batch is
	// copied so that this holds even while it is delivered.
	batch = append([]Event(nil), batch...)
	return batch, resync, offers, true
}

// offer hands an ephemeral frame to the live subscriptions. Called with subsMu held.
func (ch *Channel) offer(p passing) {
	frame := ch.hub.cfg.Join([][]byte{p.frame})
	for _, s := range ch.subs {
		if s.state == live && s.conn.User() != p.but {
			s.conn.Offer(frame)
		}
	}
}

// firstLocked returns the first seq of the ring, or the next one if it is empty.
func (ch *Channel) firstLocked() int64 { return ch.next - int64(len(ch.ring)) }

// deliver hands batch to the live subscriptions, and returns to how many. Called with subsMu held.
func (ch *Channel) deliver(batch []Event) (to int, ended []*Subscription) {
	first, last := batch[0].Seq, batch[len(batch)-1].Seq
	var whole []byte
	for _, s := range ch.subs {
		if s.state != live || s.next > last {
			continue
		}
		switch {
		case s.next == first:
			if whole == nil {
				whole = ch.join(batch)
			}
			s.conn.Deliver(whole, len(batch))
		default: // it has some of the batch already
			part := batch[s.next-first:]
			s.conn.Deliver(ch.join(part), len(part))
		}
		s.next = last + 1
		to++
	}
	ch.fanned.Store(last)
	if e := batch[len(batch)-1]; e.Kind == event.MemberLeft {
		ended = ch.endFor(e)
	}
	return to, ended
}

func (ch *Channel) join(batch []Event) []byte {
	frames := make([][]byte, len(batch))
	for i, e := range batch {
		frames[i] = e.Frame
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
}
