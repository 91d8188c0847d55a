package hub

import (
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

type state uint8

const (
	live      state = iota // the fan-out delivers to it
	replaying              // the connection reads the events that the subscription is missing
	ended
)

// Subscription is one connection's subscription to one channel.
type Subscription struct {
	channel *Channel
	conn    Connection

	// Guarded by channel.subsMu.
	next     int64 // the seq that it must receive next
	firstSeq int64 // the first seq after the subscription was created; a member_left event with a lower seq does not end it
	index    int   // in channel.subs
	state    state
}

// Channel returns the channel.
func (s *Subscription) Channel() *Channel { return s.channel }

// Subscribe adds a subscription for conn. after is the last seq that the client has seen; a
// negative value means that it wants no past events. Before anything is delivered, Subscribe calls
// answer with the channel's head. If answer returns skip, the subscription starts after the head.
// answer must not block. Subscribe returns nil if the channel was removed from the hub in the
// meantime; the caller must open it again.
func (ch *Channel) Subscribe(conn Connection, after int64, answer func(head int64, epoch event.Epoch) (skip bool)) *Subscription {
	ch.subsMu.Lock()
	defer ch.subsMu.Unlock()
	if ch.gone {
		return nil
	}
	head, epoch := ch.Head()
	s := &Subscription{channel: ch, conn: conn, next: after + 1, firstSeq: head + 1, index: len(ch.subs)}
	if skip := answer(head, epoch); skip || after < 0 || after > head {
		s.next = head + 1
	}
	ch.subs = append(ch.subs, s)
	if s.next <= ch.fanned.Load() {
		s.state = replaying
		conn.Replay(s)
	}
	return s
}

// Leave ends a subscription. Nothing is delivered to it after Leave returns.
func (s *Subscription) Leave() {
	ch := s.channel
	ch.subsMu.Lock()
	left := ch.removeLocked(s)
	idle := left && len(ch.subs) == 0
	ch.subsMu.Unlock()
	if idle {
		ch.hub.cfg.Idle(ch)
	}
}

// removeLocked removes s and reports whether it was subscribed. Called with subsMu held.
func (ch *Channel) removeLocked(s *Subscription) bool {
	if s.state == ended {
		return false
	}
	s.state = ended
	last := len(ch.subs) - 1
	ch.subs[s.index] = ch.subs[last]
	ch.subs[s.index].index = s.index
	ch.subs[last] = nil
	ch.subs = ch.subs[:last]
	return true
}

// Subscribers returns the number of subscriptions.
func (ch *Channel) Subscribers() int {
	ch.subsMu.Lock()
	defer ch.subsMu.Unlock()
	return len(ch.subs)
}

// Users returns the subscribed users. A user appears once per subscription.
func (ch *Channel) Users() []chat.UserID {
	ch.subsMu.Lock()
	defer ch.subsMu.Unlock()
	users := make([]chat.UserID, len(ch.subs))
	for i, s := range ch.subs {
		users[i] = s.conn.User()
	}
	return users
}

// Position returns the seq that a replaying subscription needs next. done is true if the
// subscription is not replaying.
func (s *Subscription) Position() (next int64, done bool) {
	s.channel.subsMu.Lock()
	defer s.channel.subsMu.Unlock()
	return s.next, s.state != replaying
}

// FromRing returns events from the ring, starting at seq: at most maxBytes in total, but at least
// one event. ok is false if the ring does not reach back to seq.
func (ch *Channel) FromRing(seq int64, maxBytes int) (events []Event, ok bool) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if seq < ch.firstLocked() {
		return nil, false
	}
	size := 0
	for i := int(seq - ch.firstLocked()); i < len(ch.ring); i++ {
		size += len(ch.ring[i].Frame) + 1
		if len(events) > 0 && (size > maxBytes || len(events) == batchEvents) {
			break
		}
		events = append(events, ch.ring[i])
	}
	return events, true
}

// Prepend adds events before the first event of the ring. It ignores events that are not contiguous
// with the ring or would exceed the ring's limits.
func (ch *Channel) Prepend(events []Event) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	first := ch.firstLocked()
	n := len(events)
	for n > 0 && events[n-1].Seq >= first {
		n--
	}
	events = events[:n]
	if n == 0 || events[n-1].Seq != first-1 {
		return
	}
	lo := n
	for lo > 0 && n-lo+len(ch.ring) < ringEvents && ch.ringBytes+len(events[lo-1].Frame) <= ringBytes &&
		(lo == n || events[lo-1].Seq == events[lo].Seq-1) {
		lo--
		ch.ringBytes += len(events[lo].Frame)
	}
	ch.unredacted = true
	ch.ring = append(append(make([]Event, 0, 2*(n-lo+len(ch.ring))), events[lo:n]...), ch.ring...)
}

// DeliverReplay delivers events that were read for a replaying subscription. It reports whether the
// subscription is still replaying; it returns false once the subscription has ended or caught up
// with the fan-out. Events that do not follow the subscription's position are ignored.
func (s *Subscription) DeliverReplay(events []Event) (more bool) {
	ch := s.channel
	ch.subsMu.Lock()
	if s.state != replaying {
		ch.subsMu.Unlock()
		return false
	}
	for len(events) > 0 && events[0].Seq < s.next {
		events = events[1:]
	}
	var ends bool
	if len(events) > 0 && events[0].Seq == s.next {
		for i, e := range events {
			if e.Kind == event.MemberLeft && e.Left == s.conn.User() && e.Seq >= s.firstSeq {
				events, ends = events[:i+1], true
				break
			}
		}
		s.conn.Deliver(ch.join(events, nil, chat.UserID{}), len(events))
		ch.hub.count(len(events))
		s.next = events[len(events)-1].Seq + 1
	}
	switch {
	case ends:
		ch.removeLocked(s)
	case s.next > ch.fanned.Load():
		s.state = live
	}
	more = s.state == replaying
	idle := ends && len(ch.subs) == 0
	ch.subsMu.Unlock()
	if ends {
		s.conn.Ended(s)
	}
	if idle {
		ch.hub.cfg.Idle(ch)
	}
	return more
}

// Ended reports whether the subscription has ended.
func (s *Subscription) Ended() bool {
	s.channel.subsMu.Lock()
	defer s.channel.subsMu.Unlock()
	return s.state == ended
}
