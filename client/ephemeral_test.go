package client_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"parley.chat/client"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// receipts returns the received receipts, in order.
func (g *gateway) receipts() string {
	var list []string
	for _, f := range g.Received(frame.Delivered, frame.Read) {
		list = append(list, fmt.Sprint(f.Type, " ", *f.Seq))
	}
	return fmt.Sprint(list)
}

// TestReceipts checks which receipts are sent: for each channel the highest ones, and only if the
// server does not have them yet.
func TestReceipts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name            string
		delivered, read int64 // known to the server
		report          func(r *client.Client, c chat.ChannelID)
		want            string
	}{
		{"delivered", 0, 0, func(r *client.Client, c chat.ChannelID) { r.Delivered(c, 5) }, "[delivered 5 read 9]"},
		{"read includes delivered", 0, 0, func(r *client.Client, c chat.ChannelID) { r.Read(c, 5); r.Delivered(c, 5) }, "[read 5 read 9]"},
		{"delivered beyond read", 0, 0, func(r *client.Client, c chat.ChannelID) { r.Read(c, 3); r.Delivered(c, 5) }, "[delivered 5 read 3 read 9]"},
		{"the highest counts", 0, 0, func(r *client.Client, c chat.ChannelID) { r.Read(c, 5); r.Read(c, 3); r.Delivered(c, 4) }, "[read 5 read 9]"},
		{"known to the server", 7, 7, func(r *client.Client, c chat.ChannelID) { r.Read(c, 7); r.Delivered(c, 6) }, "[read 9]"},
		{"delivered is known, read is not", 7, 2, func(r *client.Client, c chat.ChannelID) { r.Read(c, 5) }, "[read 5 read 9]"},
		{"an unknown channel", 0, 0, func(r *client.Client, _ chat.ChannelID) { r.Read(chat.NewChannelID(), 5) }, "[read 9]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := chat.NewChannelID()
			g := newGateway(t, c)
			g.Hello = func(_ *websocket.Conn, h *frame.Hello) {
				h.Channels[0].LastDeliveredSeq, h.Channels[0].LastReadSeq = tt.delivered, tt.read
			}
			idle, release := g.client(time.Now, func(cfg *client.Config) {
				cfg.Positions = map[chat.ChannelID]client.Position{c: {Epoch: "1-a"}}
			})
			tt.report(idle, c) // before the first connection, so that one frame contains everything
			r := g.start(idle, release)
			g.Await(1, frame.Subscribe)
			if want := tt.want != "[read 9]"; want {
				g.Until("the receipts from before the connection", func() bool { return len(g.Received(frame.Delivered, frame.Read)) > 0 })
			}
			r.Read(c, 9)
			g.Until("the last receipt", func() bool { f := g.Received(frame.Read); return len(f) > 0 && *f[len(f)-1].Seq == 9 })
			if got := g.receipts(); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// TestReceipts_merged checks that many reports within a short time are merged into a few frames,
// and that the last report is sent.
func TestReceipts_merged(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	r := g.run(nil)
	r.online(1)
	start := time.Now()
	const reports = 50
	for i := range reports {
		r.Read(c, int64(i+1))
		r.Typing(c, true)
		g.Await(i+1, frame.Typing) // so the writer has run since the last report
	}
	g.Until("the last receipt", func() bool { f := g.Received(frame.Read); return len(f) > 0 && *f[len(f)-1].Seq == reports })
	if n, most := len(g.Received(frame.Read)), int(time.Since(start)/(200*time.Millisecond))+1; n > most {
		t.Errorf("%d frames in %v, want at most %d", n, time.Since(start), most)
	}
}

// TestReceipts_afterReconnect checks that receipts that were reported while there was no connection
// are sent on the next one.
func TestReceipts_afterReconnect(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	r := g.run(nil)
	g.Await(1, frame.Subscribe)
	block := make(chan struct{})
	g.With(func() {
		g.Hello = func(*websocket.Conn, *frame.Hello) { <-block }
	})
	g.Cut("", 1012)
	r.until("offline", func(got []client.Event) bool { return len(all[client.Connection](got)) >= 3 })
	r.Read(c, 4)
	close(block)
	if f := g.Await(1, frame.Read); *f[0].Seq != 4 {
		t.Errorf("read %d, want 4", *f[0].Seq)
	}
}

// TestTyping checks that typing frames are sent immediately, and dropped while there is no
// connection.
func TestTyping(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	idle, release := g.client(time.Now, nil)
	idle.Typing(c, false) // dropped
	r := g.start(idle, release)
	r.online(1)
	r.Typing(c, true)
	r.Typing(c, false)
	f := g.Await(2, frame.Typing)
	if len(f) != 2 || !*f[0].Typing || *f[1].Typing || *f[0].ChannelID != c {
		t.Errorf("typing: %+v", f)
	}
}
