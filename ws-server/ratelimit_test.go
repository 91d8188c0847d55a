package wsserver_test

import (
	"testing"
	"time"

	"parley.chat/internal/config"
	"parley.chat/internal/testkit/wstest"
	"parley.chat/shared-contracts/chat"
	wsserver "parley.chat/ws-server"
)

func limited(cfg *wsserver.Config) {
	cfg.RateLimit = config.Rate{Count: 20, Per: time.Minute}
	cfg.RateBlock = 30 * time.Second
}

// The 21st send over all instances blocks the user. A retry of what was sent before still gets its ack,
// takes no token and starts no block; a refused send takes no seq.
func TestRateLimit_overAllInstances(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.person("ann"), w.person("bob")
	c := w.channel(chat.Public, ann, bob)
	one, _ := w.gateway(limited)
	two, _ := w.gateway(limited)
	a1, _ := w.connect(one, ann)
	a2, _ := w.connect(two, ann)
	b, _ := w.connect(one, bob)

	first := chat.NewClientID()
	say := func(conn *wstest.Conn, ref string, id chat.ClientID) wstest.Frame {
		conn.Send(t, map[string]any{"type": "send", "ref": ref, "channel_id": c, "client_id": id, "body": "hi"})
		return conn.AwaitRef(t, ref)
	}
	if f := say(a1, "first", first); f.Type != "ack" {
		t.Fatalf("%s", f.Raw)
	}
	for i := range 19 {
		conn := []*wstest.Conn{a1, a2}[i%2]
		if f := say(conn, chat.NewClientID().String(), chat.NewClientID()); f.Type != "ack" {
			t.Fatalf("send %d: %s", i+2, f.Raw)
		}
	}
	if f := say(a2, "retry", first); f.Type != "ack" || !f.Duplicate || f.Seq != 1 {
		t.Fatalf("a retry at the limit: %s", f.Raw)
	}
	refused := chat.NewClientID()
	over := say(a2, "over", refused)
	if over.Code != "rate_limited" || over.RetryAfterMS <= 29_000 || over.RetryAfterMS > 30_000 {
		t.Fatalf("the 21st: %s", over.Raw)
	}
	again := say(a1, "again", refused)
	if again.Code != "rate_limited" || again.RetryAfterMS > over.RetryAfterMS {
		t.Fatalf("the 22nd lengthens the block: %s after %s", again.Raw, over.Raw)
	}
	if f := say(a1, "retry2", first); f.Type != "ack" || !f.Duplicate {
		t.Fatalf("a retry while blocked: %s", f.Raw)
	}
	if f := say(b, "other", chat.NewClientID()); f.Type != "ack" || f.Seq != 21 {
		t.Fatalf("another user, and no seq was lost: %s", f.Raw)
	}
}
