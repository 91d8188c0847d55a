package client_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"parley.chat/client"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// positions returns a function that sets one position in a Config.
func positions(c chat.ChannelID, seq int64, epoch string) func(*client.Config) {
	return func(cfg *client.Config) {
		cfg.Positions = map[chat.ChannelID]client.Position{c: {Seq: seq, Epoch: epoch}}
	}
}

// TestResume checks how a channel is followed: from its newest event, from the caller's position,
// or with a Reset if the events in between cannot all be delivered.
func TestResume(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		change   func(chat.ChannelID) func(*client.Config)
		replay   int64
		first    int64  // the seq of the first event that is delivered
		from     int64  // in Joined
		reset    string // the Reset
		requests int    // REST requests
	}{
		{"a new channel", func(chat.ChannelID) func(*client.Config) { return nil }, 1000, 451, 450, "[]", 0},
		{"a position", func(c chat.ChannelID) func(*client.Config) { return positions(c, 40, "1-a") }, 1000, 41, 40, "[]", 0},
		{"a position at the end", func(c chat.ChannelID) func(*client.Config) { return positions(c, 450, "1-a") }, 1000, 451, 450, "[]", 0},
		{"a position that the server no longer replays", func(c chat.ChannelID) func(*client.Config) { return positions(c, 30, "1-a") }, 20, 31, 30, "[]", 3},
		{"another epoch", func(c chat.ChannelID) func(*client.Config) { return positions(c, 40, "0-z") }, 1000, 451, 40, "[{40 0-z}-{450 1-a} lost true]", 0},
		{"a position beyond the end", func(c chat.ChannelID) func(*client.Config) { return positions(c, 900, "1-a") }, 1000, 451, 900, "[{900 1-a}-{450 1-a} lost true]", 0},
		{"more than MaxCatchUp", func(c chat.ChannelID) func(*client.Config) {
			return func(cfg *client.Config) { positions(c, 40, "1-a")(cfg); cfg.MaxCatchUp = 409 }
		}, 20, 451, 40, "[{40 1-a}-{450 1-a} lost false]", 0},
		{"exactly MaxCatchUp", func(c chat.ChannelID) func(*client.Config) {
			return func(cfg *client.Config) { positions(c, 40, "1-a")(cfg); cfg.MaxCatchUp = 410 }
		}, 20, 41, 40, "[]", 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := chat.NewChannelID()
			g := newGateway(t, c)
			g.Replay = tt.replay
			g.Say(c, 450)
			r := g.run(tt.change(c))
			g.Await(1, frame.Subscribe)
			g.Say(c, 1) // live
			got := r.until("the newest event", func(got []client.Event) bool {
				events := all[client.ChannelEvent](got)
				return len(events) > 0 && events[len(events)-1].Seq == 451
			})
			inOrder(t, got, c, tt.first, 452-tt.first)
			if joined := all[client.Joined](got); len(joined) != 1 || joined[0].From.Seq != tt.from || joined[0].Channel.LastSeq != 450 {
				t.Errorf("joined: %+v", joined)
			}
			var resets []string
			for _, e := range all[client.Reset](got) {
				resets = append(resets, fmt.Sprint(e.From, "-", e.To, " lost ", e.Lost))
			}
			if fmt.Sprint(resets) != tt.reset {
				t.Errorf("resets %v, want %s", resets, tt.reset)
			}
			g.With(func() {
				if g.Requests != tt.requests {
					t.Errorf("%d requests, want %d", g.Requests, tt.requests)
				}
			})
		})
	}
}

// TestResync checks that a loss of writes is reported even while the client is connected, and
// before any event of the new epoch.
func TestResync(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	r := g.run(nil)
	g.Await(1, frame.Subscribe)
	g.Say(c, 5)
	r.until("events", func(got []client.Event) bool { return len(all[client.ChannelEvent](got)) == 5 })
	g.With(func() { g.Epoch, g.Log[c] = "2-b", g.Log[c][:3] })
	g.Push(frame.Encode(frame.Resync{ChannelID: c, Epoch: "2-b", LastSeq: 3}))
	g.Say(c, 1)
	got := r.until("an event of the new epoch", func(got []client.Event) bool { return len(all[client.ChannelEvent](got)) == 6 })
	last, ok := got[len(got)-1].(client.ChannelEvent)
	if !ok || last.Seq != 4 || last.Epoch != "2-b" {
		t.Errorf("the newest event is %+v, want seq 4 of the new epoch", got[len(got)-1])
	}
	want := client.Reset{ChannelID: c, From: client.Position{Seq: 5, Epoch: "1-a"}, To: client.Position{Seq: 3, Epoch: "2-b"}, Lost: true}
	if reset, ok := got[len(got)-2].(client.Reset); !ok || reset != want {
		t.Errorf("before it: %+v, want %+v", got[len(got)-2], want)
	}
	g.Cut("", 1012) // the new position is resumed
	r.online(2)
	asked := g.Await(2, frame.Subscribe)
	if p := asked[1].Positions()[0]; *p.LastSeenSeq != 4 || p.Epoch != "2-b" {
		t.Errorf("resumed from %d of %s", *p.LastSeenSeq, p.Epoch)
	}
}

// TestCatchUp_fails checks what happens if the missed events cannot be fetched: the client retries,
// subscribes again, or stops following the channel if the user is no longer a member.
func TestCatchUp_fails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		status int
		code   apierr.Code
		times  int // how often
		left   bool
	}{
		{"once", http.StatusServiceUnavailable, apierr.Unavailable, 1, false},
		{"as often as it tries before it asks the gateway again", http.StatusServiceUnavailable, apierr.Unavailable, 6, false},
		{"an error of a proxy", http.StatusBadGateway, "", 2, false},
		{"no longer a member", http.StatusForbidden, apierr.Forbidden, 100, true},
		{"the channel is gone", http.StatusNotFound, apierr.NotFound, 100, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := chat.NewChannelID()
			g := newGateway(t, c)
			g.Replay = 5
			g.Say(c, 30)
			failures := 0
			g.REST = func(w http.ResponseWriter, _ *http.Request) bool {
				g.Mu.Lock()
				defer g.Mu.Unlock()
				if failures++; failures > tt.times {
					return false
				}
				w.WriteHeader(tt.status)
				fmt.Fprintf(w, `{"code":%q}`, tt.code)
				return true
			}
			r := g.run(positions(c, 0, "1-a"))
			if tt.left {
				got := r.until("the end of the channel", func(got []client.Event) bool { return len(all[client.Left](got)) > 0 })
				if left := all[client.Left](got); left[0].ChannelID != c || apierr.CodeOf(left[0].Err) != tt.code || len(r.Channels()) != 0 {
					t.Errorf("left: %+v, channels %v", left, r.Channels())
				}
				return
			}
			got := r.until("all events", func(got []client.Event) bool { return len(all[client.ChannelEvent](got)) >= 30 })
			inOrder(t, got, c, 1, 30)
			asked := g.Await(2, frame.Subscribe)
			if first, second := *asked[0].Channels[0].LastSeenSeq, *asked[1].Channels[0].LastSeenSeq; first != 0 || second != map[bool]int64{true: 0, false: 30}[tt.times == 6] {
				t.Errorf("subscribed from %d and %d", first, second)
			}
		})
	}
}

// TestHello_manyChannels checks that the channels in hello_more are followed too, that the client
// subscribes to each channel once, and that no frame is too long.
func TestHello_manyChannels(t *testing.T) {
	t.Parallel()
	const n = frame.HelloChannels + 701
	channels := make([]frame.ChannelSummary, n)
	g := newGateway(t)
	for i := range channels {
		channels[i] = frame.ChannelSummary{ChannelID: chat.NewChannelID(), Kind: chat.Public, LastSeq: int64(i), Epoch: "1-a"}
	}
	missing := channels[5].ChannelID
	g.Greet = func(conn *websocket.Conn) bool {
		list := channels
		if len(g.Tokens) > 1 { // one channel is missing, but the list in hello is not complete
			list = append(channels[:5:5], channels[6:]...)
		}
		g.Conns[conn] = map[chat.ChannelID]bool{}
		g.Send(conn, frame.Encode(frame.Hello{UserID: user, Channels: list[:frame.HelloChannels]}))
		g.Send(conn, frame.Encode(frame.HelloMore{Channels: list[frame.HelloChannels:]}))
		return false
	}
	g.OnAsk = func(p frame.ChannelPosition) apierr.Code {
		if len(g.Tokens) > 1 && p.ChannelID == missing {
			return apierr.NotFound
		}
		return ""
	}
	asked := func(from int) map[chat.ChannelID]int64 {
		seen := map[chat.ChannelID]int64{}
		g.Until("all channels are asked for", func() bool {
			clear(seen)
			for _, f := range g.Received(frame.Subscribe)[from:] {
				if len(f.Channels) > 500 {
					t.Fatalf("%d channels in a frame", len(f.Channels))
				}
				for _, p := range f.Channels {
					if _, again := seen[p.ChannelID]; again {
						t.Fatalf("%s is asked for twice", p.ChannelID)
					}
					seen[p.ChannelID] = *p.LastSeenSeq
				}
			}
			return len(seen) >= n
		})
		return seen
	}
	r := g.run(nil)
	first := asked(0)
	for i, s := range channels {
		if seq, ok := first[s.ChannelID]; !ok || seq != int64(i) {
			t.Fatalf("channel %d is asked for from %d, %v", i, seq, ok)
		}
	}
	frames := len(g.Received(frame.Subscribe))
	g.Cut("", 1012)
	r.online(2)
	asked(frames)
	got := r.until("the channel that is missing", func(got []client.Event) bool { return len(all[client.Left](got)) > 0 })
	if left := all[client.Left](got); len(left) != 1 || left[0].ChannelID != missing || left[0].Err == nil {
		t.Errorf("left: %+v", left)
	}
	if joined := all[client.Joined](got); len(joined) != n || len(r.Channels()) != n-1 {
		t.Errorf("joined %d channels, %d are known", len(joined), len(r.Channels()))
	}
}

// TestHello_leftWhileAway checks that the client stops following a channel that is missing from a
// complete list.
func TestHello_leftWhileAway(t *testing.T) {
	t.Parallel()
	stay, gone := chat.NewChannelID(), chat.NewChannelID()
	g := newGateway(t, stay, gone)
	r := g.run(nil)
	r.online(1)
	g.With(func() { delete(g.Log, gone) })
	g.Cut("", 1012)
	got := r.until("the end of the channel", func(got []client.Event) bool { return len(all[client.Left](got)) > 0 })
	if left := all[client.Left](got); len(left) != 1 || left[0].ChannelID != gone || left[0].Err != nil {
		t.Errorf("left: %+v", left)
	}
	if known := r.Channels(); len(known) != 1 || known[0].ChannelID != stay {
		t.Errorf("channels: %+v", known)
	}
}

// TestMembership checks from which position a channel is followed when the user is added to it, and
// that a removal ends the following. The first message of a new direct channel was meant for the
// user.
func TestMembership(t *testing.T) {
	t.Parallel()
	bob := chat.NewUserID()
	for _, tt := range []struct {
		name  string
		kind  chat.ChannelKind
		first int64
	}{
		{"a channel", chat.Private, 4},
		{"a direct channel", chat.Direct, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t)
			r := g.run(nil)
			r.online(1)
			c := chat.NewChannelID()
			g.Say(c, 3)
			added := frame.Encode(frame.Membership{ChannelID: c, Change: "added", By: bob, Channel: &frame.ChannelSummary{
				ChannelID: c, Kind: tt.kind, LastSeq: 3, LastDeliveredSeq: 1, Epoch: "1-a",
			}})
			g.Push(added, added)
			g.Await(1, frame.Subscribe)
			g.Say(c, 2)
			got := r.until("events", func(got []client.Event) bool { return len(all[client.ChannelEvent](got)) >= int(6-tt.first) })
			inOrder(t, got, c, tt.first, 6-tt.first)
			if joined := all[client.Joined](got); len(joined) != 1 || joined[0].From.Seq != tt.first-1 || len(g.Received(frame.Subscribe)) != 1 {
				t.Errorf("joined: %+v", joined)
			}
			g.Push(frame.Encode(frame.Membership{ChannelID: c, Change: "removed", By: bob}))
			got = r.until("the removal", func(got []client.Event) bool { return len(all[client.Left](got)) > 0 })
			if left := all[client.Left](got)[0]; left.ChannelID != c || left.By != bob || left.Err != nil || len(r.Channels()) != 0 {
				t.Errorf("left: %+v", left)
			}
		})
	}
}

// TestSubscribe_refusedAsAWhole checks that after a subscribe frame was refused, the client
// subscribes to its channels one by one, so that one channel cannot make the others fail.
func TestSubscribe_refusedAsAWhole(t *testing.T) {
	t.Parallel()
	a, b := chat.NewChannelID(), chat.NewChannelID()
	g := newGateway(t, a, b)
	g.Greet = func(conn *websocket.Conn) bool { // the test answers these frames below
		g.Send(conn, frame.Encode(frame.Hello{UserID: user, Channels: []frame.ChannelSummary{{ChannelID: a}, {ChannelID: b}}}))
		g.Conns[conn] = nil // not subscribed: the gateway does not answer
		return false
	}
	r := g.run(nil)
	ask := g.Await(1, frame.Subscribe)
	g.Push(frame.Encode(frame.Error{Ref: ask[0].Ref, Code: apierr.BadFrame}))
	ask = g.Await(3, frame.Subscribe)
	if len(ask[0].Channels) != 2 || len(ask[1].Channels) != 1 || len(ask[2].Channels) != 1 || ask[1].Channels[0].ChannelID == ask[2].Channels[0].ChannelID {
		t.Fatalf("asked: %+v", ask)
	}
	g.Push(frame.Encode(frame.Error{Ref: ask[1].Ref, Code: apierr.BadFrame, Message: "this one"}))
	got := r.until("the refusal", func(got []client.Event) bool { return len(all[client.Left](got)) > 0 })
	if left := all[client.Left](got); len(left) != 1 || left[0].ChannelID != ask[1].Channels[0].ChannelID || apierr.CodeOf(left[0].Err) != apierr.BadFrame {
		t.Errorf("left: %+v", left)
	}
}

// TestSubscribe_unavailable checks that the client subscribes again after a temporary refusal, and
// misses nothing.
func TestSubscribe_unavailable(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	g.Say(c, 2)
	refusals := 0
	g.OnAsk = func(frame.ChannelPosition) apierr.Code {
		if refusals++; refusals <= 3 {
			return []apierr.Code{apierr.Unavailable, apierr.Internal, apierr.Overloaded}[refusals-1]
		}
		return ""
	}
	r := g.run(positions(c, 1, "1-a"))
	g.Await(1, frame.Subscribe)
	g.Say(c, 2)
	got := r.until("events", func(got []client.Event) bool { return len(all[client.ChannelEvent](got)) >= 3 })
	inOrder(t, got, c, 2, 3)
	if left := all[client.Left](got); len(left) > 0 || len(g.Received(frame.Subscribe)) != 4 {
		t.Errorf("left: %+v, asked %d times", left, len(g.Received(frame.Subscribe)))
	}
}

// TestCatchUpReceipts checks that after a reconnection, the client requests the receipts for those
// of its messages that nobody had read, because receipts are not replayed.
func TestCatchUpReceipts(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	var asked []string
	read := map[string]string{}
	g.REST = func(w http.ResponseWriter, r *http.Request) bool {
		id, ok := strings.CutSuffix(r.URL.Path, "/receipts")
		if !ok {
			return false
		}
		g.Mu.Lock()
		defer g.Mu.Unlock()
		id = id[strings.LastIndexByte(id, '/')+1:]
		asked = append(asked, id)
		fmt.Fprint(w, read[id])
		return true
	}
	r := g.run(nil)
	r.online(1)
	var acks []client.Ack
	for range 3 {
		ack, err := r.Send(t.Context(), client.ToChannel(c), "x")
		if err != nil {
			t.Fatal(err)
		}
		acks = append(acks, ack)
	}
	g.With(func() {
		read[acks[2].ID.String()] = `{"member_count":2,"delivered_count":1,"read_count":0}`
		read[acks[1].ID.String()] = `{"member_count":2,"delivered_count":2,"read_count":1}`
	})
	g.Cut("", 1012)
	r.awaitStates(acks[2].ClientID, "pending sent delivered")
	r.awaitStates(acks[1].ClientID, "pending sent delivered read")
	r.awaitStates(acks[0].ClientID, "pending sent delivered read")
	g.With(func() {
		if want := []string{acks[2].ID.String(), acks[1].ID.String()}; fmt.Sprint(asked) != fmt.Sprint(want) {
			t.Errorf("asked about %v, want %v: whoever has read the second has read the first", asked, want)
		}
	})
}

// TestClient_before checks what a client reports before and after its first connection.
func TestClient_before(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	g.Hello = func(_ *websocket.Conn, h *frame.Hello) {
		h.Limits = frame.Limits{MaxBodyBytes: 16384, RateMessages: 20}
	}
	idle, release := g.client(time.Now, positions(chat.NewChannelID(), 4, "1-a"))
	if !idle.Me().IsZero() || idle.Limits() != (frame.Limits{}) || len(idle.Channels()) != 0 {
		t.Errorf("before: %s, %+v, %v", idle.Me(), idle.Limits(), idle.Channels())
	}
	r := g.start(idle, release)
	r.online(1)
	if r.Me() != user || r.Limits().MaxBodyBytes != 16384 || len(r.Channels()) != 1 || r.Channels()[0].ChannelID != c {
		t.Errorf("after: %s, %+v, %v", r.Me(), r.Limits(), r.Channels())
	}
}
