package client

import (
	"encoding/json"
	"fmt"
	"time"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

const (
	// idempotent is the time after the first attempt within which the server is certain to
	// recognize a retry. It is the server's limit of ten minutes minus a margin for clock
	// differences and latency.
	idempotent = 9 * time.Minute
	// maxInFlight is the maximum number of sends in flight. The server accepts 64 per connection.
	maxInFlight = 32
)

// Ack is the acknowledgement of a send. It reports that the event is durable and contains its seq.
type Ack struct {
	ClientID  chat.ClientID
	ChannelID chat.ChannelID
	ID        chat.EventID
	Seq       int64
	SentAt    chat.Time
}

// outbound is the frame of a command that appends an event. Its Ref equals its ClientID.
type outbound struct {
	Type      frame.Type      `json:"type"`
	Ref       string          `json:"ref"`
	ChannelID *chat.ChannelID `json:"channel_id,omitempty"`
	ToUserID  *chat.UserID    `json:"to_user_id,omitempty"`
	ClientID  chat.ClientID   `json:"client_id"`
	MessageID *chat.EventID   `json:"message_id,omitempty"`
	ReplyTo   *chat.EventID   `json:"reply_to,omitempty"`
	Body      *string         `json:"body,omitempty"`
	Emoji     string          `json:"emoji,omitempty"`
	Remove    bool            `json:"remove,omitempty"`
}

func (o *outbound) kind() event.Kind {
	switch o.Type {
	case frame.Edit:
		return event.Edit
	case frame.Delete:
		return event.Delete
	case frame.React:
		return event.Reaction
	}
	return event.Message
}

// target is the channel, or the recipient of direct messages, to which a temporary refusal applies.
type target struct {
	channel chat.ChannelID
	user    chat.UserID
}

func (o *outbound) target() target {
	if o.ToUserID != nil {
		return target{user: *o.ToUserID}
	}
	return target{channel: *o.ChannelID}
}

// item is a send in the outbox. It is settled when it is acknowledged or has failed permanently.
type item struct {
	outbound
	first     time.Time // time of the first attempt; zero if not sent yet
	resolving *conn     // connection on which the client is requesting the direct message's channel
	on        *conn     // connection of the last attempt; nil after a temporary refusal
	settled   chan struct{}
	ack       Ack
	err       error
}

// outbox holds, in order, the sends that are neither acknowledged nor permanently failed. Client.mu
// guards it.
type outbox struct {
	items    []*item
	byID     map[chat.ClientID]*item
	inFlight int                  // number of items sent on the current connection and not yet answered
	paused   map[target]time.Time // end of a target's temporary refusal; the zero target means all
	recent   []time.Time          // times of the most recent sends, for the rate limit
	closed   bool
}

func (b *outbox) all() []*item { return append([]*item(nil), b.items...) }

func (b *outbox) add(it *item) {
	if b.byID == nil {
		b.byID, b.paused = make(map[chat.ClientID]*item), make(map[target]time.Time)
	}
	b.items = append(b.items, it)
	b.byID[it.ClientID] = it
}

// settle removes a send from the outbox and wakes the callers waiting for its result.
func (b *outbox) settle(it *item, ack Ack, err error) {
	delete(b.byID, it.ClientID)
	for i := range b.items {
		if b.items[i] == it {
			b.items = append(b.items[:i], b.items[i+1:]...)
			break
		}
	}
	b.landed(it)
	it.ack, it.err = ack, err
	close(it.settled)
}

// landed records that an item is no longer in flight.
func (b *outbox) landed(it *item) {
	if it.on != nil {
		it.on = nil
		b.inFlight--
	}
}

// disconnected records that no item is in flight anymore.
func (b *outbox) disconnected() {
	for _, it := range b.items {
		it.on = nil
	}
	b.inFlight = 0
}

// pause delays the sends to a channel or recipient until the given time. The zero target means all
// sends, because the rate limit applies to a user's sends as a whole.
func (b *outbox) pause(t target, until time.Time) {
	if until.After(b.paused[t]) {
		b.paused[t] = until
	}
}

func (b *outbox) pausedUntil(t target, now time.Time) time.Time {
	until := b.paused[target{}]
	if own := b.paused[t]; own.After(until) {
		until = own
	}
	if !until.After(now) {
		delete(b.paused, t)
		return time.Time{}
	}
	return until
}

// next returns the outbox item to send now. If there is none, it returns the duration after which
// to try again, or 0 to wait for a change. ready reports whether an item may be sent; it rejects
// items for which the server may no longer recognize a retry. Items for the same target stay in
// order.
func (b *outbox) next(now time.Time, limits frame.Limits, ready func(*item) bool) (*item, time.Duration) {
	if b.inFlight >= maxInFlight {
		return nil, 0
	}
	wait := time.Duration(0)
	held := make(map[target]bool)
	for _, it := range b.items {
		if it.on != nil {
			continue
		}
		t := it.target()
		if held[t] {
			continue
		}
		if until := b.pausedUntil(t, now); !until.IsZero() {
			held[t] = true
			if d := until.Sub(now); wait == 0 || d < wait {
				wait = d
			}
			continue
		}
		if !ready(it) {
			held[t] = true
			continue
		}
		if d := b.rateDelay(now, limits); d > 0 {
			return nil, d
		}
		return it, 0
	}
	return nil, wait
}

// rateDelay returns how long to wait before the next send to stay within the rate limit. Exceeding
// the limit would block the user for much longer.
func (b *outbox) rateDelay(now time.Time, limits frame.Limits) time.Duration {
	n, within := limits.RateMessages, time.Duration(limits.RateSeconds)*time.Second
	if n <= 0 || len(b.recent) < n {
		return 0
	}
	const margin = 100 * time.Millisecond // variation of the latency to the server
	return b.recent[len(b.recent)-n].Add(within + margin).Sub(now)
}

// sent records that an item was sent on a connection.
func (b *outbox) sent(it *item, on *conn, now time.Time, limits frame.Limits) {
	if it.first.IsZero() {
		it.first = now
	}
	it.on = on
	b.inFlight++
	if n := limits.RateMessages; n > 0 {
		b.recent = append(b.recent, now)
		if len(b.recent) > 2*n {
			b.recent = append(b.recent[:0], b.recent[len(b.recent)-n:]...)
		}
	}
}

// refused records that the server has refused an item temporarily. The item, and others for the
// same target, are not sent until the given time. If all is set, this applies to every target.
func (b *outbox) refused(it *item, all bool, until time.Time) {
	b.landed(it)
	t := it.target()
	if all {
		t = target{}
	}
	b.pause(t, until)
}

func (it *item) encode() []byte {
	b, err := json.Marshal(it.outbound)
	if err != nil {
		panic(fmt.Sprintf("client: %v", err)) // ids, text and flags can always be encoded
	}
	return b
}
