package e2e_test

import (
	"fmt"
	"net/http"
	"testing"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/shared-contracts/chat"
)

// restartAll kills every service with SIGKILL, all at the same time, and starts them again.
func (w *world) restartAll() {
	w.t.Helper()
	for _, i := range w.all() {
		i.proc.Kill(w.t)
	}
	for _, i := range w.all() {
		i.start()
	}
	for _, i := range w.all() {
		i.proc.WaitReady(w.t, i.base+"/readyz")
	}
}

// status is the state of a message as REST reports it to the sender.
type status struct {
	Seq       int64
	Delivered int `json:"delivered_count"`
	Read      int `json:"read_count"`
}

func (a account) statusOf(c chat.ChannelID, id chat.EventID) (s status) {
	a.w.t.Helper()
	a.w.call(http.MethodGet, fmt.Sprintf("/v1/channels/%s/messages/%s/receipts", c, id), a.Token, nil, http.StatusOK, &s)
	return s
}

// TestStatus follows a direct message from its sender's point of view: pending, sent, delivered,
// read. Sender and receiver are on two gateways. After each step every service is killed, and the
// state that the message has reached must not change.
func TestStatus(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	a := ann.connect(w.ws[0])
	send := func(conn *wstest.Conn, client chat.ClientID, ref string) {
		conn.Send(t, map[string]any{"type": "send", "ref": ref, "to_user_id": bob.ID, "client_id": client, "body": "hi"})
	}
	send(a, chat.NewClientID(), "first") // creates the direct channel
	c := a.AwaitRef(t, "first").ChannelID

	// Pending: the outcome is unknown. Sending the same frame again settles it.
	client := chat.NewClientID()
	w.redis.Pause(t)
	send(a, client, "pending")
	w.ws[0].proc.Kill(t)
	w.redis.Resume(t)
	w.restartAll()
	a = ann.connect(w.ws[0])
	send(a, client, "again")
	sent := a.AwaitRef(t, "again")
	if sent.Type != "ack" || sent.Seq != 2 {
		t.Fatalf("after the restart: %s", sent.Raw)
	}

	w.restartAll()
	a = ann.connect(w.ws[0])
	b := bob.connect(w.ws[1])
	send(a, client, "once more")
	if again := a.AwaitRef(t, "once more"); !again.Duplicate || again.ID != sent.ID || again.Seq != sent.Seq {
		t.Errorf("sent, then %s", again.Raw)
	}
	if got := len(bob.history(c)); got != 2 {
		t.Errorf("bob's history has %d messages, want 2", got)
	}
	if got := ann.statusOf(c, sent.ID); got != (status{Seq: 2}) {
		t.Errorf("sent: %+v", got)
	}
	for _, step := range []struct {
		say  string
		want status
	}{{"delivered", status{Seq: 2, Delivered: 1}}, {"read", status{Seq: 2, Delivered: 1, Read: 1}}} {
		b.Send(t, map[string]any{"type": step.say, "channel_id": c, "seq": sent.Seq})
		a.Await(t, step.say, func(f wstest.Frame) bool { return f.Type == "receipt" && f.UserID == bob.ID })
		w.restartAll()
		if got := ann.statusOf(c, sent.ID); got != step.want {
			t.Errorf("%s, after a restart: %+v, want %+v", step.say, got, step.want)
		}
		a, b = ann.connect(w.ws[0]), bob.connect(w.ws[1])
	}
}

// TestStatus_failed checks that the sender of an acknowledged message that cannot be stored is
// notified, over every gateway, and that the message is a tombstone from then on.
func TestStatus_failed(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	c := ann.createChannel("lobby", "unlisted")
	bob.join(c)
	phone, laptop, b := ann.connect(w.ws[0]), ann.connect(w.ws[1]), bob.connect(w.ws[1])
	poison := w.appendBodies(c, ann.ID, "before", "PostgreSQL takes no \x00 byte", "after")[1]
	var seq int64
	for _, conn := range []*wstest.Conn{phone, laptop} {
		f := conn.Await(t, "the failure", func(f wstest.Frame) bool { return f.Type == "failed" && !f.ClientID.IsZero() })
		if f.ClientID != poison || f.ChannelID != c || f.Seq == 0 {
			t.Errorf("got %s, want it about %s", f.Raw, poison)
		}
		seq = f.Seq
	}
	testkit.Until(t, testkit.Timeout, func() error {
		if rows := w.rows(c); int64(len(rows)) < seq+1 || rows[seq-1].Kind != "failed" {
			return fmt.Errorf("rows %+v", rows)
		}
		return nil
	})
	for _, f := range b.Frames() {
		if f.Type == "failed" && !f.ClientID.IsZero() {
			t.Errorf("bob got %s", f.Raw)
		}
	}
	w.restartAll()
	// The tail contains the message until the watermark has passed it, at the latest when the next
	// message is stored.
	conn := ann.connect(w.ws[0])
	conn.AwaitRef(t, conn.Say(t, c, "and one more").String())
	testkit.Until(t, testkit.Timeout, func() error {
		if got := bob.history(c); len(got) != 3 {
			return fmt.Errorf("bob has %+v, want the 3 messages that are stored", got)
		}
		return nil
	})
	if got := unreadIn(t, bob.connectFor(w.ws[0]), c); got != (counts{Unread: 3}) {
		t.Errorf("bob has not read %+v, want the 3 that are stored", got)
	}
}

// connectFor opens /ws and returns hello.
func (a account) connectFor(ws *instance) wstest.Frame {
	a.w.t.Helper()
	conn := wstest.Dial(a.w.t, ws.wsURL()+"/ws", a.Token)
	return conn.AwaitType(a.w.t, "hello")
}

// unreadIn returns the unread count of a channel in hello.
func unreadIn(t *testing.T, hello wstest.Frame, c chat.ChannelID) counts {
	t.Helper()
	for _, s := range hello.Channels {
		if s.ChannelID == c {
			return counts{s.Unread, s.UnreadMentions}
		}
	}
	t.Fatalf("hello does not have channel %s", c)
	return counts{}
}
