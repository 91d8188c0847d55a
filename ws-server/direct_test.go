package wsserver_test

import (
	"testing"

	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/notice"
)

// The message that creates a direct channel must reach every connection of both users as a message
// frame, although the notice about the channel arrives after it.
func TestDirect_firstMessageReachesEveryConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.person("ann"), w.person("bob")
	url, _ := w.gateway()
	other, _ := w.gateway()
	a, _ := w.connect(url, ann)
	a2, _ := w.connect(other, ann)
	b, _ := w.connect(other, bob)
	ack := sayTo(t, a, bob.ID, chat.ClientID{})
	if ack.Type != "ack" || ack.Seq != 1 {
		t.Fatalf("send: %s", ack.Raw)
	}
	for _, p := range []person{ann, bob} {
		w.notify(notice.Notice{Kind: notice.ChannelAdded, UserID: p.ID, ChannelID: &ack.ChannelID, By: &ann.ID})
	}
	for name, c := range map[string]*wstest.Conn{"the sender": a, "the sender's other device": a2, "the receiver": b} {
		if f := c.Await(t, "the membership frame", func(f wstest.Frame) bool { return f.Type == "membership" }); f.ChannelID != ack.ChannelID {
			t.Errorf("%s: %s", name, f.Raw)
		}
		c.AwaitSeq(t, ack.ChannelID, 1, 1)
		if e := c.Events(ack.ChannelID)[0]; e.Type != "message" || e.ID != ack.ID {
			t.Errorf("%s got %s", name, e.Raw)
		}
	}
	say(t, b, ack.ChannelID, "and back")
	a.AwaitSeq(t, ack.ChannelID, 1, 2)
	// A connection that has the channel already does not get the message again.
	w.notify(notice.Notice{Kind: notice.ChannelAdded, UserID: ann.ID, ChannelID: &ack.ChannelID, By: &ann.ID})
	say(t, b, ack.ChannelID, "still")
	a.AwaitSeq(t, ack.ChannelID, 1, 3)
	if n := len(a.Events(ack.ChannelID)); n != 3 {
		t.Errorf("%d events, want 3", n)
	}
}
