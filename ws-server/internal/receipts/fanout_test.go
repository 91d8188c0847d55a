package receipts

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/hub"
	"parley.chat/ws-server/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testkit.Redialing()) }

// stores is a fake of PostgreSQL, and of a Redis that holds no receipts.
type stores struct {
	Log
	members map[chat.UserID]receiptlog.Receipt
}

func (s stores) Held(context.Context, chat.ChannelID, ...chat.UserID) (map[chat.UserID]receiptlog.Receipt, error) {
	return nil, nil
}

func (s stores) Receipts(context.Context, chat.ChannelID) (map[chat.UserID]receiptlog.Receipt, error) {
	return s.members, nil
}

func (s stores) CountMembers(_ context.Context, channels []chat.ChannelID, limit int) ([]int, error) {
	counts := make([]int, len(channels))
	for i := range counts {
		counts[i] = min(len(s.members), limit)
	}
	return counts, nil
}

func (s stores) ReceiptsOf(_ context.Context, keys []chat.MemberKey) ([]receiptlog.Receipt, error) {
	return make([]receiptlog.Receipt, len(keys)), nil
}

func (s stores) NewestMessage(context.Context, chat.ChannelID, int64) (store.Message, error) {
	return store.Message{}, nil
}

// subscriber is a connection that collects the ephemeral frames that it gets.
type subscriber struct {
	hub.Connection
	user   chat.UserID
	frames chan string
}

func (s *subscriber) User() chat.UserID         { return s.user }
func (s *subscriber) Prefetch()                 {}
func (s *subscriber) DeliverEphemeral(b []byte) { s.frames <- string(b) }

func (s *subscriber) next(t *testing.T) string {
	t.Helper()
	select {
	case f := <-s.frames:
		return f
	case <-time.After(testkit.Timeout):
		t.Fatal("no frame")
		return ""
	}
}

// newChannel returns a hub with one channel.
func newChannel() (*hub.Hub, *hub.Channel) {
	h := hub.New(hub.Config{
		Join: func(frames [][]byte) []byte { return bytes.Join(frames, []byte{'\n'}) },
		Idle: func(*hub.Channel) {},
	})
	ch, _ := h.Open(chat.NewChannelID())
	ch.Begin(0, "1")
	return h, ch
}

// subscribe adds a connection of a user to a channel.
func subscribe(ch *hub.Channel, user chat.UserID) *subscriber {
	s := &subscriber{user: user, frames: make(chan string, 10)}
	ch.Subscribe(s, -1, func(int64, event.Epoch) bool { return false })
	return s
}

func members(n int, at receiptlog.Receipt) map[chat.UserID]receiptlog.Receipt {
	all := make(map[chat.UserID]receiptlog.Receipt, n)
	for range n {
		all[chat.NewUserID()] = at
	}
	return all
}

// In a small channel, every subscriber must get one frame with each member's last move, except the
// moves of members with whom the subscriber has a block.
func TestFanout_smallChannel(t *testing.T) {
	t.Parallel()
	h, ch := newChannel()
	ann, bob := subscribe(ch, chat.NewUserID()), subscribe(ch, chat.NewUserID())
	moved, hidden := chat.NewUserID(), chat.NewUserID()
	s := stores{members: members(3, receiptlog.Receipt{})}
	r := New(Config{
		Log: s, Store: s, Hub: h, Logger: slog.New(slog.DiscardHandler),
		BlockedWith: func(u chat.UserID) map[chat.UserID]struct{} {
			if u == hidden {
				return map[chat.UserID]struct{}{bob.user: {}}
			}
			return nil
		},
	})
	r.fanout.add(ch.ID(), []event.Receipt{{User: moved, Delivered: 5, Read: 2}, {User: hidden, Delivered: 9}})
	r.fanout.add(ch.ID(), []event.Receipt{{User: moved, Delivered: 4, Read: 3}})
	run(t, r)
	want := string(frame.Encode(frame.Receipt{ChannelID: ch.ID(), UserID: moved, DeliveredSeq: 5, ReadSeq: 3}))
	if got := bob.next(t); got != want {
		t.Errorf("the blocked user got %s, want %s", got, want)
	}
	for n := 0; n < 2; {
		got := ann.next(t)
		n += strings.Count(got, `"type":"receipt"`)
		if !strings.Contains(got, want) && !strings.Contains(got, hidden.String()) {
			t.Errorf("the other user got %s", got)
		}
	}
}

// In a large channel, only the sender of the newest message must get a frame. It contains how many
// other members have received and read the message. Members who have a block with the sender are
// not counted.
func TestCounter_largeChannel(t *testing.T) {
	t.Parallel()
	h, ch := newChannel()
	sender, blocked := chat.NewUserID(), chat.NewUserID()
	s := stores{members: members(maxSmallChannel+1, receiptlog.Receipt{Delivered: 1})}
	s.members[sender], s.members[blocked] = receiptlog.Receipt{Delivered: 1, Read: 1}, receiptlog.Receipt{Delivered: 1, Read: 1}
	s.members[chat.NewUserID()] = receiptlog.Receipt{Delivered: 1, Read: 1}
	e := frame.Event{Type: event.Message, ID: chat.NewEventID(), ChannelID: ch.ID(), SenderID: sender, Seq: 1, SentAt: chat.Now()}
	text, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	ch.Publish([]hub.Event{{Seq: 1, Epoch: "1", Kind: event.Message, Frame: text}})
	other := subscribe(ch, chat.NewUserID())
	sent := make(chan frame.Server, 10)
	r := New(Config{
		Log: s, Store: s, Hub: h, Logger: slog.New(slog.DiscardHandler),
		BlockedWith: func(chat.UserID) map[chat.UserID]struct{} {
			return map[chat.UserID]struct{}{blocked: {}}
		},
		Subscribed: func(u chat.UserID, c chat.ChannelID) bool { return u == sender && c == ch.ID() },
		SendTo: func(u chat.UserID, c chat.ChannelID, f frame.Server) {
			if u != sender || c != ch.ID() {
				t.Errorf("sent to %v in %v", u, c)
			}
			sent <- f
		},
	})
	run(t, r)
	r.fanout.add(ch.ID(), []event.Receipt{{User: other.user, Delivered: 1, Read: 1}})
	select {
	case got := <-sent:
		want := frame.ReceiptCounts{ChannelID: ch.ID(), Seq: 1, MemberCount: maxSmallChannel + 2, DeliveredCount: maxSmallChannel + 2, ReadCount: 1}
		if got != want {
			t.Errorf("sent %+v, want %+v", got, want)
		}
	case <-time.After(testkit.Timeout):
		t.Fatal("no counts were sent")
	}
	if len(other.frames) > 0 {
		t.Errorf("another member got %s", <-other.frames)
	}
}
