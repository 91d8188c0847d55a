package client

import (
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// begun is the time at which the outbox tests begin.
var begun = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// always reports that every item may be sent.
func always(*item) bool { return true }

// queued returns a new outbox that holds a message for each channel, in order.
func queued(channels ...chat.ChannelID) (*outbox, []*item) {
	b := &outbox{}
	items := make([]*item, len(channels))
	for i, c := range channels {
		items[i] = newItem(outbound{Type: frame.Send, ChannelID: &c, Body: new(strconv.Itoa(i))})
		b.add(items[i])
	}
	return b, items
}

// sendAll sends items until next returns none. It returns the sent items, and how long the others
// must wait.
func sendAll(b *outbox, on *conn, now time.Time, limits frame.Limits) (sent []*item, wait time.Duration) {
	for {
		it, later := b.next(now, limits, always)
		if it == nil {
			return sent, later
		}
		b.sent(it, on, now, limits)
		sent = append(sent, it)
	}
}

// TestOutbox_order checks that items are sent in the order in which they were added, and in the
// same order again after a lost connection.
func TestOutbox_order(t *testing.T) {
	t.Parallel()
	tea, milk := chat.NewChannelID(), chat.NewChannelID()
	b, items := queued(tea, milk, tea, milk)
	sent, wait := sendAll(b, &conn{}, begun, frame.Limits{})
	if !slices.Equal(sent, items) || wait != 0 {
		t.Errorf("sent %d items, not the %d that were added in that order; wait %v", len(sent), len(items), wait)
	}
	b.settle(items[1], Ack{}, nil)
	b.disconnected()
	later := begun.Add(time.Minute)
	if sent, _ := sendAll(b, &conn{}, later, frame.Limits{}); !slices.Equal(sent, []*item{items[0], items[2], items[3]}) {
		t.Errorf("after the connection was lost, %d items are sent, want the three unsettled ones in order", len(sent))
	}
	if items[0].first != begun {
		t.Errorf("the first attempt was at %v, want %v: a retry must not prolong the idempotency window", items[0].first, begun)
	}
}

// TestOutbox_inFlight checks the limit of unanswered sends, and that every answer makes room for
// one more.
func TestOutbox_inFlight(t *testing.T) {
	t.Parallel()
	channels := make([]chat.ChannelID, 2*maxInFlight)
	for i := range channels {
		channels[i] = chat.NewChannelID()
	}
	b, items := queued(channels...)
	l := &conn{}
	if sent, wait := sendAll(b, l, begun, frame.Limits{}); len(sent) != maxInFlight || wait != 0 {
		t.Fatalf("%d sends are in flight, want %d; wait %v", len(sent), maxInFlight, wait)
	}
	b.settle(items[0], Ack{}, nil)
	b.refused(items[1], false, begun.Add(time.Second))
	if sent, _ := sendAll(b, l, begun, frame.Limits{}); len(sent) != 2 {
		t.Errorf("%d more are sent after an acknowledgement and a refusal, want 2", len(sent))
	}
	b.settle(items[maxInFlight+10], Ack{}, nil) // settled by its event on another connection, never sent on this one
	if sent, _ := sendAll(b, l, begun, frame.Limits{}); len(sent) != 0 {
		t.Errorf("%d are sent after an item that was not in flight was settled", len(sent))
	}
	b.disconnected()
	if sent, _ := sendAll(b, l, begun, frame.Limits{}); len(sent) != maxInFlight {
		t.Errorf("%d are sent on the next connection, want %d", len(sent), maxInFlight)
	}
}

// TestOutbox_pause checks which items a temporary refusal delays: those for one channel or user,
// which stay in order, or all of them.
func TestOutbox_pause(t *testing.T) {
	t.Parallel()
	tea, milk, ann := chat.NewChannelID(), chat.NewChannelID(), chat.NewUserID()
	fill := func() (*outbox, []*item) {
		b, items := queued(tea, milk, tea)
		direct := newItem(outbound{Type: frame.Send, ToUserID: &ann, Body: new("to ann")})
		b.add(direct)
		return b, append(items, direct)
	}
	for _, tt := range []struct {
		name    string
		refused int // the item that is refused
		all     bool
		leave   []int // items that are sent during the pause
	}{
		{"a channel", 0, false, []int{1, 3}},
		{"another channel", 1, false, []int{0, 2, 3}},
		{"a user", 3, false, []int{0, 1, 2}},
		{"everything", 0, true, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b, items := fill()
			l := &conn{}
			b.sent(items[tt.refused], l, begun, frame.Limits{})
			b.refused(items[tt.refused], tt.all, begun.Add(3*time.Second))
			b.refused(items[tt.refused], tt.all, begun.Add(time.Second)) // a shorter wait does not end a longer one
			var want []*item
			for _, i := range tt.leave {
				want = append(want, items[i])
			}
			sent, wait := sendAll(b, l, begun.Add(time.Second), frame.Limits{})
			if !slices.Equal(sent, want) || wait != 2*time.Second {
				t.Errorf("%d items are sent, want items %v; the others wait %v, want 2s", len(sent), tt.leave, wait)
			}
			if rest, wait := sendAll(b, l, begun.Add(3*time.Second), frame.Limits{}); len(sent)+len(rest) != len(items) || wait != 0 {
				t.Errorf("after the pause, %d items are sent, want %d; wait %v", len(rest), len(items)-len(sent), wait)
			}
			if b.inFlight != len(items) {
				t.Errorf("%d items are in flight, want %d", b.inFlight, len(items))
			}
		})
	}
}

// TestOutbox_expired checks that an item that must wait for its channel delays only the later items
// for that channel.
func TestOutbox_expired(t *testing.T) {
	t.Parallel()
	tea, milk := chat.NewChannelID(), chat.NewChannelID()
	b, items := queued(tea, tea, milk)
	it, wait := b.next(begun, frame.Limits{}, func(it *item) bool { return it != items[0] })
	if it != items[2] || wait != 0 {
		t.Errorf("the next item is %+v, want the one for the other channel; wait %v", it, wait)
	}
	items[0].first = begun
	for age, want := range map[time.Duration]bool{0: false, idempotent - 1: false, idempotent: true} {
		if got := items[0].expired(begun.Add(age)); got != want {
			t.Errorf("%v after the first attempt: expired %v, want %v", age, got, want)
		}
	}
	if items[1].expired(begun.Add(time.Hour)) {
		t.Error("an item that was never sent has expired")
	}
}

// TestOutbox_rateLimit checks that, including retries, no more items are sent within any window
// than the server allows, and that the list of recorded times stays bounded.
func TestOutbox_rateLimit(t *testing.T) {
	t.Parallel()
	limits := frame.Limits{RateMessages: 3, RateSeconds: 10}
	channels := make([]chat.ChannelID, 30)
	b, items := queued(channels...)
	now := begun
	var times []time.Time
	for len(times) < len(items) {
		sent, wait := sendAll(b, &conn{}, now, limits)
		for _, it := range sent {
			times = append(times, now)
			b.settle(it, Ack{}, nil)
		}
		if len(sent) == 0 && wait == 0 && len(times) < len(items) {
			t.Fatalf("%d items are sent, and then none, without a wait", len(times))
		}
		now = now.Add(max(wait, time.Millisecond))
	}
	for i := limits.RateMessages; i < len(times); i++ {
		if d := times[i].Sub(times[i-limits.RateMessages]); d <= 10*time.Second || d > 11*time.Second {
			t.Errorf("items %d to %d were sent within %v, want a little more than 10s", i-limits.RateMessages, i, d)
		}
	}
	if len(b.recent) > 2*limits.RateMessages {
		t.Errorf("the times of %d sends are kept, want at most %d", len(b.recent), 2*limits.RateMessages)
	}
	unlimited, _ := queued(channels...)
	if sent, _ := sendAll(unlimited, &conn{}, begun, frame.Limits{RateSeconds: 10}); len(sent) != len(channels) {
		t.Errorf("without a limit, %d items are sent, want %d", len(sent), len(channels))
	}
}

// TestOutbox_settle checks that settling an item delivers the result and removes the item.
func TestOutbox_settle(t *testing.T) {
	t.Parallel()
	tea := chat.NewChannelID()
	b, items := queued(tea, tea, tea)
	refusal := errors.New("refused")
	b.settle(items[1], Ack{Seq: 7}, refusal)
	select {
	case <-items[1].settled:
	default:
		t.Error("the callers that wait for the item are not woken")
	}
	if items[1].ack.Seq != 7 || !errors.Is(items[1].err, refusal) {
		t.Errorf("the result is %+v, %v", items[1].ack, items[1].err)
	}
	if b.byID[items[1].ClientID] != nil || !slices.Equal(b.all(), []*item{items[0], items[2]}) {
		t.Errorf("the outbox holds %d items, want the two others", len(b.all()))
	}
}

// TestOutbound_kind checks the kind of event that a Status reports for each command.
func TestOutbound_kind(t *testing.T) {
	t.Parallel()
	for typ, want := range map[frame.Type]event.Kind{
		frame.Send: event.Message, frame.Edit: event.Edit, frame.Delete: event.Delete, frame.React: event.Reaction,
	} {
		if got := (&outbound{Type: typ}).kind(); got != want {
			t.Errorf("%s: %s, want %s", typ, got, want)
		}
	}
}
