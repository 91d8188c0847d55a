package presencefanout

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/hub"
	"parley.chat/ws-server/internal/presence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// blocks holds the blocks between connected users, in both directions.
type blocks map[chat.UserID]map[chat.UserID]struct{}

func (b blocks) AnyBlocks() bool                                    { return len(b) > 0 }
func (b blocks) HasBlocks(u chat.UserID) bool                       { return len(b[u]) > 0 }
func (b blocks) BlockedWith(u chat.UserID) map[chat.UserID]struct{} { return b[u] }
func (b blocks) add(one, other chat.UserID)                         { b.set(one, other); b.set(other, one) }

func (b blocks) set(one, other chat.UserID) {
	if b[one] == nil {
		b[one] = make(map[chat.UserID]struct{})
	}
	b[one][other] = struct{}{}
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

// sent is a frame that was sent to one user.
type sent struct {
	to    chat.UserID
	frame string
}

func frameTo(u chat.UserID, f frame.Server) sent { return sent{u, string(frame.Encode(f))} }

// world is a channel with a subscriber, and users who are subscribed to it and online.
type world struct {
	*Fanout
	channel *hub.Channel
	sub     *subscriber
	blocks  blocks
	sent    chan sent
}

func newWorld(t *testing.T, online ...chat.UserID) *world {
	t.Helper()
	h := hub.New(hub.Config{
		Join: func(frames [][]byte) []byte { return bytes.Join(frames, []byte{'\n'}) },
		Idle: func(*hub.Channel) {},
	})
	ch, _ := h.Open(chat.NewChannelID())
	ch.Begin(0, "1")
	w := &world{channel: ch, blocks: make(blocks), sent: make(chan sent, 10), sub: &subscriber{user: online[0], frames: make(chan string, 10)}}
	ch.Subscribe(w.sub, -1, func(int64, event.Epoch) bool { return false })
	w.Fanout = New(Config{
		Hub: h, Blocks: w.blocks, Logger: slog.New(slog.DiscardHandler),
		Online: func(context.Context, chat.ChannelID, string) (presence.Online, error) {
			return presence.Online{Count: len(online), Users: online}, nil
		},
		CommonChannels: func(context.Context, chat.UserID, chat.UserID) ([]chat.ChannelID, error) {
			return []chat.ChannelID{ch.ID()}, nil
		},
		Subscribed: func(u chat.UserID, c chat.ChannelID) bool { return u == w.sub.user && c == ch.ID() },
		SendTo:     func(u chat.UserID, _ chat.ChannelID, f frame.Server) { w.sent <- frameTo(u, f) },
	})
	return w
}

// run runs the fan-out until the test ends.
func (w *world) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

func (w *world) awaitSent(t *testing.T, want sent) {
	t.Helper()
	select {
	case got := <-w.sent:
		if got != want {
			t.Errorf("sent %+v, want %+v", got, want)
		}
	case <-time.After(testkit.Timeout):
		t.Fatal("nothing was sent")
	}
}

// A frame must go to every subscription, without Run, while nobody has a block.
func TestFanout_withoutBlocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, chat.NewUserID())
	w.Published(w.channel.ID(), []byte("frame"))
	select {
	case got := <-w.sub.frames:
		if got != "frame" {
			t.Errorf("delivered %q", got)
		}
	case <-time.After(testkit.Timeout):
		t.Fatal("nothing was delivered")
	}
}

// A user with a block must get a separate frame, which neither names nor counts the other user. If
// that frame would name nobody, the user must get none.
func TestFanout_userWithBlock(t *testing.T) {
	t.Parallel()
	ann, bob, carl := chat.NewUserID(), chat.NewUserID(), chat.NewUserID()
	w := newWorld(t, ann, bob, carl)
	w.blocks.add(ann, bob)
	for _, joined := range [][]chat.UserID{{bob}, {bob, carl}} {
		w.Published(w.channel.ID(), frame.Encode(frame.PresenceNotice{ChannelID: w.channel.ID(), OnlineCount: 3, Joined: joined}))
	}
	w.run(t)
	w.awaitSent(t, frameTo(ann, frame.PresenceNotice{ChannelID: w.channel.ID(), OnlineCount: 2, Joined: []chat.UserID{carl}}))
	if len(w.sub.frames) > 0 {
		t.Errorf("the user with a block also got %s", <-w.sub.frames)
	}
}

// When a user blocks another one, the other user must appear to stop typing and to go offline. When
// the block is lifted, the other user must reappear.
func TestFanout_blocksChanged(t *testing.T) {
	t.Parallel()
	ann, bob := chat.NewUserID(), chat.NewUserID()
	w := newWorld(t, ann, bob)
	id := w.channel.ID()
	w.blocks.add(ann, bob)
	w.BlocksChanged(t.Context(), ann, []chat.UserID{bob}, nil)
	w.awaitSent(t, frameTo(ann, frame.TypingNotice{ChannelID: id, UserID: bob}))
	w.awaitSent(t, frameTo(ann, frame.PresenceNotice{ChannelID: id, OnlineCount: 1, Left: []chat.UserID{bob}}))
	clear(w.blocks)
	w.BlocksChanged(t.Context(), ann, nil, []chat.UserID{bob})
	w.awaitSent(t, frameTo(ann, frame.PresenceNotice{ChannelID: id, OnlineCount: 2, Joined: []chat.UserID{bob}}))
}
