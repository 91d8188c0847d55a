package client_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"parley.chat/client"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// shortLived is a TokenSource whose first token is renewed after a second. The first renewal fails
// if fail is set.
type shortLived struct {
	mu    sync.Mutex
	fail  *client.Error
	calls int    // for another token
	last  string // the most recently rejected token
}

func (s *shortLived) Token(_ context.Context, rejected string) (client.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rejected == "" && s.calls == 0 {
		return client.Token{Access: "token-1", Expires: time.Now().Add(time.Second)}, nil
	}
	s.last = rejected
	if s.calls++; s.calls == 1 && s.fail != nil {
		return client.Token{}, s.fail
	}
	return client.Token{Access: "token-2"}, nil
}

// TestRenew checks that a new token is sent over the connection before the old one expires, and
// that the next connection uses it. A failed renewal is retried.
func TestRenew(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]*client.Error{"at once": nil, "after a failure": apierr.New(apierr.Unavailable, "down")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t)
			tokens := &shortLived{fail: fail}
			r := g.run(func(cfg *client.Config) { cfg.Tokens = tokens })
			r.online(1)
			auth := g.Await(1, frame.Auth)
			if *auth[0].Token != "token-2" || auth[0].Ref == "" {
				t.Errorf("auth: %q, ref %q", *auth[0].Token, auth[0].Ref)
			}
			g.With(func() {
				if len(g.Conns) != 1 || len(g.Tokens) != 1 {
					t.Errorf("%d connections, %d in all: the connection must stay open", len(g.Conns), len(g.Tokens))
				}
			})
			g.Cut("", 4001) // refers to the new token
			r.online(2)
			tokens.mu.Lock()
			defer tokens.mu.Unlock()
			if tokens.last != "token-2" {
				t.Errorf("%s was reported as rejected, want token-2", tokens.last)
			}
			g.With(func() {
				if want := "[token-1 token-2]"; fmt.Sprint(g.Tokens) != want {
					t.Errorf("tokens %v, want %s", g.Tokens, want)
				}
			})
		})
	}
}

// TestRenew_refused checks that, if the session has ended, the connection stays open until its
// token expires, and that Run then returns the reason.
func TestRenew_refused(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	tokens := &refusedLater{asked: make(chan struct{})}
	r := g.run(func(cfg *client.Config) { cfg.Tokens = tokens })
	r.online(1)
	<-tokens.asked
	if _, err := r.Send(t.Context(), client.ToChannel(c), "still here"); err != nil {
		t.Error(err)
	}
	g.Cut("", 4001)
	if err := r.end(); apierr.CodeOf(err) != apierr.InvalidCredentials {
		t.Errorf("Run = %v, want the refusal of the token source", err)
	}
}

// refusedLater is a TokenSource that refuses to renew its token.
type refusedLater struct {
	once  sync.Once
	asked chan struct{}
}

func (s *refusedLater) Token(_ context.Context, rejected string) (client.Token, error) {
	if rejected == "" {
		return client.Token{Access: "token-1", Expires: time.Now().Add(time.Second)}, nil
	}
	s.once.Do(func() { close(s.asked) })
	return client.Token{}, apierr.New(apierr.InvalidCredentials, "the session has ended")
}

// TestPing checks that the client answers pings with their data, so that the gateway does not drop
// it.
func TestPing(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	pong := make(chan string, 1)
	g.Greet = func(conn *websocket.Conn) bool {
		conn.SetPongHandler(func(data string) error {
			pong <- data
			return nil
		})
		_ = conn.WriteControl(websocket.PingMessage, []byte("are you there"), time.Now().Add(time.Second)) // the wait below reports an error
		return true
	}
	g.run(nil)
	select {
	case got := <-pong:
		if got != "are you there" {
			t.Errorf("the pong has %q", got)
		}
	case <-time.After(waitTimeout):
		t.Error("no pong")
	}
}

// TestRun_closes checks that the client sends a close frame, so that the gateway need not wait for
// a timeout.
func TestRun_closes(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	closed := make(chan int, 1)
	g.Greet = func(conn *websocket.Conn) bool {
		conn.SetCloseHandler(func(code int, _ string) error {
			closed <- code
			return nil
		})
		return true
	}
	r := g.run(nil)
	r.online(1)
	r.stop()
	if err := r.end(); err != nil {
		t.Errorf("Run = %v", err)
	}
	select {
	case code := <-closed:
		if code != websocket.CloseNormalClosure {
			t.Errorf("closed with %d", code)
		}
	case <-time.After(waitTimeout):
		t.Error("no close frame")
	}
}

// TestRun_stopsWhileWaiting checks that Run returns without waiting for the next connection attempt
// when its context is done.
func TestRun_stopsWhileWaiting(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.Greet = func(conn *websocket.Conn) bool {
		_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1012, `{"reconnect_after_ms":60000}`), time.Now().Add(time.Second))
		return false
	}
	r := g.run(nil)
	r.until("offline", func(got []client.Event) bool {
		list := all[client.Connection](got)
		return len(list) > 0 && list[len(list)-1].Wait == time.Minute
	})
	start := time.Now()
	r.stop()
	if err := r.end(); err != nil || time.Since(start) > 30*time.Second {
		t.Errorf("Run = %v after %v", err, time.Since(start))
	}
}
