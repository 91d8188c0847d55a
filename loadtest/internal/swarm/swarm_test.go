package swarm_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"parley.chat/loadtest/internal/swarm"
	"parley.chat/loadtest/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server that handles each connection with do, and returns its address.
func serve(t *testing.T, do func(*websocket.Conn)) string {
	t.Helper()
	var up websocket.Upgrader
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		do(c)
		_, _, _ = c.ReadMessage() // until the client disconnects
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func newLoop(t *testing.T, addr string, clients int) *swarm.Loop {
	t.Helper()
	l, err := swarm.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := l.Aim(addr); err != nil {
		t.Fatal(err)
	}
	for range clients {
		l.Add(0, wire.Upgrade(addr, "/", ""))
	}
	return l
}

func message(seq int, padding int) string {
	return fmt.Sprintf(`{"type":"message","channel_id":"c","seq":%d,"body":"%d %s"}`, seq, time.Now().UnixNano(), strings.Repeat("x", padding))
}

func until(t *testing.T, l *swarm.Loop, done func() bool) {
	t.Helper()
	if err := l.Run(context.Background(), 10*time.Second, done); err != nil {
		t.Fatal(err)
	}
	if !done() {
		t.Fatalf("not in time: %+v", l.Tally.Closes)
	}
}

func TestLoop_countsWhatComes(t *testing.T) {
	addr := serve(t, func(c *websocket.Conn) {
		say := func(text string) { _ = c.WriteMessage(websocket.TextMessage, []byte(text)) }
		say(`{"type":"hello"}`)
		say(message(5, 0))
		say(message(6, 70_000) + "\n" + message(7, 3)) // larger than one read
		say(message(9, 0))                             // a hole
		say(message(8, 0))                             // and a repeat
		say(`{"type":"ack","ref":"12"}` + "\n" + message(10, 0))
		_ = c.WriteControl(websocket.PingMessage, []byte("?"), time.Now().Add(time.Second))
		say(`{"type":"error","code":"internal"}`)
	})
	l := newLoop(t, addr, 20)
	if err := l.DialAll(context.Background(), l.Conns, 3, false, 10*time.Second); err != nil && l.Tally.Errors == 0 {
		t.Fatal(err)
	}
	for _, c := range l.Conns { // an error frame ends DialAll, so dial the rest
		if !c.Open() {
			_ = l.Dial(c)
		}
	}
	until(t, l, func() bool { return l.Tally.Errors == 20 })
	got := &l.Tally
	if got.Deliveries != 20*5 || got.Holes != 20 || got.Repeats != 20 || got.Acks != 20 || l.Opened() != 20 {
		t.Errorf("deliveries %d, holes %d, repeats %d, acks %d, open %d", got.Deliveries, got.Holes, got.Repeats, got.Acks, l.Opened())
	}
	if got.Latency.Count() != got.Deliveries || got.Latency.Max() > 10*time.Second {
		t.Errorf("%d latencies, the longest %v", got.Latency.Count(), got.Latency.Max())
	}
	if !l.Conns[3].Greeted || l.Conns[3].Next != 11 {
		t.Errorf("connection: %+v", l.Conns[3])
	}
}

func TestLoop_closeCode(t *testing.T) {
	addr := serve(t, func(c *websocket.Conn) {
		_ = c.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4008, "slow"))
	})
	l := newLoop(t, addr, 1)
	if err := l.Dial(l.Conns[0]); err != nil {
		t.Fatal(err)
	}
	until(t, l, func() bool { return l.Tally.Closes[4008] == 1 })
	if l.Opened() != 0 || l.Tally.Errors != 0 {
		t.Errorf("open %d, errors %d", l.Opened(), l.Tally.Errors)
	}
}

func TestLoop_upgradeRefused(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	l := newLoop(t, strings.TrimPrefix(server.URL, "http://"), 1)
	err := l.DialAll(context.Background(), l.Conns, 1, false, 10*time.Second)
	if err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("DialAll = %v, want the status", err)
	}
}

func TestLoop_paceKeepsItsRate(t *testing.T) {
	l := newLoop(t, "127.0.0.1:1", 0)
	var dues []int64
	l.Pace(50, time.Millisecond, func(i int, due int64) {
		if i != len(dues) || due > l.Now() {
			t.Errorf("send %d, due in %d ns", i, due-l.Now())
		}
		dues = append(dues, due)
	})
	until(t, l, func() bool { return l.Unsent() == 0 })
	for i := 1; i < len(dues); i++ {
		if dues[i]-dues[i-1] != int64(time.Millisecond) {
			t.Fatalf("send %d is due %d ns after the one before", i, dues[i]-dues[i-1])
		}
	}
}

// TestLoop_manyChannels checks a client that is in several channels: it has a position in each, and
// the latency of events that are replayed after a reconnection is not measured.
func TestLoop_manyChannels(t *testing.T) {
	const a, b = "0b5ae5a4-9d1c-4a4e-9f0e-3a1c7a2f9c11", "1b5ae5a4-9d1c-4a4e-9f0e-3a1c7a2f9c11"
	said := func(channel string, seq int) string {
		return fmt.Sprintf(`{"type":"message","channel_id":"%s","seq":%d,"body":"%d x"}`, channel, seq, time.Now().UnixNano())
	}
	addr := serve(t, func(c *websocket.Conn) {
		say := func(text string) { _ = c.WriteMessage(websocket.TextMessage, []byte(text)) }
		missed := said(a, 1)
		say(missed + "\n" + `{"type":"subscribed"}`)
		say(missed)                         // a repeat
		say(said(a, 2) + "\n" + said(b, 3)) // two events of b were skipped
		say(said("2"+a[1:], 1))             // a channel that the client is not in
		say(`{"type":"ack","ref":"1"}`)     // the last frame
		_, _, _ = c.ReadMessage()
	})
	l := newLoop(t, addr, 1)
	l.Index = map[wire.ChannelID]int{wire.ChannelID([]byte(a)): 0, wire.ChannelID([]byte(b)): 7}
	c := l.Conns[0]
	c.Positions = []swarm.Position{{Channel: 0, Next: 1}, {Channel: 7, Next: 1}}
	c.Live = l.Now() + int64(time.Hour) // until the client has subscribed to it
	if err := l.Dial(c); err != nil {
		t.Fatal(err)
	}
	until(t, l, func() bool { return l.Tally.Acks == 1 })
	if tally := &l.Tally; tally.Deliveries != 3 || tally.Repeats != 1 || tally.Holes != 2 || tally.Errors != 1 {
		t.Errorf("deliveries %d, repeats %d, holes %d, errors %d (%s)", tally.Deliveries, tally.Repeats, tally.Holes, tally.Errors, tally.FirstError)
	}
	if c.Positions[0].Next != 3 || c.Positions[1].Next != 4 {
		t.Errorf("positions: %+v", c.Positions)
	}
	if n := l.Tally.Latency.Count(); n > 2 {
		t.Errorf("%d latencies: replayed events must have none", n)
	}
}
