package wsserver_test

import (
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/shared-contracts/chat"
	wsserver "parley.chat/ws-server"
)

// isTyping matches the typing frames about p whose field typing equals on.
func isTyping(p person, on bool) func(wstest.Frame) bool {
	want := `"typing":false`
	if on {
		want = `"typing":true`
	}
	return func(f wstest.Frame) bool {
		return f.Type == "typing" && f.UserID == p.ID && string(f.Raw[len(f.Raw)-len(want)-1:len(f.Raw)-1]) == want
	}
}

func TestTyping_reachesOthersAndExpires(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.person("ann"), w.person("bob")
	c, foreign := w.channel(chat.Public, ann, bob), w.channel(chat.Public, bob)
	const expiry = 2200 * time.Millisecond // longer than the minimum interval between two starts
	one, _ := w.gateway(func(cfg *wsserver.Config) { cfg.TypingExpiry = expiry })
	two, _ := w.gateway(func(cfg *wsserver.Config) { cfg.TypingExpiry = time.Hour })
	a, _ := w.connect(one, ann)
	mine, _ := w.connect(two, ann)
	b, _ := w.connect(two, bob)
	type_ := func(conn *wstest.Conn, id chat.ChannelID, on bool) {
		t.Helper()
		conn.Send(t, map[string]any{"type": "typing", "ref": "t", "channel_id": id, "typing": on})
	}
	count := func(conn *wstest.Conn) (n int) {
		for _, f := range conn.Frames() {
			if f.Type == "typing" {
				n++
			}
		}
		return n
	}

	// The typing expires.
	began := time.Now()
	for range 5 {
		type_(a, c, true)
	}
	b.Await(t, "ann typing", isTyping(ann, true))
	b.Await(t, "the end of ann's typing", isTyping(ann, false))
	if lasted := time.Since(began); lasted < expiry {
		t.Errorf("the typing expired after %v", lasted)
	}
	if n := count(b); n != 2 {
		t.Errorf("%d typing frames, want one for each change", n)
	}

	// The user stops typing. A new start that follows too soon is dropped.
	type_(a, c, true)
	b.Await(t, "ann typing", isTyping(ann, true))
	type_(a, c, false)
	b.Await(t, "the end of ann's typing", isTyping(ann, false))
	type_(a, c, true)
	type_(a, c, false)
	type_(a, c, false)
	a.Send(t, `{"type":"ping","ref":"p"}`)
	a.AwaitRef(t, "p")

	// The connection ends.
	type_(b, c, true)
	a.Await(t, "bob typing", isTyping(bob, true))
	b.Close()
	for _, conn := range []*wstest.Conn{a, mine} {
		conn.Await(t, "the end of bob's typing", isTyping(bob, false))
	}
	if n := count(b); n != 4 {
		t.Errorf("%d typing frames, want 4, since frames that come too soon are dropped", n)
	}
	if n := count(mine); n != 2 {
		t.Errorf("ann's other connection has %d typing frames, want bob's 2", n)
	}

	type_(a, foreign, true)
	if f := a.AwaitRef(t, "t"); f.Code != "not_subscribed" {
		t.Errorf("typing in another channel: %s", f.Raw)
	}
}
