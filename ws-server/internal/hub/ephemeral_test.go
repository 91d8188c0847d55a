package hub_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"parley.chat/internal/testkit"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/ws-server/internal/hub"
)

// listener keeps the frames that it was given, as text.
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

func (l *listener) heard() string {
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

// Where there is no crowd, an ephemeral frame waits for nothing.
func TestPublishEphemeral_leavesAtOnce(t *testing.T) {
	t.Parallel()
	h, ch, all := listening(20)
	for n := range 3 {
		ch.PublishEphemeral(fmt.Append(nil, "typing", n), all[0].user, nil)
		h.Wait()
	}
	for i, l := range all {
		want := "typing0 | typing1 | typing2"
		if i == 0 { // it is theirs
			want = ""
		}
		if got := l.heard(); got != want {
			t.Errorf("listener %d heard %q, want %q", i, got, want)
		}
	}
}

// In a crowd, what comes within the pace of the first leaves with the next event, each to whom it is for.
func TestPublishEphemeral_leavesWithTheNextEvent(t *testing.T) {
	t.Parallel()
	h, ch, all := listening(5000) // a pace of a second
	ch.PublishEphemeral([]byte("first"), chat.UserID{}, nil)
	h.Wait() // all have heard it
	ch.PublishEphemeral([]byte("a types"), all[1].user, nil)
	ch.PublishEphemeral([]byte("b types"), all[2].user, nil)
	h.Wait() // for what leaves at once: nothing
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
		if got := l.heard(); got != want {
			t.Fatalf("listener %d heard %q, want %q", i, got, want)
		}
	}
}

// Without an event it leaves by itself, all that has gathered in one frame.
func TestPublishEphemeral_leavesByItself(t *testing.T) {
	t.Parallel()
	_, ch, all := listening(5000)
	for n := range 5 {
		ch.PublishEphemeral(fmt.Append(nil, n), chat.UserID{}, nil)
	}
	testkit.Until(t, testkit.Timeout, func() error {
		for i, l := range all {
			if got := strings.Count(l.heard(), "|"); !strings.HasSuffix(l.heard(), "4") || got > 2 {
				return fmt.Errorf("listener %d heard %q", i, l.heard())
			}
		}
		return nil
	})
}

// Who leaves sees nothing of what follows, ephemeral frames neither.
func TestPublishEphemeral_notToWhoLeft(t *testing.T) {
	t.Parallel()
	h, ch, all := listening(5000)
	left := ev(1)
	left.Kind, left.Left = event.MemberLeft, all[0].user
	ch.PublishEphemeral([]byte("first"), chat.UserID{}, nil)
	h.Wait()
	ch.PublishEphemeral([]byte("typing"), chat.UserID{}, nil)
	ch.Publish([]hub.Event{left})
	testkit.Until(t, testkit.Timeout, func() error {
		if got := all[1].heard(); !strings.HasSuffix(got, "typing") {
			return fmt.Errorf("who stays heard %q", got)
		}
		return nil
	})
	if got := all[0].heard(); strings.Contains(got, "typing") {
		t.Errorf("who left heard %q", got)
	}
}
