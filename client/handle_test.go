package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"parley.chat/client"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// TestFrames_severalObjects checks that every object of a WebSocket message is handled, in order.
func TestFrames_severalObjects(t *testing.T) {
	t.Parallel()
	c, bob := chat.NewChannelID(), chat.NewUserID()
	g := newGateway(t, c)
	r := g.run(nil)
	g.Await(1, frame.Subscribe)
	g.Push(bytes.Join([][]byte{
		frame.Encode(frame.TypingNotice{ChannelID: c, UserID: bob, Typing: true}),
		nil,
		[]byte("  "),
		frame.Encode(frame.PresenceNotice{ChannelID: c, OnlineCount: 2, Joined: []chat.UserID{bob}}),
		frame.Encode(frame.TypingNotice{ChannelID: c, UserID: bob}),
	}, []byte("\n")))
	got := r.until("the last object", func(got []client.Event) bool { return len(all[client.Typing](got)) >= 2 })
	var kinds []string
	for _, e := range got {
		switch e := e.(type) {
		case client.Typing:
			kinds = append(kinds, fmt.Sprint("typing ", e.Typing))
		case client.Presence:
			kinds = append(kinds, fmt.Sprint("presence ", e.Joined[0] == bob))
		}
	}
	if want := "[typing true presence true typing false]"; fmt.Sprint(kinds) != want {
		t.Errorf("%v, want %s", kinds, want)
	}
}

// TestFrames_ignored checks that frames from later protocol versions, and frames that do not
// concern the caller, change nothing.
func TestFrames_ignored(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	r := g.run(nil)
	g.Await(1, frame.Subscribe)
	g.Say(c, 1)
	r.until("an event", func(got []client.Event) bool { return len(all[client.ChannelEvent](got)) == 1 })
	other := chat.NewChannelID()
	stray := frame.Event{Type: event.Message, ChannelID: other, Seq: 1, ID: chat.NewEventID(), SenderID: user, SentAt: chat.Now()}
	unknown, err := stray.Encode()
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	before := len(r.got)
	r.mu.Unlock()
	g.Push(
		[]byte(`{"type":"hologram","channel_id":"`+c.String()+`","seq":2}`),
		frame.Encode(frame.GroupNotice{GroupID: chat.NewGroupID(), Change: "added"}),
		frame.Encode(frame.InvitationNotice{InvitationID: chat.NewInvitationID(), Change: "added"}),
		frame.Encode(frame.Unsubscribed{ChannelID: c}),
		frame.Encode(frame.Pong{Ref: "auth-1"}),
		frame.Encode(frame.Error{Ref: "nobody's", Code: apierr.Forbidden}),
		frame.Encode(frame.Error{Ref: chat.NewClientID().String(), Code: apierr.Forbidden}),
		frame.Encode(frame.Ack{Ref: "x", ChannelID: c, ClientID: chat.NewClientID(), ID: chat.NewEventID(), Seq: 2, SentAt: chat.Now()}),
		frame.Encode(frame.Subscribed{Ref: "sub-99", ChannelID: c, LastSeq: 700, Epoch: "other"}),
		frame.Encode(frame.Subscribed{ChannelID: other, LastSeq: 7}),
		frame.Encode(frame.Resync{ChannelID: other, LastSeq: 7}),
		frame.Encode(frame.Membership{ChannelID: other, Change: "removed"}),
		unknown, // an event of a channel that is not followed
	)
	g.Say(c, 1)
	got := r.until("the next event", func(got []client.Event) bool { return len(all[client.ChannelEvent](got)) == 2 })
	inOrder(t, got, c, 1, 2)
	if len(got) != before+1 {
		t.Errorf("the caller gets %+v, want only the event", got[before:])
	}
}

// TestFrames_invalid checks that the client disconnects from a gateway whose frames are invalid,
// and resumes.
func TestFrames_invalid(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	for name, data := range map[string]string{
		"not JSON":                    `hello?`,
		"a truncated object":          `{"type":"typing","channel_id":`,
		"a mistyped field":            `{"type":"typing","channel_id":7}`,
		"a mistyped field of hello":   `{"type":"hello","channels":7}`,
		"a message without an id":     `{"type":"message","channel_id":"` + c.String() + `","seq":"one"}`,
		"an edit that is not decoded": `{"type":"edit","channel_id":"` + c.String() + `","seq":[]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, c)
			r := g.run(nil)
			g.Await(1, frame.Subscribe)
			g.Push([]byte(data))
			r.online(2)
			g.Say(c, 2)
			got := r.until("events", func(got []client.Event) bool { return len(all[client.ChannelEvent](got)) >= 2 })
			inOrder(t, got, c, 1, 2)
			for _, e := range all[client.Connection](got) {
				if _, closed := errors.AsType[*client.CloseError](e.Err); e.State == client.Offline && (e.Err == nil || closed) {
					t.Errorf("offline because of %v, want what is wrong with the frame", e.Err)
				}
			}
		})
	}
}

// TestFrames_beforeHello checks that the client disconnects from a server whose first frame is not
// hello.
func TestFrames_beforeHello(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	g := newGateway(t, c)
	g.Greet = func(conn *websocket.Conn) bool {
		if len(g.Tokens) == 1 {
			g.Send(conn, frame.Encode(frame.TypingNotice{ChannelID: c, UserID: user, Typing: true}))
		}
		return true
	}
	r := g.run(nil)
	r.online(1)
	got := r.until("offline", func(got []client.Event) bool { return len(all[client.Connection](got)) >= 3 })
	if e := all[client.Connection](got)[1]; e.Err == nil || !strings.Contains(e.Err.Error(), "typing before hello") {
		t.Errorf("offline because of %v", e.Err)
	}
	if typing := all[client.Typing](got); len(typing) > 0 {
		t.Errorf("the frame reached the caller: %+v", typing)
	}
}

// TestEvents_kinds checks that every kind of event is delivered with its seq and its fields, and
// that tombstones count too.
func TestEvents_kinds(t *testing.T) {
	t.Parallel()
	c, bob, message := chat.NewChannelID(), chat.NewUserID(), chat.NewEventID()
	g := newGateway(t, c)
	r := g.run(nil)
	g.Await(1, frame.Subscribe)
	events := []frame.Event{
		{Type: event.Message, SenderID: bob, SenderName: "bob", Body: "helo @ann", Mentions: []chat.UserID{user}, ClientID: new(chat.NewClientID())},
		{Type: event.Edit, SenderID: bob, MessageID: &message, Body: "hello"},
		{Type: event.Reaction, SenderID: user, MessageID: &message, Emoji: "👍", Remove: true},
		{Type: event.Delete, SenderID: user, MessageID: &message},
		{Type: event.MemberJoined, SenderID: user, UserID: &bob, Username: "bob"},
		{Type: event.MemberLeft, SenderID: bob, UserID: &bob, Username: "bob"},
		{Type: event.ChannelUpdated, SenderID: user, Channel: []byte(`{"name":"tea"}`)},
		{Type: event.Failed},
		{Type: event.Lost},
		{Type: event.Noop},
		{Type: event.Gap, From: 8, To: 9},
	}
	g.Put(c, events...)
	got := r.until("all events", func(got []client.Event) bool { return len(all[client.ChannelEvent](got)) >= len(events) })
	inOrder(t, got, c, 1, int64(len(events)))
	for i, e := range all[client.ChannelEvent](got) {
		want := events[i]
		if e.Type != want.Type || e.SenderID != want.SenderID || e.Body != want.Body || e.Emoji != want.Emoji || e.Remove != want.Remove ||
			e.Username != want.Username || e.SenderName != want.SenderName || string(e.Channel) != string(want.Channel) || e.From != want.From || e.To != want.To {
			t.Errorf("event %d is %+v, want %+v", i+1, e.Event, want)
		}
		if (e.MessageID == nil) != (want.MessageID == nil) || e.MessageID != nil && *e.MessageID != message {
			t.Errorf("%s is about %v, want %v", e.Type, e.MessageID, want.MessageID)
		}
		if (e.UserID == nil) != (want.UserID == nil) || e.UserID != nil && *e.UserID != bob {
			t.Errorf("%s is about the user %v, want %v", e.Type, e.UserID, want.UserID)
		}
		if e.Mine != (want.SenderID == user) {
			t.Errorf("%s of %s: mine %v", e.Type, e.SenderID, e.Mine)
		}
		if e.Epoch != "1-a" || e.Position() != (client.Position{Seq: int64(i + 1), Epoch: "1-a"}) {
			t.Errorf("%s has the position %+v", e.Type, e.Position())
		}
	}
}

// TestEphemeral_fields checks the fields of the frames that have no seq.
func TestEphemeral_fields(t *testing.T) {
	t.Parallel()
	c, bob := chat.NewChannelID(), chat.NewUserID()
	g := newGateway(t, c)
	r := g.run(nil)
	g.Await(1, frame.Subscribe)
	presence := frame.PresenceNotice{ChannelID: c, OnlineCount: 3, Left: []chat.UserID{bob}}
	receipt := frame.Receipt{ChannelID: c, UserID: bob, DeliveredSeq: 43, ReadSeq: 42}
	counts := frame.ReceiptCounts{ChannelID: c, Seq: 43, DeliveredCount: 80, ReadCount: 12, MemberCount: 400}
	g.Push(frame.Encode(presence), frame.Encode(receipt), frame.Encode(counts))
	got := r.until("the last one", func(got []client.Event) bool { return len(all[client.ReceiptCounts](got)) > 0 })
	if p := all[client.Presence](got); len(p) != 1 || p[0].OnlineCount != 3 || len(p[0].Left) != 1 || p[0].Left[0] != bob {
		t.Errorf("presence: %+v", p)
	}
	if p := all[client.Receipt](got); len(p) != 1 || p[0].Receipt != receipt {
		t.Errorf("receipts: %+v", p)
	}
	if p := all[client.ReceiptCounts](got); len(p) != 1 || p[0].ReceiptCounts != counts {
		t.Errorf("counts: %+v", p)
	}
}

// online answers presence requests with pages of one user each. g.Mu must be held.
func online(g *gateway, users ...chat.UserID) func(*websocket.Conn, frame.Client) {
	return func(conn *websocket.Conn, f frame.Client) {
		n := len(f.After) // the cursor grows by one byte per page
		page := frame.PresenceNotice{Ref: f.Ref, ChannelID: *f.ChannelID, OnlineCount: len(users), Joined: users[n : n+1]}
		if n+1 < len(users) {
			page.Next = strings.Repeat("x", n+1)
		}
		g.Send(conn, frame.Encode(page))
	}
}

// TestWhoIsOnline checks that all pages are read, and that the answer is not delivered as a
// presence event.
func TestWhoIsOnline(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	users := []chat.UserID{chat.NewUserID(), chat.NewUserID(), chat.NewUserID()}
	g := newGateway(t, c)
	g.OnFrame = online(g, users...)
	r := g.run(nil)
	g.Await(1, frame.Subscribe)
	r.online(1)
	got, err := r.WhoIsOnline(t.Context(), c)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(users) {
		t.Errorf("%v, %v, want %v", got, err, users)
	}
	if asked := g.Received(frame.Presence); len(asked) != 3 || *asked[0].ChannelID != c {
		t.Errorf("requests: %+v", asked)
	}
	g.Say(c, 1)
	seen := r.until("an event", func(got []client.Event) bool { return len(all[client.ChannelEvent](got)) > 0 })
	if news := all[client.Presence](seen); len(news) > 0 {
		t.Errorf("the answer is delivered as news: %+v", news)
	}
}

// TestWhoIsOnline_noAnswer checks that a request ends when it can no longer be answered.
func TestWhoIsOnline_noAnswer(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	for name, answer := range map[string]func(g *gateway, conn *websocket.Conn, f frame.Client){
		"refused": func(g *gateway, conn *websocket.Conn, f frame.Client) {
			g.Send(conn, frame.Encode(frame.Error{Ref: f.Ref, Code: apierr.Forbidden}))
		},
		"the connection is lost": func(g *gateway, conn *websocket.Conn, _ frame.Client) {
			_ = conn.Close()
			delete(g.Conns, conn)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, c)
			g.OnFrame = func(conn *websocket.Conn, f frame.Client) { answer(g, conn, f) }
			r := g.run(nil)
			r.online(1)
			ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
			defer cancel()
			if online, err := r.WhoIsOnline(ctx, c); err == nil || ctx.Err() != nil || online != nil {
				t.Errorf("%v, %v", online, err)
			}
		})
	}
	t.Run("the caller gives up", func(t *testing.T) {
		t.Parallel()
		g := newGateway(t, c)
		ctx, cancel := context.WithCancelCause(t.Context())
		enough := errors.New("enough")
		g.OnFrame = func(*websocket.Conn, frame.Client) { cancel(enough) }
		r := g.run(nil)
		r.online(1)
		if _, err := r.WhoIsOnline(ctx, c); !errors.Is(err, enough) {
			t.Errorf("%v, want the cause", err)
		}
	})
	t.Run("no connection", func(t *testing.T) {
		t.Parallel()
		idle, _ := newGateway(t, c).client(nil, nil)
		if _, err := idle.WhoIsOnline(t.Context(), c); !errors.Is(err, client.ErrOffline) {
			t.Errorf("%v, want ErrOffline", err)
		}
	})
}
