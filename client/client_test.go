package client_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"parley.chat/client"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

func TestNew_refuses(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]client.Config{
		"no tokens":      {URL: "http://localhost"},
		"no URL":         {Tokens: client.StaticToken("x")},
		"a socket's URL": {URL: "ws://localhost", Tokens: client.StaticToken("x")},
		"a bad socket":   {URL: "http://localhost", Sockets: []string{"http://localhost/ws"}, Tokens: client.StaticToken("x")},
	} {
		if c, err := client.New(cfg); err == nil || c != nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// source is a TokenSource that returns tokens 1, 2, 3, …
type source struct {
	mu sync.Mutex
	n  int
}

func (s *source) Token(_ context.Context, rejected string) (client.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := fmt.Sprint("token-", s.n); s.n == 0 || now == rejected {
		s.n++
	}
	return client.Token{Access: fmt.Sprint("token-", s.n)}, nil
}

// refuse closes a connection before hello. g.Mu must be held.
func refuse(conn *websocket.Conn, code int) bool {
	_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Second))
	return false
}

func TestTokens(t *testing.T) {
	t.Parallel()
	t.Run("another one after 4001 and 4501", func(t *testing.T) {
		t.Parallel()
		g := newGateway(t)
		g.Greet = func(conn *websocket.Conn) bool {
			switch len(g.Tokens) {
			case 1:
				return refuse(conn, 4001)
			case 2:
				return true
			}
			return refuse(conn, 4501)
		}
		r := g.run(func(c *client.Config) { c.Tokens = &source{} })
		r.online(1)
		g.Cut("", 1012)
		err := r.end()
		if e, ok := errors.AsType[*client.CloseError](err); !ok || e.Code != 4501 {
			t.Errorf("Run = %v, want 4501", err)
		}
		// The third token is refused. The client makes one more attempt with another token, and
		// then gives up.
		if want := "[token-1 token-2 token-2 token-3]"; fmt.Sprint(g.Tokens) != want {
			t.Errorf("tokens %v, want %s", g.Tokens, want)
		}
	})
	t.Run("of a session that has replaced the one that ended", func(t *testing.T) {
		t.Parallel()
		g := newGateway(t)
		r := g.run(func(c *client.Config) { c.Tokens = &source{} })
		r.online(1)
		g.Cut("", 4509)
		r.online(2)
		if want := "[token-1 token-2]"; fmt.Sprint(g.Tokens) != want {
			t.Errorf("tokens %v, want %s", g.Tokens, want)
		}
	})
	t.Run("none other", func(t *testing.T) {
		t.Parallel()
		g := newGateway(t)
		g.Greet = func(conn *websocket.Conn) bool { return refuse(conn, 4001) }
		if err := g.run(nil).end(); apierr.CodeOf(err) != apierr.Unauthenticated {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestRun_final(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.Greet = func(conn *websocket.Conn) bool { return refuse(conn, 4509) }
	r := g.run(nil)
	if e, ok := errors.AsType[*client.CloseError](r.end()); !ok || e.Code != 4509 {
		t.Errorf("Run = %v", r.end())
	}
	if _, err := r.Send(t.Context(), client.ToChannel(chat.NewChannelID()), "x"); !errors.Is(err, client.ErrClosed) {
		t.Errorf("Send = %v", err)
	}
	if r.Run(t.Context()) == nil {
		t.Error("Run can be called again")
	}
}

func TestRun_waitsAsLongAsTheServerSays(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	r := g.run(nil)
	r.online(1)
	g.Cut(`{"reconnect_after_ms":77}`, 1012)
	r.online(2)
	for _, c := range all[client.Connection](r.got) {
		if c.State == client.Offline && c.Wait != 77*time.Millisecond {
			t.Errorf("it waits %v", c.Wait)
		}
	}
}

// TestExpired checks that a send that the server may have forgotten is sent again only if its event
// has not arrived when the channel has resumed. If that cannot be determined, it fails with
// ErrUnknown.
func TestExpired(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		arrive bool             // the send had arrived, but its acknowledgement was lost
		meet   func(g *gateway) // while away
		sends  int              // how often the frame was received in total
		want   error
	}{
		{"it had arrived", true, func(*gateway) {}, 1, nil},
		{"it was lost", false, func(*gateway) {}, 2, nil},
		{"it had arrived, and is fetched", true, func(g *gateway) { g.Replay = 5 }, 1, nil},
		{"it was lost, and is looked for", false, func(g *gateway) { g.Replay = 5 }, 2, nil},
		{"the server has lost writes", true, func(g *gateway) { g.Epoch = "2-b" }, 1, client.ErrUnknown},
		{"too much was missed", false, func(g *gateway) { g.Replay = 0 }, 1, client.ErrUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var late atomic.Int64 // minutes
			c := chat.NewChannelID()
			g := newGateway(t, c)
			away := make(chan struct{})
			g.OnSend = func(conn *websocket.Conn, f frame.Client) (apierr.Code, bool) {
				if len(g.Sends) > 1 {
					return "", false
				}
				delete(g.Conns[conn], c) // no later frame arrives before the resume
				if tt.arrive {
					g.Append(f)
				}
				g.Acks = map[chat.ClientID]frame.Ack{} // ten minutes pass
				late.Store(10)
				for range 20 {
					id, body := chat.NewClientID(), "said elsewhere"
					g.Append(frame.Client{ChannelID: &c, ClientID: &id, Body: &body})
				}
				tt.meet(g)
				_ = conn.Close()
				delete(g.Conns, conn)
				close(away)
				return "", true
			}
			now := func() time.Time { return time.Now().Add(time.Duration(late.Load()) * time.Minute) }
			r := g.runAt(now, func(cfg *client.Config) {
				if tt.name == "too much was missed" {
					cfg.MaxCatchUp = 10
				}
			})
			r.online(1)
			ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
			defer cancel()
			ack, err := r.Send(ctx, client.ToChannel(c), "once")
			if !errors.Is(err, tt.want) {
				t.Errorf("Send = %v, want %v", err, tt.want)
			}
			<-away
			g.Mu.Lock()
			defer g.Mu.Unlock()
			if len(g.Sends) != tt.sends {
				t.Errorf("it was sent %d times, want %d", len(g.Sends), tt.sends)
			}
			times := 0
			for _, e := range g.Log[c] {
				if *e.ClientID == ack.ClientID {
					times++
					if err == nil && e.Seq != ack.Seq {
						t.Errorf("acknowledged as %d, is %d", ack.Seq, e.Seq)
					}
				}
			}
			if err == nil && times != 1 {
				t.Errorf("the log has it %d times", times)
			}
		})
	}
}

// TestSubscribe_refused checks that if the subscription to one of many channels is refused, the
// others are still followed.
func TestSubscribe_refused(t *testing.T) {
	t.Parallel()
	fine, gone := chat.NewChannelID(), chat.NewChannelID()
	g := newGateway(t, fine, gone, chat.NewChannelID())
	g.OnAsk = func(p frame.ChannelPosition) apierr.Code {
		if p.ChannelID == gone {
			return apierr.NotFound
		}
		return ""
	}
	r := g.run(nil)
	got := r.until("the end of one channel", func(got []client.Event) bool { return len(all[client.Left](got)) > 0 })
	if left := all[client.Left](got); len(left) != 1 || left[0].ChannelID != gone || apierr.CodeOf(left[0].Err) != apierr.NotFound {
		t.Errorf("left: %+v", left)
	}
	g.Say(fine, 3)
	got = r.until("events", func(got []client.Event) bool { return len(all[client.ChannelEvent](got)) >= 3 })
	inOrder(t, got, fine, 1, 3)
}

// TestRepeatsAndHoles checks that the client subscribes again if the server violates the protocol,
// and that the caller does not notice.
func TestRepeatsAndHoles(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	r := g.run(nil)
	r.online(1)
	g.Say(c, 5)
	r.until("events", func(got []client.Event) bool { return len(all[client.ChannelEvent](got)) >= 5 })
	g.Mu.Lock()
	log := g.Log[c]
	again, _ := log[2].Encode()
	ahead := log[4]
	ahead.Seq = 8
	g.Log[c] = append(log, log[4], log[4], ahead)
	g.Log[c][5].Seq, g.Log[c][6].Seq = 6, 7
	hole, _ := ahead.Encode()
	for conn := range g.Conns {
		g.Send(conn, again)
		g.Send(conn, hole)
	}
	g.Mu.Unlock()
	got := r.until("the rest", func(got []client.Event) bool { return len(all[client.ChannelEvent](got)) >= 8 })
	inOrder(t, got, c, 1, 8)
}

// TestSend_refused checks that a permanent refusal fails immediately with the server's code.
func TestSend_refused(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	g.OnSend = func(*websocket.Conn, frame.Client) (apierr.Code, bool) { return apierr.Forbidden, false }
	r := g.run(func(cfg *client.Config) { cfg.MaxPending = 2 })
	r.online(1)
	ack, err := r.Send(t.Context(), client.ToChannel(c), "x")
	if apierr.CodeOf(err) != apierr.Forbidden {
		t.Errorf("Send = %v", err)
	}
	got := r.until("the failure", func(got []client.Event) bool { return len(all[client.Status](got)) >= 2 })
	if s := all[client.Status](got); s[0].State != client.Pending || s[1].State != client.Failed || s[1].ClientID != ack.ClientID || apierr.CodeOf(s[1].Err) != apierr.Forbidden {
		t.Errorf("statuses: %+v", s)
	}
	g.OnSend = func(*websocket.Conn, frame.Client) (apierr.Code, bool) { return "", true } // never answered
	for range 2 {
		if _, err := r.Post(client.ToChannel(c), "x"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Post(client.ToChannel(c), "x"); !errors.Is(err, client.ErrFull) {
		t.Errorf("Post = %v", err)
	}
}

// TestSend_keepsTheRateLimit checks that the client stays below the limit that the server
// announces, because a user who exceeds it is blocked for much longer.
func TestSend_keepsTheRateLimit(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	g.Greet = func(conn *websocket.Conn) bool {
		g.Conns[conn] = map[chat.ChannelID]bool{}
		g.Send(conn, frame.Encode(frame.Hello{
			UserID: user, Limits: frame.Limits{RateMessages: 3, RateSeconds: 1},
			Channels: []frame.ChannelSummary{{ChannelID: c, Epoch: g.Epoch}},
		}))
		return false
	}
	var times []time.Time
	g.OnSend = func(*websocket.Conn, frame.Client) (apierr.Code, bool) {
		times = append(times, time.Now())
		return "", false
	}
	r := g.run(nil)
	r.online(1)
	for range 7 {
		if _, err := r.Send(t.Context(), client.ToChannel(c), "x"); err != nil {
			t.Fatal(err)
		}
	}
	for i := 3; i < len(times); i++ {
		if d := times[i].Sub(times[i-3]); d < time.Second {
			t.Errorf("sends %d to %d within %v", i-3, i, d)
		}
	}
}

func TestStates_String(t *testing.T) {
	t.Parallel()
	if got := fmt.Sprint(client.Pending, client.Sent, client.Delivered, client.Read, client.Failed, client.State(9), client.Offline); got != "pending sent delivered read failed failed offline" {
		t.Error(got)
	}
}
