package hub_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/ws-server/internal/hub"
)

// listener records the frames that it received, as text.
type listener struct {
	nop
	user chat.UserID

	mu     sync.Mutex
	frames []string
}

func (l *listener) User() chat.UserID { return l.user }
func (l *listener) Deliver(frame []byte, _ int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frames = append(l.frames, string(frame))
}
func (l *listener) DeliverEphemeral(frame []byte) { l.Deliver(frame, 0) }

func (l *listener) received() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.ReplaceAll(strings.Join(l.frames, " | "), "\n", ",")
}

func listening(n int) (*hub.Hub, *hub.Channel, []*listener) {
	h := newHub(nil)
	ch, _ := h.Open(chat.NewChannelID())
	ch.Begin(0, epoch)
	all := make([]*listener, n)
	for i := range all {
		all[i] = &listener{user: chat.NewUserID()}
		ch.Subscribe(all[i], -1, noAnswer)
	}
	return h, ch, all
}

// In a small channel, an ephemeral frame does not wait.
func TestPublishEphemeral_isImmediateInSmallChannels(t *testing.T) {
	t.Parallel()
	h, ch, all := listening(20)
	for n := range 3 {
		ch.PublishEphemeral(fmt.Append(nil, "typing", n), all[0].user, nil)
		h.Wait()
	}
	for i, l := range all {
		want := "typing0 | typing1 | typing2"
		if i == 0 { // the sender does not get its own frame
			want = ""
		}
		if got := l.received(); got != want {
			t.Errorf("listener %d received %q, want %q", i, got, want)
		}
	}
}

// In a large channel, ephemeral frames that are published faster than the pace are sent with the
// next event. Each reaches only its recipients.
func TestPublishEphemeral_leavesWithTheNextEventInLargeChannels(t *testing.T) {
	t.Parallel()
	h, ch, all := listening(5000) // the pace is one second
	ch.PublishEphemeral([]byte("first"), chat.UserID{}, nil)
	h.Wait() // all have received it
	ch.PublishEphemeral([]byte("a types"), all[1].user, nil)
	ch.PublishEphemeral([]byte("b types"), all[2].user, nil)
	h.Wait() // waits for frames that are sent immediately; there must be none
	ch.Publish(span(0, 2))
	h.Wait()
	for i, l := range all {
		want := "first | 1,2,a types,b types"
		switch i {
		case 1:
			want = "first | 1,2,b types"
		case 2:
			want = "first | 1,2,a types"
		}
		if got := l.received(); got != want {
			t.Fatalf("listener %d received %q, want %q", i, got, want)
		}
	}
}

// If no event arrives, the queued frames are sent together in one frame when the pace allows it.
func TestPublishEphemeral_leavesWithoutAnEvent(t *testing.T) {
	t.Parallel()
	_, ch, all := listening(5000)
	for n := range 5 {
		ch.PublishEphemeral(fmt.Append(nil, n), chat.UserID{}, nil)
	}
	testkit.Until(t, testkit.Timeout, func() error {
		for i, l := range all {
			if got := strings.Count(l.received(), "|"); !strings.HasSuffix(l.received(), "4") || got > 2 {
				return fmt.Errorf("listener %d received %q", i, l.received())
			}
		}
		return nil
	})
}

// A member who leaves gets nothing after the member_left event, not even ephemeral frames.
func TestPublishEphemeral_notToMembersWhoLeft(t *testing.T) {
	t.Parallel()
	h, ch, all := listening(5000)
	left := ev(1)
	left.Kind, left.Left = event.MemberLeft, all[0].user
	ch.PublishEphemeral([]byte("first"), chat.UserID{}, nil)
	h.Wait()
	ch.PublishEphemeral([]byte("typing"), chat.UserID{}, nil)
	ch.Publish([]hub.Event{left})
	testkit.Until(t, testkit.Timeout, func() error {
		if got := all[1].received(); !strings.HasSuffix(got, "typing") {
			return fmt.Errorf("remaining member received %q", got)
		}
		return nil
	})
	if got := all[0].received(); strings.Contains(got, "typing") {
		t.Errorf("member who left received %q", got)
	}
}
