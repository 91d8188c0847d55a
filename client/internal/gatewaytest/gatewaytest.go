// Package gatewaytest provides a fake server that can fail on demand, for tests of the SDK and of
// its programs. The tests in e2e use real servers, which cannot fail on demand. Only test files
// import the package.
package gatewaytest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// Timeout limits every wait in a test. It is long because the machine may be under heavy load.
const Timeout = 2 * time.Minute

// Gateway is a fake server with one user and small limits. It implements the protocol in
// docs/websocket.md. A test may set the function fields before a client connects. All of these
// functions except REST are called with Mu held.
type Gateway struct {
	URL    string
	User   chat.UserID // the user of every connection
	t      testing.TB
	server *httptest.Server

	Mu       sync.Mutex // guards the fields below
	Epoch    string
	Log      map[chat.ChannelID][]frame.Event
	Conns    map[*websocket.Conn]map[chat.ChannelID]bool // subscriptions
	Sends    []chat.ClientID                             // client ids received, including duplicates
	Frames   []frame.Client                              // every received frame
	Tokens   []string                                    // tokens of the upgrade requests
	Requests int                                         // for events
	Replay   int64                                       // maximum number of events to replay; if there are more, has_more is set
	Acks     map[chat.ClientID]frame.Ack                 // acks of all messages, to recognize duplicates

	Upgrade func(w http.ResponseWriter, r *http.Request) bool // returns true if it answered the upgrade request
	REST    func(w http.ResponseWriter, r *http.Request) bool // returns true if it answered the REST request
	Greet   func(conn *websocket.Conn) bool                   // returns false to send no hello
	Hello   func(conn *websocket.Conn, h *frame.Hello)        // changes a hello
	OnAsk   func(p frame.ChannelPosition) apierr.Code         // refuses a subscription, or returns ""
	// OnSend decides the reply to a frame. It returns an error code to refuse the frame, or true to
	// send no reply.
	OnSend  func(conn *websocket.Conn, f frame.Client) (apierr.Code, bool)
	OnFrame func(conn *websocket.Conn, f frame.Client) // handles a frame whose type is unknown
}

// New returns a running gateway with the given channels. The gateway stops when the test ends.
func New(t testing.TB, channels ...chat.ChannelID) *Gateway {
	t.Helper()
	g := Start(channels...)
	g.t = t
	t.Cleanup(g.Close)
	return g
}

// Start is like New for examples, which have no testing.TB. The caller must call Close.
func Start(channels ...chat.ChannelID) *Gateway {
	g := &Gateway{
		User: chat.NewUserID(), Epoch: "1-a", Log: map[chat.ChannelID][]frame.Event{}, Acks: map[chat.ClientID]frame.Ack{},
		Conns: map[*websocket.Conn]map[chat.ChannelID]bool{}, Replay: 1000,
	}
	for _, c := range channels {
		g.Log[c] = nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws", g.socket)
	mux.HandleFunc("GET /v1/channels/{id}/events", g.events)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.Mu.Lock()
		rest := g.REST
		g.Mu.Unlock()
		if r.URL.Path == "/ws" || rest == nil || !rest(w, r) {
			mux.ServeHTTP(w, r)
		}
	}))
	g.URL, g.server = server.URL, server
	return g
}

// Close closes all connections and stops the gateway.
func (g *Gateway) Close() {
	g.Cut("")
	g.server.Close()
}

// Cut closes all connections. If a code is given, it sends a close frame first.
func (g *Gateway) Cut(reason string, code ...int) {
	g.Mu.Lock()
	defer g.Mu.Unlock()
	for conn := range g.Conns {
		if len(code) > 0 {
			_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code[0], reason), time.Now().Add(time.Second))
		}
		_ = conn.Close()
		delete(g.Conns, conn)
	}
}

func (g *Gateway) events(w http.ResponseWriter, r *http.Request) {
	id, _ := chat.ParseChannelID(r.PathValue("id"))
	after, _ := strconv.ParseInt(r.URL.Query().Get("after_seq"), 10, 64)
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	g.Mu.Lock()
	defer g.Mu.Unlock()
	g.Requests++
	var items []json.RawMessage
	for _, e := range g.Log[id][min(after, int64(len(g.Log[id]))):] {
		if len(items) < limit {
			b, _ := e.Encode()
			items = append(items, b)
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"items": items, "next_cursor": nil})
}

// With calls do with g.Mu held.
func (g *Gateway) With(do func()) {
	g.Mu.Lock()
	defer g.Mu.Unlock()
	do()
}

// Push sends each frame to all connections, as a WebSocket message of its own.
func (g *Gateway) Push(frames ...[]byte) {
	g.Mu.Lock()
	defer g.Mu.Unlock()
	for conn := range g.Conns {
		for _, data := range frames {
			g.Send(conn, data)
		}
	}
}

// Put assigns new ids and the next seqs to events, appends them to the channel's log, and sends
// them to all subscribed connections. It returns the id of the last event.
func (g *Gateway) Put(c chat.ChannelID, events ...frame.Event) (id chat.EventID) {
	g.Mu.Lock()
	defer g.Mu.Unlock()
	for _, e := range events {
		e.ChannelID, e.Seq, e.ID, e.SentAt = c, int64(len(g.Log[c])+1), chat.NewEventID(), chat.Now()
		g.Log[c] = append(g.Log[c], e)
		b, err := e.Encode()
		if err != nil {
			g.t.Fatal(err)
		}
		for conn, subs := range g.Conns {
			if subs[c] {
				g.Send(conn, b)
			}
		}
		id = e.ID
	}
	return id
}

// Received returns the frames of the given types that the gateway has received, in order.
func (g *Gateway) Received(types ...frame.Type) (frames []frame.Client) {
	g.Mu.Lock()
	defer g.Mu.Unlock()
	for _, f := range g.Frames {
		if slices.Contains(types, f.Type) {
			frames = append(frames, f)
		}
	}
	return frames
}

// Await waits until the gateway has received n frames of the given type, and returns them.
func (g *Gateway) Await(n int, typ frame.Type) []frame.Client {
	g.t.Helper()
	var frames []frame.Client
	g.Until(fmt.Sprintf("%d %s frames", n, typ), func() bool {
		frames = g.Received(typ)
		return len(frames) >= n
	})
	return frames
}

// Until waits for a condition.
func (g *Gateway) Until(what string, is func() bool) {
	g.t.Helper()
	for deadline := time.Now().Add(Timeout); !is(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatalf("%s: not after %v", what, Timeout)
		}
	}
}

func (g *Gateway) socket(w http.ResponseWriter, r *http.Request) {
	g.Mu.Lock()
	answered := g.Upgrade != nil && g.Upgrade(w, r)
	g.Mu.Unlock()
	if answered {
		return
	}
	conn, err := (&websocket.Upgrader{Subprotocols: []string{frame.Subprotocol}}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	g.Mu.Lock()
	g.Tokens = append(g.Tokens, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if r.URL.Query().Get("subscribe") != "none" {
		g.t.Error("the client lets the server subscribe")
	}
	if g.Greet == nil || g.Greet(conn) {
		g.Conns[conn] = map[chat.ChannelID]bool{}
		hello := frame.Hello{UserID: g.User, HeartbeatSeconds: 25}
		for c, log := range g.Log {
			hello.Channels = append(hello.Channels, frame.ChannelSummary{ChannelID: c, Kind: chat.Public, LastSeq: int64(len(log)), Epoch: g.Epoch})
		}
		if g.Hello != nil {
			g.Hello(conn, &hello)
		}
		g.Send(conn, frame.Encode(hello))
	}
	g.Mu.Unlock()
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

// Send sends a frame to a connection. g.Mu must be held.
func (g *Gateway) Send(conn *websocket.Conn, data []byte) {
	_ = conn.WriteMessage(websocket.TextMessage, data) // fails only if the client has disconnected
}

func (g *Gateway) take(conn *websocket.Conn, f frame.Client) {
	g.Mu.Lock()
	defer g.Mu.Unlock()
	g.Frames = append(g.Frames, f)
	switch f.Type {
	case frame.Subscribe:
		for _, p := range f.Positions() {
			g.subscribe(conn, f.Ref, p)
		}
	case frame.Unsubscribe:
		delete(g.Conns[conn], *f.ChannelID)
	case frame.Send:
		g.Sends = append(g.Sends, *f.ClientID)
		if g.OnSend != nil {
			if code, silent := g.OnSend(conn, f); silent {
				return
			} else if code != "" {
				g.Send(conn, frame.Encode(frame.Error{Ref: f.Ref, Code: code, RetryAfterMS: 5}))
				return
			}
		}
		ack := g.Append(f)
		ack.Ref = f.Ref
		g.Send(conn, frame.Encode(ack))
	default:
		if g.OnFrame != nil {
			g.OnFrame(conn, f)
		}
	}
}

func (g *Gateway) subscribe(conn *websocket.Conn, ref string, p frame.ChannelPosition) {
	if g.OnAsk != nil {
		if code := g.OnAsk(p); code != "" {
			g.Send(conn, frame.Encode(frame.Error{Ref: ref, Code: code, ChannelID: &p.ChannelID}))
			return
		}
	}
	log := g.Log[p.ChannelID]
	last, seen := int64(len(log)), *p.LastSeenSeq
	answer := frame.Subscribed{Ref: ref, ChannelID: p.ChannelID, LastSeq: last, Epoch: g.Epoch, Recovered: true}
	subs := g.Conns[conn]
	if subs == nil {
		return
	}
	subs[p.ChannelID] = true
	switch {
	case p.Epoch != g.Epoch || seen > last:
		g.Send(conn, frame.Encode(frame.Resync{Ref: ref, ChannelID: p.ChannelID, Epoch: g.Epoch, LastSeq: last}))
		return
	case last-seen > g.Replay:
		answer.Recovered, answer.HasMore = false, true
		seen = last
	}
	g.Send(conn, frame.Encode(answer))
	for _, e := range log[seen:] {
		b, _ := e.Encode()
		g.Send(conn, b)
	}
}

// Append adds a message to the log and sends it to all subscribed connections. If the log already
// contains the message, Append returns the earlier ack, marked as a duplicate. g.Mu must be held.
func (g *Gateway) Append(f frame.Client) frame.Ack {
	if ack, again := g.Acks[*f.ClientID]; again {
		ack.Duplicate = true
		return ack
	}
	c := *f.ChannelID
	e := frame.Event{
		Type: event.Message, ChannelID: c, Seq: int64(len(g.Log[c]) + 1), ID: chat.NewEventID(), ClientID: f.ClientID,
		SenderID: g.User, Body: *f.Body, SentAt: chat.Now(),
	}
	g.Log[c] = append(g.Log[c], e)
	ack := frame.Ack{ChannelID: c, ClientID: *f.ClientID, ID: e.ID, Seq: e.Seq, SentAt: e.SentAt}
	g.Acks[*f.ClientID] = ack
	b, _ := e.Encode()
	for conn, subs := range g.Conns {
		if subs[c] {
			g.Send(conn, b)
		}
	}
	return ack
}

// Say appends n messages, as if the user had sent them from another client.
func (g *Gateway) Say(c chat.ChannelID, n int) {
	g.Mu.Lock()
	defer g.Mu.Unlock()
	for range n {
		id, body := chat.NewClientID(), "said elsewhere"
		g.Append(frame.Client{ChannelID: &c, ClientID: &id, Body: &body})
	}
}
