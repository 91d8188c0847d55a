package client_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"parley.chat/client"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// states returns the states that a send has gone through.
func states(got []client.Event, id chat.ClientID) string {
	var list []string
	for _, s := range all[client.Status](got) {
		if s.ClientID == id {
			list = append(list, s.State.String())
		}
	}
	return strings.Join(list, " ")
}

// awaitStates waits until a send has gone through states.
func (r *running) awaitStates(id chat.ClientID, want string) []client.Event {
	r.t.Helper()
	return r.until(want, func(got []client.Event) bool { return states(got, id) == want })
}

// TestStatus_order checks that receipts from other users move a message through its states in
// order, and that this user's own receipts and receipts in other channels do not.
func TestStatus_order(t *testing.T) {
	t.Parallel()
	c, other, bob := chat.NewChannelID(), chat.NewChannelID(), chat.NewUserID()
	g := newGateway(t, c, other)
	r := g.run(nil)
	r.online(1)
	first, err := r.Send(t.Context(), client.ToChannel(c), "first")
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.Send(t.Context(), client.ToChannel(c), "second")
	if err != nil {
		t.Fatal(err)
	}
	receipt := func(c chat.ChannelID, of chat.UserID, delivered, read int64) {
		g.Push(frame.Encode(frame.Receipt{ChannelID: c, UserID: of, DeliveredSeq: delivered, ReadSeq: read}))
	}
	receipt(c, user, 2, 2)
	receipt(other, bob, 2, 2)
	receipt(c, bob, 1, 0)
	r.awaitStates(first.ClientID, "pending sent delivered")
	receipt(c, bob, 0, 1) // read includes delivered
	got := r.awaitStates(first.ClientID, "pending sent delivered read")
	if s := states(got, second.ClientID); s != "pending sent" {
		t.Errorf("the second message is %s", s)
	}
	g.Push(frame.Encode(frame.ReceiptCounts{ChannelID: c, Seq: 2, DeliveredCount: 9}))
	r.awaitStates(second.ClientID, "pending sent delivered")
	g.Push(frame.Encode(frame.ReceiptCounts{ChannelID: c, Seq: 2, DeliveredCount: 9, ReadCount: 1}))
	got = r.awaitStates(second.ClientID, "pending sent delivered read")
	for _, s := range all[client.Status](got) {
		if s.State != client.Pending && (s.Seq == 0 || s.ID.IsZero() || s.SentAt.IsZero()) || s.ChannelID != c || s.Kind != event.Message {
			t.Errorf("incomplete: %+v", s)
		}
	}
}

// TestStatus_notStored checks that the caller is notified if an acknowledged message could not be
// stored.
func TestStatus_notStored(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	t.Run("after its acknowledgement", func(t *testing.T) {
		t.Parallel()
		g := newGateway(t, c)
		r := g.run(nil)
		r.online(1)
		ack, err := r.Send(t.Context(), client.ToChannel(c), "x")
		if err != nil {
			t.Fatal(err)
		}
		g.Push(frame.Encode(frame.FailedEvent{ChannelID: c, ID: ack.ID, Seq: ack.Seq, ClientID: ack.ClientID, Reason: "why"}))
		got := r.awaitStates(ack.ClientID, "pending sent failed")
		list := all[client.Status](got)
		last := list[len(list)-1]
		if e, ok := errors.AsType[*client.StoreError](last.Err); !ok || e.Reason != "why" || last.SentAt != ack.SentAt || last.Seq != ack.Seq {
			t.Errorf("%+v", last)
		}
	})
	t.Run("its acknowledgement was lost", func(t *testing.T) {
		t.Parallel()
		g := newGateway(t, c)
		g.OnSend = func(conn *websocket.Conn, f frame.Client) (apierr.Code, bool) {
			g.Send(conn, frame.Encode(frame.FailedEvent{ChannelID: c, ID: chat.NewEventID(), Seq: 1, ClientID: *f.ClientID, Reason: "why"}))
			return "", true
		}
		r := g.run(nil)
		r.online(1)
		ack, err := r.Send(t.Context(), client.ToChannel(c), "x")
		if e, ok := errors.AsType[*client.StoreError](err); !ok || e.Reason != "why" {
			t.Errorf("Send = %v", err)
		}
		r.awaitStates(ack.ClientID, "pending failed")
	})
}

// TestSend_duplicateAcks checks that a send is settled once, with the first answer, no matter how
// often and over which connections it is acknowledged.
func TestSend_duplicateAcks(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	g.OnSend = func(conn *websocket.Conn, f frame.Client) (apierr.Code, bool) {
		first := len(g.Sends) == 1
		ack := g.Append(f) // its event is sent as well
		ack.Ref = f.Ref
		if first { // the connection is lost before the acknowledgement
			delete(g.Conns[conn], c)
			_ = conn.Close()
			delete(g.Conns, conn)
			return "", true
		}
		for range 3 {
			g.Send(conn, frame.Encode(ack))
		}
		other := ack
		other.Seq = 99
		g.Send(conn, frame.Encode(other))
		return "", true
	}
	r := g.run(nil)
	r.online(1)
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	first, err := r.Send(ctx, client.ToChannel(c), "once")
	if err != nil || first.Seq != 1 {
		t.Fatalf("%+v, %v, want seq 1", first, err)
	}
	second, err := r.Send(ctx, client.ToChannel(c), "twice")
	if err != nil || second.Seq != 2 {
		t.Fatalf("%+v, %v, want seq 2", second, err)
	}
	g.Say(c, 1) // arrives after all acknowledgements
	got := r.until("the last event", func(got []client.Event) bool { return len(all[client.ChannelEvent](got)) >= 3 })
	inOrder(t, got, c, 1, 3)
	for _, id := range []chat.ClientID{first.ClientID, second.ClientID} {
		if s := states(got, id); s != "pending sent" {
			t.Errorf("the states are %q, want each once", s)
		}
	}
}

// TestSend_eventSettles checks that a send is settled by its event if the acknowledgement does not
// arrive.
func TestSend_eventSettles(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	g.OnSend = func(_ *websocket.Conn, f frame.Client) (apierr.Code, bool) {
		g.Append(f)
		return "", true
	}
	r := g.run(nil)
	g.Await(1, frame.Subscribe)
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	ack, err := r.Send(ctx, client.ToChannel(c), "x")
	if err != nil || ack.Seq != 1 || ack.ChannelID != c {
		t.Errorf("%+v, %v", ack, err)
	}
	g.With(func() {
		if ack.ID != g.Log[c][0].ID {
			t.Errorf("the id is %s, want %s", ack.ID, g.Log[c][0].ID)
		}
	})
	got := r.awaitStates(ack.ClientID, "pending sent")
	if events := all[client.ChannelEvent](got); len(events) != 1 || !events[0].Mine {
		t.Errorf("events: %+v", events)
	}
}

// TestSend_eventOfAnother checks that another user's event with the same client id does not settle
// a send, because client ids are unique only per sender.
func TestSend_eventOfAnother(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	g.OnSend = func(*websocket.Conn, frame.Client) (apierr.Code, bool) { return "", true }
	r := g.run(nil)
	id, err := r.Post(client.ToChannel(c), "x")
	if err != nil {
		t.Fatal(err)
	}
	g.Await(1, frame.Send)
	g.Put(c, frame.Event{Type: event.Message, SenderID: chat.NewUserID(), ClientID: &id, Body: "x"})
	got := r.until("the event", func(got []client.Event) bool { return len(all[client.ChannelEvent](got)) == 1 })
	if s := states(got, id); s != "pending" {
		t.Errorf("the message is %s", s)
	}
}

// TestSend_sameClientID checks that a message that is posted twice with the same client id is sent
// only once.
func TestSend_sameClientID(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	idle, release := g.client(time.Now, nil)
	draft := client.Draft{To: client.ToChannel(c), Body: "x", ClientID: chat.NewClientID()}
	for range 2 {
		if err := idle.PostDraft(draft); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if ack, err := idle.SendDraft(ctx, draft); !errors.Is(err, context.Canceled) || ack.ClientID != draft.ClientID {
		t.Errorf("%+v, %v", ack, err)
	}
	r := g.start(idle, release)
	r.awaitStates(draft.ClientID, "pending sent")
	ack, err := r.Send(t.Context(), client.ToChannel(c), "y") // a second frame for it would have been sent earlier
	if n := len(g.Received(frame.Send)); err != nil || ack.Seq != 2 || n != 2 {
		t.Errorf("%+v, %v after %d frames, want one for each message", ack, err, n)
	}
}

// TestSend_contextDone checks that the message is still sent if its caller stops waiting.
func TestSend_contextDone(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	held := make(chan frame.Client, 1)
	g.OnSend = func(_ *websocket.Conn, f frame.Client) (apierr.Code, bool) {
		held <- f
		cancel(enough)
		return "", true
	}
	r := g.run(nil)
	ack, err := r.Send(ctx, client.ToChannel(c), "x")
	if !errors.Is(err, enough) || ack.ClientID.IsZero() || ack.Seq != 0 {
		t.Fatalf("%+v, %v, want the cause and the client id", ack, err)
	}
	f := <-held
	if *f.ClientID != ack.ClientID {
		t.Errorf("the returned client id is %s, the message has %s", ack.ClientID, f.ClientID)
	}
	g.With(func() {
		answer := g.Append(f)
		for conn := range g.Conns {
			g.Send(conn, frame.Encode(answer))
		}
	})
	r.awaitStates(ack.ClientID, "pending sent")
}

// TestSend_beforeRun checks that sends wait for the first connection, in order, up to MaxPending.
func TestSend_beforeRun(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	idle, release := g.client(time.Now, func(cfg *client.Config) { cfg.MaxPending = 5 })
	var posted []chat.ClientID
	for i := range 5 {
		id, err := idle.Post(client.ToChannel(c), strconv.Itoa(i))
		if err != nil {
			t.Fatal(err)
		}
		posted = append(posted, id)
	}
	if id, err := idle.Post(client.ToChannel(c), "one too many"); !errors.Is(err, client.ErrFull) || id.IsZero() {
		t.Errorf("%s, %v, want ErrFull", id, err)
	}
	if _, err := idle.Send(t.Context(), client.ToChannel(c), "one too many"); !errors.Is(err, client.ErrFull) {
		t.Errorf("%v, want ErrFull", err)
	}
	r := g.start(idle, release)
	r.awaitStates(posted[4], "pending sent")
	g.With(func() {
		if fmt.Sprint(g.Sends) != fmt.Sprint(posted) {
			t.Errorf("sent %v, want %v", g.Sends, posted)
		}
	})
	if _, err := r.Send(t.Context(), client.ToChannel(c), "there is room again"); err != nil {
		t.Error(err)
	}
}

// TestSend_againWhileFull checks that a message that is already waiting can be sent again, although
// there is no room for another one. Its sender may want to wait for it a second time.
func TestSend_againWhileFull(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	idle, release := g.client(time.Now, func(cfg *client.Config) { cfg.MaxPending = 1 })
	draft := client.Draft{To: client.ToChannel(c), Body: "x", ClientID: chat.NewClientID()}
	if err := idle.PostDraft(draft); err != nil {
		t.Fatal(err)
	}
	if err := idle.PostDraft(draft); err != nil {
		t.Errorf("PostDraft of the waiting message: %v", err)
	}
	r := g.start(idle, release)
	r.awaitStates(draft.ClientID, "pending sent")
	if n := len(g.Received(frame.Send)); n != 1 {
		t.Errorf("the message was sent %d times, want once", n)
	}
}

// TestRun_endsWhileSendsWait checks that all sends are settled when Run ends, and that later sends
// fail.
func TestRun_endsWhileSendsWait(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	g.OnSend = func(*websocket.Conn, frame.Client) (apierr.Code, bool) { return "", true }
	r := g.run(nil)
	const senders = 40 // more than may be in flight
	failed := make(chan error, senders)
	for range senders {
		go func() {
			_, err := r.Send(context.Background(), client.ToChannel(c), "x")
			failed <- err
		}()
	}
	g.Await(32, frame.Send)
	r.stop()
	if err := r.end(); err != nil {
		t.Errorf("Run = %v, want nil because its context is done", err)
	}
	for range senders {
		if err := <-failed; !errors.Is(err, client.ErrClosed) {
			t.Errorf("Send = %v, want ErrClosed", err)
		}
	}
	if n := len(g.Received(frame.Send)); n != 32 {
		t.Errorf("%d sends were in flight, want 32", n)
	}
	if _, err := r.Post(client.ToChannel(c), "x"); !errors.Is(err, client.ErrClosed) {
		t.Errorf("Post = %v, want ErrClosed", err)
	}
	if _, open := <-r.Events(); open {
		t.Error("Events is not closed")
	}
}

// TestSend_frames checks the frame of each command. Line ends are normalized before the first
// attempt, so that every retry is the same message.
func TestSend_frames(t *testing.T) {
	t.Parallel()
	c, bob, message := chat.NewChannelID(), chat.NewUserID(), chat.NewEventID()
	g := newGateway(t, c)
	answer := func(conn *websocket.Conn, f frame.Client) {
		g.Send(conn, frame.Encode(frame.Ack{Ref: f.Ref, ChannelID: c, ClientID: *f.ClientID, ID: chat.NewEventID(), Seq: 7, SentAt: chat.Now()}))
	}
	g.OnFrame = answer
	g.OnSend = func(conn *websocket.Conn, f frame.Client) (apierr.Code, bool) {
		answer(conn, f)
		return "", true
	}
	r := g.run(nil)
	for _, tt := range []struct {
		kind event.Kind
		send func(ctx context.Context) (client.Ack, error)
		want string // type, to_user_id, message_id, reply_to, body, emoji, remove
	}{
		{event.Message, func(ctx context.Context) (client.Ack, error) { return r.Send(ctx, client.ToChannel(c), "a\r\nb\rc") }, `send - - - "a\nb\nc" - false`},
		{event.Message, func(ctx context.Context) (client.Ack, error) { return r.Send(ctx, client.ToUser(bob), "hi") }, `send bob - - "hi" - false`},
		{event.Message, func(ctx context.Context) (client.Ack, error) {
			return r.SendDraft(ctx, client.Draft{To: client.ToChannel(c), Body: "yes", ReplyTo: message})
		}, `send - - message "yes" - false`},
		{event.Edit, func(ctx context.Context) (client.Ack, error) { return r.Edit(ctx, c, message, "a\r\nb") }, `edit - message - "a\nb" - false`},
		{event.Delete, func(ctx context.Context) (client.Ack, error) { return r.Delete(ctx, c, message) }, `delete - message - - - false`},
		{event.Reaction, func(ctx context.Context) (client.Ack, error) { return r.React(ctx, c, message, "👍", false) }, `react - message - - 👍 false`},
		{event.Reaction, func(ctx context.Context) (client.Ack, error) { return r.React(ctx, c, message, "👍", true) }, `react - message - - 👍 true`},
	} {
		ack, err := tt.send(t.Context())
		if err != nil || ack.Seq != 7 || ack.ChannelID != c {
			t.Fatalf("%s: %+v, %v", tt.want, ack, err)
		}
		sent := g.Received(frame.Send, frame.Edit, frame.Delete, frame.React)
		if got := describeFrame(sent[len(sent)-1], bob, message); got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
		got := r.awaitStates(ack.ClientID, "pending sent")
		for _, s := range all[client.Status](got) {
			if s.ClientID == ack.ClientID && s.Kind != tt.kind {
				t.Errorf("%s is reported as %s", tt.want, s.Kind)
			}
		}
	}
}

func describeFrame(f frame.Client, bob chat.UserID, message chat.EventID) string {
	parts := []string{string(f.Type), "-", "-", "-", "-", "-", strconv.FormatBool(f.Remove)}
	if f.ToUserID != nil && *f.ToUserID == bob && f.ChannelID == nil {
		parts[1] = "bob"
	}
	if f.MessageID != nil && *f.MessageID == message {
		parts[2] = "message"
	}
	if f.ReplyTo != nil && *f.ReplyTo == message {
		parts[3] = "message"
	}
	if f.Body != nil {
		parts[4] = strconv.Quote(*f.Body)
	}
	if f.Emoji != nil {
		parts[5] = *f.Emoji
	}
	if f.Ref != f.ClientID.String() {
		parts = append(parts, "with another ref")
	}
	return strings.Join(parts, " ")
}

// TestSlowCaller checks that a caller that stops reading events gets all of them later, in order,
// even if the gateway has dropped the client in the meantime. Post does not wait for the caller.
func TestSlowCaller(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	g.OnSend = func(*websocket.Conn, frame.Client) (apierr.Code, bool) { return "", true }
	idle, release := g.client(time.Now, func(cfg *client.Config) { cfg.Buffer, cfg.MaxPending = 1, 10 })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- idle.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended
		release()
	})
	next := func() client.Event {
		select {
		case e := <-idle.Events():
			return e
		case <-time.After(waitTimeout):
			t.Fatal("no event")
			return nil
		}
	}
	for joined := false; !joined; {
		_, joined = next().(client.Joined)
	}
	g.Await(1, frame.Subscribe)
	const missed = 100
	g.Say(c, missed) // nobody reads
	for range 10 {
		if _, err := idle.Post(client.ToChannel(c), "x"); err != nil {
			t.Fatal(err)
		}
	}
	g.Cut("", 4008)
	online, pending := 1, 0
	var seqs []int64
	for len(seqs) < missed || online < 2 || pending < 10 {
		switch e := next().(type) {
		case client.ChannelEvent:
			seqs = append(seqs, e.Seq)
		case client.Connection:
			if e.State == client.Online {
				online++
			}
		case client.Status:
			pending++
		}
	}
	for i, seq := range seqs {
		if seq != int64(i+1) {
			t.Fatalf("event %d has seq %d: a hole or a repeat", i+1, seq)
		}
	}
}
