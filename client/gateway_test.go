package client_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"parley.chat/client"
	"parley.chat/client/internal/gatewaytest"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

const waitTimeout = gatewaytest.Timeout

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var user = chat.NewUserID()

// gateway is a fake server to which the test connects clients of one user.
type gateway struct {
	*gatewaytest.Gateway
	t *testing.T
}

func newGateway(t *testing.T, channels ...chat.ChannelID) *gateway {
	t.Helper()
	g := &gateway{gatewaytest.New(t, channels...), t}
	g.User = user
	return g
}

// running is a running client and the events that it has delivered.
type running struct {
	*client.Client
	t    *testing.T
	stop func()       // cancels the context of Run
	end  func() error // waits for Run and returns its error

	mu  sync.Mutex
	got []client.Event
}

func (g *gateway) run(change func(*client.Config)) *running {
	g.t.Helper()
	return g.runAt(time.Now, change)
}

func (g *gateway) runAt(now func() time.Time, change func(*client.Config)) *running {
	g.t.Helper()
	c, release := g.client(now, change)
	return g.start(c, release)
}

// client returns a client of the gateway that is not running yet, and a function that closes its
// REST connections.
func (g *gateway) client(now func() time.Time, change func(*client.Config)) (c *client.Client, release func()) {
	g.t.Helper()
	transport := &http.Transport{}
	cfg := client.Config{URL: g.URL, Tokens: client.StaticToken("good"), HTTP: &http.Client{Transport: transport}}
	if change != nil {
		change(&cfg)
	}
	c, err := client.New(client.WithClock(cfg, now))
	if err != nil {
		g.t.Fatal(err)
	}
	return c, transport.CloseIdleConnections
}

// start runs a client and reads its events.
func (g *gateway) start(c *client.Client, release func()) *running {
	r := &running{Client: c, t: g.t}
	ctx, cancel := context.WithCancel(context.Background())
	ended, taken := make(chan error, 1), make(chan struct{})
	go func() { ended <- c.Run(ctx) }()
	go func() {
		defer close(taken)
		for e := range c.Events() {
			r.mu.Lock()
			r.got = append(r.got, e)
			r.mu.Unlock()
		}
	}()
	wait := sync.OnceValue(func() error {
		err := <-ended
		<-taken
		release()
		return err
	})
	r.stop, r.end = cancel, wait
	g.t.Cleanup(func() {
		cancel()
		_ = wait()
	})
	return r
}

// until waits for a condition on the delivered events.
func (r *running) until(what string, is func(got []client.Event) bool) []client.Event {
	r.t.Helper()
	for deadline := time.Now().Add(waitTimeout); ; {
		r.mu.Lock()
		got := append([]client.Event(nil), r.got...)
		r.mu.Unlock()
		if is(got) {
			return got
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: not after %v: %+v", what, waitTimeout, got[max(0, len(got)-10):])
		}
		<-time.After(time.Millisecond)
	}
}

// all returns the delivered events of one type.
func all[E client.Event](got []client.Event) (of []E) {
	for _, e := range got {
		if e, ok := e.(E); ok {
			of = append(of, e)
		}
	}
	return of
}

func (r *running) online(n int) {
	r.t.Helper()
	r.until(fmt.Sprintf("online %d times", n), func(got []client.Event) bool {
		times := 0
		for _, c := range all[client.Connection](got) {
			if c.State == client.Online {
				times++
			}
		}
		return times >= n
	})
}

// inOrder checks that the events of a channel are 1 … n, once each.
func inOrder(t *testing.T, got []client.Event, c chat.ChannelID, first, n int64) {
	t.Helper()
	next := first
	for _, e := range all[client.ChannelEvent](got) {
		if e.ChannelID != c {
			continue
		}
		if e.Seq != next {
			t.Fatalf("seq %d comes where %d is next: a hole or a repeat", e.Seq, next)
		}
		next++
	}
	if next != first+n {
		t.Fatalf("%d events have come, want %d", next-first, n)
	}
}

// TestFaults injects random faults at random moments. Every send must be settled once, the log must
// contain each message once, and the caller must get the events 1 … n.
func TestFaults(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 1)) // under g.Mu
			c, other := chat.NewChannelID(), chat.NewChannelID()
			g := newGateway(t, c, other)
			g.Replay = int64(1 + rnd.IntN(20))
			g.OnSend = func(conn *websocket.Conn, f frame.Client) (apierr.Code, bool) {
				switch rnd.IntN(25) {
				case 0: // the acknowledgement is lost
					g.Append(f)
					_ = conn.Close()
					delete(g.Conns, conn)
					return "", true
				case 1: // the send is lost
					_ = conn.Close()
					delete(g.Conns, conn)
					return "", true
				case 2:
					return apierr.Unavailable, false
				case 3:
					return apierr.RateLimited, false
				case 4: // other users send messages
					for range rnd.IntN(50) {
						id, body := chat.NewClientID(), "said elsewhere"
						g.Append(frame.Client{ChannelID: &c, ClientID: &id, Body: &body})
					}
				}
				return "", false
			}
			g.OnAsk = func(frame.ChannelPosition) apierr.Code {
				if rnd.IntN(10) == 0 {
					return apierr.Unavailable
				}
				return ""
			}
			r := g.run(func(cfg *client.Config) { cfg.Buffer = 1 + rnd.IntN(20) })
			r.online(1)
			const senders, each = 4, 50
			var wg sync.WaitGroup
			for range senders {
				wg.Go(func() {
					for i := range each {
						ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
						if _, err := r.Send(ctx, client.ToChannel(c), strconv.Itoa(i)); err != nil {
							t.Errorf("send: %v", err)
						}
						cancel()
					}
				})
			}
			wg.Wait()
			g.Mu.Lock()
			n := int64(len(g.Log[c]))
			mine := map[chat.ClientID]int{}
			for _, e := range g.Log[c] {
				if e.Body != "said elsewhere" {
					mine[*e.ClientID]++
				}
			}
			g.Mu.Unlock()
			if len(mine) != senders*each {
				t.Errorf("the log has %d messages, want %d", len(mine), senders*each)
			}
			got := r.until("all events", func(got []client.Event) bool {
				events, sent := all[client.ChannelEvent](got), 0
				for _, s := range all[client.Status](got) {
					if s.State == client.Sent {
						sent++
					}
				}
				return len(events) > 0 && events[len(events)-1].Seq >= n && sent >= senders*each
			})
			inOrder(t, got, c, 1, n)
			settled := map[chat.ClientID]int{}
			for _, s := range all[client.Status](got) {
				if s.State == client.Sent {
					settled[s.ClientID]++
				} else if s.State == client.Failed {
					t.Errorf("failed: %+v", s)
				}
			}
			for id := range mine {
				if settled[id] != 1 {
					t.Errorf("%s has settled %d times", id, settled[id])
				}
			}
		})
	}
}
