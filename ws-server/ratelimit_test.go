package wsserver_test

import (
	"strconv"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/internal/platform/config"
	"parley.chat/shared-contracts/chat"
	wsserver "parley.chat/ws-server"
)

func limited(cfg *wsserver.Config) {
	cfg.RateLimit = config.Rate{Count: 20, Per: time.Hour}
	cfg.RateBlock = 30 * time.Second
}

// The 21st send, counted over all instances, blocks the user. A retry of an earlier send still gets
// its ack. The retry consumes no token and starts no block, and a refused send consumes no seq.
func TestRateLimit_countsOverAllInstances(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
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

// Each frame that appends an event counts against the message limit. A send that opens a direct
// channel also counts against the limit of direct channels.
func TestRateLimit_countsEveryWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	url, _ := w.gateway(func(cfg *wsserver.Config) {
		cfg.RateLimit, cfg.RateBlock = config.Rate{Count: 3, Per: time.Hour}, time.Hour
		cfg.Limits.Direct = config.Rate{Count: 2, Per: time.Hour}
	})
	for _, kind := range []string{"send", "edit", "delete", "react"} {
		p := w.person("writer-" + kind)
		c := w.channel(chat.Private, p)
		conn, _ := w.connect(url, p)
		conn.Send(t, map[string]any{"type": "send", "ref": "first", "channel_id": c, "client_id": chat.NewClientID(), "body": "hi"})
		first := conn.AwaitRef(t, "first")
		if first.Type != "ack" {
			t.Fatalf("%s", first.Raw)
		}
		for i, want := range []string{"", "", "rate_limited", "rate_limited"} {
			ref := strconv.Itoa(i)
			f := map[string]any{"type": kind, "ref": ref, "channel_id": c, "client_id": chat.NewClientID(), "message_id": first.ID, "body": "x", "emoji": "👍"}
			if kind == "delete" && i > 0 {
				f["remove"] = true // deleting a deleted message is not an error
			}
			conn.Send(t, f)
			if got := conn.AwaitRef(t, ref); got.Code != want || want != "" && got.RetryAfterMS <= 0 {
				t.Errorf("%s %d: %s, want %q", kind, i+2, got.Raw, want)
			}
		}
	}
	p := w.person("opener")
	conn, _ := w.connect(url, p)
	for i, want := range []string{"", "", "rate_limited"} {
		ref := "direct" + strconv.Itoa(i)
		conn.Send(t, map[string]any{"type": "send", "ref": ref, "to_user_id": w.person(ref).ID, "client_id": chat.NewClientID(), "body": "x"})
		if got := conn.AwaitRef(t, ref); got.Code != want || want != "" && got.RetryAfterMS <= 0 {
			t.Errorf("direct channel %d: %s, want %q", i+1, got.Raw, want)
		}
	}
}
