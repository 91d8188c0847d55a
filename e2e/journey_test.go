package e2e_test

import (
	"fmt"
	"net/http"
	"testing"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/shared-contracts/chat"
)

// TestJourney covers the main use case: users sign up, create a channel, join it by its UUID, and
// chat over two gateways. All messages must be in PostgreSQL and in the history.
func TestJourney(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	a, b := ann.connect(w.ws[0]), bob.connect(w.ws[1])
	c := ann.createChannel("lobby", "unlisted")
	a.Await(t, "the new channel", func(f wstest.Frame) bool { return f.Type == "membership" && f.ChannelID == c })
	bob.join(c)
	b.Await(t, "the joined channel", func(f wstest.Frame) bool { return f.Type == "membership" && f.ChannelID == c })
	joined := a.Await(t, "bob's coming", func(f wstest.Frame) bool { return f.Type == "member_joined" && f.UserID == bob.ID })

	const n = 50
	for i := range n {
		a.Say(t, c, fmt.Sprintf("from ann %d", i))
		b.Say(t, c, fmt.Sprintf("from bob %d", i))
	}
	last := joined.Seq + 2*n
	for _, conn := range []*wstest.Conn{a, b} {
		conn.Await(t, "the last message", func(f wstest.Frame) bool { return f.Type == "message" && f.ChannelID == c && f.Seq == last })
	}

	// The history contains the messages immediately, whether stored or not.
	history := ann.history(c)
	if len(history) != 2*n {
		t.Fatalf("history has %d messages, want %d", len(history), 2*n)
	}
	testkit.Until(t, testkit.Timeout, func() error {
		if rows := w.rows(c); int64(len(rows)) != last {
			return fmt.Errorf("%d of %d events stored", len(rows), last)
		}
		return nil
	})
	heard := map[int64]string{}
	for _, f := range b.Events(c) {
		if f.Type == "message" {
			heard[f.Seq] = f.Body
		}
	}
	for i, r := range w.rows(c) {
		if r.Seq != int64(i+1) {
			t.Fatalf("row %d has seq %d", i, r.Seq)
		}
		if r.Kind == "message" && heard[r.Seq] != r.Body {
			t.Errorf("seq %d: stored %q, received %q", r.Seq, r.Body, heard[r.Seq])
		}
	}
	after := ann.history(c)
	for i := range after {
		if after[i] != history[i] {
			t.Errorf("history changed once stored: %+v then %+v", history[i], after[i])
		}
	}
}

// TestBadInput_overREST checks invalid input over REST; the gateway's tests cover WebSockets.
func TestBadInput_overREST(t *testing.T) {
	w := newWorld(t)
	ann, eve := w.signup("ann"), w.signup("eve")
	hidden, open := eve.createChannel("hidden", "private"), eve.createChannel("open", "public")
	for _, tt := range []struct {
		name, method, path, token string
		in                        any
		status                    int
	}{
		{"no token", "GET", "/v1/me", "", nil, 401},
		{"garbage token", "GET", "/v1/me", "garbage", nil, 401},
		{"hidden channel", "GET", "/v1/channels/" + hidden.String(), ann.Token, nil, 404},
		{"hidden history", "GET", "/v1/channels/" + hidden.String() + "/messages", ann.Token, nil, 404},
		{"join a hidden channel", "POST", "/v1/channels/" + hidden.String() + "/join", ann.Token, nil, 404},
		{"history without joining", "GET", "/v1/channels/" + open.String() + "/messages", ann.Token, nil, 403},
		{"unknown channel", "GET", "/v1/channels/" + chat.NewChannelID().String(), ann.Token, nil, 404},
		{"taken name", "POST", "/v1/channels", ann.Token, map[string]string{"name": "Open", "kind": "public"}, 409},
		{"blank name", "POST", "/v1/channels", ann.Token, map[string]string{"name": " ", "kind": "public"}, 422},
		{"taken username", "POST", "/v1/signup", "", map[string]string{"username": "ANN", "email": "x@example.test", "password": "correct horse"}, 409},
		{"wrong password", "POST", "/v1/login", "", map[string]string{"login": "ann", "password": "nope nope"}, 401},
	} {
		if status, body := w.request(tt.method, w.chat.base+tt.path, tt.token, tt.in); status != tt.status {
			t.Errorf("%s: status %d, want %d: %s", tt.name, status, tt.status, body)
		}
	}
	if status, _ := w.request(http.MethodGet, w.ws[0].base+"/ws/"+hidden.String(), ann.Token, nil); status != 404 {
		t.Errorf("WebSocket of a hidden channel: status %d", status)
	}
}
