package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"parley.chat/client"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// waitTimeout bounds every wait in a test. It is long, because the machine may be very busy.
const waitTimeout = 2 * time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var user = chat.NewUserID()

// gateway is a fake server that can fail on demand, unlike the real services that e2e uses. It
// follows docs/websocket.md, with one user and small limits.
type gateway struct {
	t      *testing.T
	url    string
	server *httptest.Server

	mu     sync.Mutex
	epoch  string
	log    map[chat.ChannelID][]frame.Event
	acks   map[chat.ClientID]frame.Ack
	conns  map[*websocket.Conn]map[chat.ChannelID]bool // subscriptions
	sends  []chat.ClientID                             // received frames, including duplicates
	tokens []string
	replay int64 // number of events to replay; if there are more, has_more is set
	greet  func(conn *websocket.Conn) bool
	// onSend returns an error code to refuse the frame, or true to send no answer.
	onSend   func(conn *websocket.Conn, f frame.Client) (apierr.Code, bool)
	onAsk    func(p frame.ChannelPosition) apierr.Code
	onFrame  func(conn *websocket.Conn, f frame.Client)        // a frame of a type that the gateway does not know
	upgrade  func(w http.ResponseWriter, r *http.Request) bool // answers a request for a WebSocket itself, or returns false
	rest     func(w http.ResponseWriter, r *http.Request) bool // answers a REST request itself, or returns false; without g.mu
	hello    func(conn *websocket.Conn, h *frame.Hello)        // changes a hello
	frames   []frame.Client                                    // every received frame
	requests int
}

func newGateway(t *testing.T, channels ...chat.ChannelID) *gateway {
	t.Helper()
	g := startGateway(channels...)
	g.t = t
	t.Cleanup(g.close)
	return g
}

// exampleGateway is a gateway for an example.
func exampleGateway() (*gateway, chat.ChannelID) {
	c := chat.NewChannelID()
	return startGateway(c), c
}

func startGateway(channels ...chat.ChannelID) *gateway {
	g := &gateway{
		epoch: "1-a", log: map[chat.ChannelID][]frame.Event{}, acks: map[chat.ClientID]frame.Ack{},
		conns: map[*websocket.Conn]map[chat.ChannelID]bool{}, replay: 1000,
	}
	for _, c := range channels {
		g.log[c] = nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws", g.socket)
	mux.HandleFunc("GET /v1/channels/{id}/events", g.events)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		rest := g.rest
		g.mu.Unlock()
		if r.URL.Path == "/ws" || rest == nil || !rest(w, r) {
			mux.ServeHTTP(w, r)
		}
	}))
	g.url, g.server = server.URL, server
	return g
}

func (g *gateway) close() {
	g.cut("")
	g.server.Close()
}

// cut closes all connections, with a close frame unless reason is empty.
func (g *gateway) cut(reason string, code ...int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for conn := range g.conns {
		if len(code) > 0 {
			_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code[0], reason), time.Now().Add(time.Second))
		}
		_ = conn.Close()
		delete(g.conns, conn)
	}
}

func (g *gateway) events(w http.ResponseWriter, r *http.Request) {
	id, _ := chat.ParseChannelID(r.PathValue("id"))
	after, _ := strconv.ParseInt(r.URL.Query().Get("after_seq"), 10, 64)
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.requests++
	var items []json.RawMessage
	for _, e := range g.log[id][min(after, int64(len(g.log[id]))):] {
		if len(items) < limit {
			b, _ := e.Encode()
			items = append(items, b)
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"items": items, "next_cursor": nil})
}

// with calls do with g.mu held.
func (g *gateway) with(do func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	do()
}

// push sends frames to all connections, each as one WebSocket message.
func (g *gateway) push(frames ...[]byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for conn := range g.conns {
		for _, data := range frames {
			g.send(conn, data)
		}
	}
}

// put appends events to the log, with the next seqs, and sends them to all subscriptions.
func (g *gateway) put(c chat.ChannelID, events ...frame.Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range events {
		e.ChannelID, e.Seq, e.ID, e.SentAt = c, int64(len(g.log[c])+1), chat.NewEventID(), chat.Now()
		g.log[c] = append(g.log[c], e)
		b, err := e.Encode()
		if err != nil {
			g.t.Fatal(err)
		}
		for conn, subs := range g.conns {
			if subs[c] {
				g.send(conn, b)
			}
		}
	}
}

// received returns the received frames of some types, in order.
func (g *gateway) received(types ...frame.Type) (frames []frame.Client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range g.frames {
		if slices.Contains(types, f.Type) {
			frames = append(frames, f)
		}
	}
	return frames
}

// await waits until n frames of a type have been received, and returns them.
func (g *gateway) await(n int, typ frame.Type) []frame.Client {
	g.t.Helper()
	var frames []frame.Client
	g.until(fmt.Sprintf("%d %s frames", n, typ), func() bool {
		frames = g.received(typ)
		return len(frames) >= n
	})
	return frames
}

// until waits for a condition.
func (g *gateway) until(what string, is func() bool) {
	g.t.Helper()
	for deadline := time.Now().Add(waitTimeout); !is(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatalf("%s: not after %v", what, waitTimeout)
		}
	}
}

func (g *gateway) socket(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	answered := g.upgrade != nil && g.upgrade(w, r)
	g.mu.Unlock()
	if answered {
		return
	}
	conn, err := (&websocket.Upgrader{Subprotocols: []string{frame.Subprotocol}}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	g.mu.Lock()
	g.tokens = append(g.tokens, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if r.URL.Query().Get("subscribe") != "none" {
		g.t.Error("the client lets the server subscribe")
	}
	if g.greet == nil || g.greet(conn) {
		g.conns[conn] = map[chat.ChannelID]bool{}
		hello := frame.Hello{UserID: user, HeartbeatSeconds: 25}
		for c, log := range g.log {
			hello.Channels = append(hello.Channels, frame.ChannelSummary{ChannelID: c, Kind: chat.Public, LastSeq: int64(len(log)), Epoch: g.epoch})
		}
		if g.hello != nil {
			g.hello(conn, &hello)
		}
		g.send(conn, frame.Encode(hello))
	}
	g.mu.Unlock()
	for {
		_, data, err := conn.ReadMessage()
		if err != nil {
			return
		}
		frame.Decode(data, func(f *frame.Client, err error) {
			if err != nil {
				g.t.Errorf("the client sends %s: %v", data, err)
				return
			}
			g.take(conn, *f)
		})
	}
}

func (g *gateway) send(conn *websocket.Conn, data []byte) {
	_ = conn.WriteMessage(websocket.TextMessage, data) // fails only if the client has disconnected
}

func (g *gateway) take(conn *websocket.Conn, f frame.Client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.frames = append(g.frames, f)
	switch f.Type {
	case frame.Subscribe:
		for _, p := range f.Positions() {
			g.subscribe(conn, f.Ref, p)
		}
	case frame.Unsubscribe:
		delete(g.conns[conn], *f.ChannelID)
	case frame.Send:
		g.sends = append(g.sends, *f.ClientID)
		if g.onSend != nil {
			if code, silent := g.onSend(conn, f); silent {
				return
			} else if code != "" {
				g.send(conn, frame.Encode(frame.Error{Ref: f.Ref, Code: code, RetryAfterMS: 5}))
				return
			}
		}
		ack := g.append(f)
		ack.Ref = f.Ref
		g.send(conn, frame.Encode(ack))
	default:
		if g.onFrame != nil {
			g.onFrame(conn, f)
		}
	}
}

func (g *gateway) subscribe(conn *websocket.Conn, ref string, p frame.ChannelPosition) {
	if g.onAsk != nil {
		if code := g.onAsk(p); code != "" {
			g.send(conn, frame.Encode(frame.Error{Ref: ref, Code: code, ChannelID: &p.ChannelID}))
			return
		}
	}
	log := g.log[p.ChannelID]
	last, seen := int64(len(log)), *p.LastSeenSeq
	answer := frame.Subscribed{Ref: ref, ChannelID: p.ChannelID, LastSeq: last, Epoch: g.epoch, Recovered: true}
	subs := g.conns[conn]
	if subs == nil {
		return
	}
	subs[p.ChannelID] = true
	switch {
	case p.Epoch != g.epoch || seen > last:
		g.send(conn, frame.Encode(frame.Resync{Ref: ref, ChannelID: p.ChannelID, Epoch: g.epoch, LastSeq: last}))
		return
	case last-seen > g.replay:
		answer.Recovered, answer.HasMore = false, true
		seen = last
	}
	g.send(conn, frame.Encode(answer))
	for _, e := range log[seen:] {
		b, _ := e.Encode()
		g.send(conn, b)
	}
}

// append adds a message to the log, unless it is already there, and sends it to all connections.
// g.mu must be held.
func (g *gateway) append(f frame.Client) frame.Ack {
	if ack, again := g.acks[*f.ClientID]; again {
		ack.Duplicate = true
		return ack
	}
	c := *f.ChannelID
	e := frame.Event{
		Type: event.Message, ChannelID: c, Seq: int64(len(g.log[c]) + 1), ID: chat.NewEventID(), ClientID: f.ClientID,
		SenderID: user, Body: *f.Body, SentAt: chat.Now(),
	}
	g.log[c] = append(g.log[c], e)
	ack := frame.Ack{ChannelID: c, ClientID: *f.ClientID, ID: e.ID, Seq: e.Seq, SentAt: e.SentAt}
	g.acks[*f.ClientID] = ack
	b, _ := e.Encode()
	for conn, subs := range g.conns {
		if subs[c] {
			g.send(conn, b)
		}
	}
	return ack
}

// say appends messages from another user.
func (g *gateway) say(c chat.ChannelID, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for range n {
		id, body := chat.NewClientID(), "said elsewhere"
		g.append(frame.Client{ChannelID: &c, ClientID: &id, Body: &body})
	}
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
	cfg := client.Config{URL: g.url, Tokens: client.StaticToken("good"), HTTP: &http.Client{Transport: transport}}
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
			rnd := rand.New(rand.NewPCG(seed, 1)) // under g.mu
			c, other := chat.NewChannelID(), chat.NewChannelID()
			g := newGateway(t, c, other)
			g.replay = int64(1 + rnd.IntN(20))
			g.onSend = func(conn *websocket.Conn, f frame.Client) (apierr.Code, bool) {
				switch rnd.IntN(25) {
				case 0: // the acknowledgement is lost
					g.append(f)
					_ = conn.Close()
					delete(g.conns, conn)
					return "", true
				case 1: // the send is lost
					_ = conn.Close()
					delete(g.conns, conn)
					return "", true
				case 2:
					return apierr.Unavailable, false
				case 3:
					return apierr.RateLimited, false
				case 4: // other users send messages
					for range rnd.IntN(50) {
						id, body := chat.NewClientID(), "said elsewhere"
						g.append(frame.Client{ChannelID: &c, ClientID: &id, Body: &body})
					}
				}
				return "", false
			}
			g.onAsk = func(frame.ChannelPosition) apierr.Code {
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
			g.mu.Lock()
			n := int64(len(g.log[c]))
			mine := map[chat.ClientID]int{}
			for _, e := range g.log[c] {
				if e.Body != "said elsewhere" {
					mine[*e.ClientID]++
				}
			}
			g.mu.Unlock()
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
