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
	// idempotent is how long the server surely knows a send as a repetition: its ten minutes, less what
	// clocks and the way may differ.
	idempotent = 9 * time.Minute
	// inFlight is how many sends are on their way at once. The server takes 64 of a connection.
	inFlight = 32
)

// Ack says that an event is durable, and where it is.
type Ack struct {
	ClientID  chat.ClientID
	ChannelID chat.ChannelID
	ID        chat.EventID
	Seq       int64
	SentAt    chat.Time
}

// outbound is the frame of something that appends an event. Its ref is its client id.
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

// target is what refusals for a while count for: a channel, or a user to be written to.
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

// item is a send that has not settled.
type item struct {
	outbound
	first     time.Time // when it was sent first; zero: not yet
	resolving *link     // the connection on which the channel of a direct message is looked for
	on        *link     // the connection that it was sent on last; nil after a refusal for a while
	settled   chan struct{}
	ack       Ack
	err       error
}

// outbox keeps what was sent and has not settled, in order. Client.mu guards it.
type outbox struct {
	items  []*item
	byID   map[chat.ClientID]*item
	flying int                  // items whose on is the connection of now
	paused map[target]time.Time // refused for a while; the zero target is all of them
	recent []time.Time          // when the last sends were made, for the rate limit
	closed bool
}

func (b *outbox) all() []*item { return append([]*item(nil), b.items...) }

func (b *outbox) add(it *item) {
	if b.byID == nil {
		b.byID, b.paused = make(map[chat.ClientID]*item), make(map[target]time.Time)
	}
	b.items = append(b.items, it)
	b.byID[it.ClientID] = it
}

// settle ends an item; those who wait for it go on.
func (b *outbox) settle(it *item, ack Ack, err error) {
	delete(b.byID, it.ClientID)
	for i := range b.items {
		if b.items[i] == it {
			b.items = append(b.items[:i], b.items[i+1:]...)
			break
		}
	}
	b.land(it)
	it.ack, it.err = ack, err
	close(it.settled)
}

// land notes that an item is not on its way any more.
func (b *outbox) land(it *item) {
	if it.on != nil {
		it.on = nil
		b.flying--
	}
}

// grounded notes that a connection has ended.
func (b *outbox) grounded() {
	for _, it := range b.items {
		it.on = nil
	}
	b.flying = 0
}

// pause holds back what goes to a target. Everything of one user is limited together.
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

// next returns the item to send now, or how long to wait for one (0: until something changes). ready says
// whether an item that is out of its idempotency window may be sent; what goes to one target keeps its
// order.
func (b *outbox) next(now time.Time, limits frame.Limits, ready func(*item) bool) (*item, time.Duration) {
	if b.flying >= inFlight {
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
		if d := b.breath(now, limits); d > 0 {
			return nil, d
		}
		return it, 0
	}
	return nil, wait
}

// breath is how long to wait so that the rate limit is kept: who breaks it is blocked for much longer.
func (b *outbox) breath(now time.Time, limits frame.Limits) time.Duration {
	n, within := limits.RateMessages, time.Duration(limits.RateSeconds)*time.Second
	if n <= 0 || len(b.recent) < n {
		return 0
	}
	const margin = 100 * time.Millisecond // what the way to the server may differ
	return b.recent[len(b.recent)-n].Add(within + margin).Sub(now)
}

// took notes that an item was sent on a connection.
func (b *outbox) took(it *item, on *link, now time.Time, limits frame.Limits) {
	if it.first.IsZero() {
		it.first = now
	}
	it.on = on
	b.flying++
	if n := limits.RateMessages; n > 0 {
		b.recent = append(b.recent, now)
		if len(b.recent) > 2*n {
			b.recent = append(b.recent[:0], b.recent[len(b.recent)-n:]...)
		}
	}
}

// refused notes that an item is to be sent again after a while.
func (b *outbox) refused(it *item, all bool, until time.Time) {
	b.land(it)
	t := it.target()
	if all {
		t = target{}
	}
	b.pause(t, until)
}

func (it *item) encode() []byte {
	b, err := json.Marshal(it.outbound)
	if err != nil {
		panic(fmt.Sprintf("client: %v", err)) // ids, text and flags can all be expressed
	}
	return b
}
