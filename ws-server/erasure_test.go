package wsserver_test

import (
	"strings"
	"testing"

	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// Once an account is deleted, no replay may contain the user's name, whether it is served from the
// ring of a gateway, from the tail or from rows.
func TestReplay_hasNoNamesOfDeletedAccounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	vera, bob := w.person("qzxvera"), w.person("bob")
	c := w.channel(chat.Public, vera, bob)
	one, _ := w.gateway()
	a, _ := w.connect(one, vera)
	b, _ := w.connect(one, bob)
	for i := range 10 {
		a.Say(t, c, body(i))
		b.Say(t, c, body(i))
	}
	a.AwaitSeq(t, c, 1, 20)
	w.appendEvent(frame.Event{
		Type: event.MemberLeft, ChannelID: c, ID: chat.NewEventID(), SenderID: bob.ID, UserID: &vera.ID, Username: vera.Name, SentAt: chat.Now(),
	})
	b.AwaitSeq(t, c, 1, 21)
	names := func(conn *wstest.Conn) (n int) {
		conn.AwaitSeq(t, c, 1, 21)
		others := 0
		for _, f := range conn.Frames() {
			if f.Event() && strings.Contains(string(f.Raw), "qzx") {
				n++
			}
			if strings.Contains(string(f.Raw), `"sender_name":"bob"`) {
				others++
			}
		}
		if others != 10 {
			t.Errorf("%d frames name bob, want 10", others)
		}
		conn.Close()
		return n
	}
	if n := names(w.resume(one, bob, c, 0)); n != 11 {
		t.Fatalf("before the deletion %d frames name the user, want 11", n)
	}
	w.exec("update users set username = '~gone', email = '', deleted_at = now() where id = $1", vera.ID.UUID)
	if n := names(w.resume(one, bob, c, 0)); n != 0 {
		t.Errorf("%d frames from the ring name the user", n)
	}
	two, _ := w.gateway()
	if n := names(w.resume(two, bob, c, 0)); n != 0 {
		t.Errorf("%d frames from the tail name the user", n)
	}
	w.store(c, true)
	three, _ := w.gateway()
	if n := names(w.resume(three, bob, c, 0)); n != 0 {
		t.Errorf("%d frames from rows name the user", n)
	}
}
