package receipt

import (
	"context"
	"fmt"
	"testing"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/internal/eventlog/unstored"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"

	"parley.chat/chat-service/internal/chattest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// fixture is a Service with a channel whose newest stored seq is 7.
type fixture struct {
	*Service
	*chattest.World
	channel chat.ChannelID // all users are members
}

func newFixture(t testing.TB, users ...string) *fixture {
	t.Helper()
	w := chattest.OpenWithRedis(t, users...)
	f := &fixture{New(w.DB, w.Log, w.Receipts, unstored.Rows{DB: w.DB}.MaxSeq), w, w.Channel(chat.Private, "room", users...)}
	f.stored(f.channel, 7, event.Message)
	return f
}

// stored inserts a row of a channel.
func (f *fixture) stored(channel chat.ChannelID, seq int64, kind event.Kind) chat.EventID {
	f.T.Helper()
	id := chat.NewEventID()
	f.Exec("insert into messages (channel_id, seq, id, kind, sender_id, body, sent_at) values ($1, $2, $3, $4, gen_random_uuid(), 'hi', now())",
		channel.String(), seq, id.String(), string(kind))
	return id
}

// TestMove checks that a member's positions only move forward, up to the newest event, and never
// below what PostgreSQL holds. Redis may not know the channel yet.
func TestMove(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ann", "bob")
	f.Exec("update channel_members set last_delivered_seq = 3, last_read_seq = 2 where user_id = $1", f.ID("ann").String())
	stranger := chat.NewUserID()
	for _, tt := range []struct {
		who                 chat.UserID
		delivered, read     int64
		wantDelivered, want int64
	}{
		{f.ID("ann"), 1, 1, 3, 2}, // Redis knows neither the channel nor the member
		{f.ID("ann"), 5, 4, 5, 4},
		{f.ID("ann"), 4, 0, 5, 4},
		{f.ID("ann"), 99, 99, 7, 7},
		{f.ID("bob"), 2, 1, 2, 1},
		{stranger, 6, 6, 6, 6}, // a member who has just left
	} {
		got, err := f.move(t.Context(), f.channel, tt.who, receiptlog.Receipt{Delivered: tt.delivered, Read: tt.read})
		if want := (receiptlog.Receipt{Delivered: tt.wantDelivered, Read: tt.want}); err != nil || got != want {
			t.Errorf("move to %d and %d: %+v, %v; want %+v", tt.delivered, tt.read, got, err, want)
		}
		// If a lower position were stored, other members would see this one move backward.
		if held, err := f.positions.Held(t.Context(), f.channel, tt.who); err != nil || held[tt.who] != got {
			t.Errorf("move to %d and %d: Redis holds %+v, %v; want %+v", tt.delivered, tt.read, held[tt.who], err, got)
		}
	}
	f.Redis.Kill(t)
	if _, err := f.move(t.Context(), f.channel, f.ID("bob"), receiptlog.Receipt{Delivered: 7, Read: 7}); err == nil {
		t.Error("a move succeeded without Redis, so nobody would see it")
	}
}

// TestFind checks that only a message of the channel is found, and no other event.
func TestFind(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	other := f.Channel(chat.Private, "other")
	for name, tt := range map[string]struct {
		id    chat.EventID
		found bool
	}{
		"a message":                    {f.stored(f.channel, 8, event.Message), true},
		"a join":                       {f.stored(f.channel, 9, event.MemberJoined), false},
		"a message of another channel": {f.stored(other, 1, event.Message), false},
		"an unknown id":                {chat.NewEventID(), false},
	} {
		err := f.Find(t.Context(), f.channel, tt.id)
		if tt.found && err != nil || !tt.found && apierr.CodeOf(err) != apierr.NotFound {
			t.Errorf("%s: %v; found must be %v", name, err, tt.found)
		}
	}
}

// TestMessageIn checks that the tail is searched for a message's own id, not for a message that
// refers to it.
func TestMessageIn(t *testing.T) {
	t.Parallel()
	channel, sender, id := chat.NewChannelID(), chat.NewUserID(), chat.NewEventID()
	var seq int64
	item := func(e frame.Event) event.Item {
		t.Helper()
		seq++
		e.ChannelID, e.SenderID, e.Seq, e.SentAt = channel, sender, seq, chat.Now()
		if e.ID.IsZero() {
			e.ID = chat.NewEventID()
		}
		b, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return event.Item{Seq: seq, Kind: e.Type, Sender: sender, Frame: b}
	}
	others := []event.Item{
		item(frame.Event{Type: event.Message, SenderName: "ann", Body: "see " + id.String()}),
		item(frame.Event{Type: event.Message, SenderName: "ann", Body: "yes", ReplyTo: &id}),
		item(frame.Event{Type: event.Edit, MessageID: &id, Body: "edited"}),
		item(frame.Event{Type: event.Delete, MessageID: &id}),
		{Seq: 99, Kind: event.Message, Frame: []byte("not JSON, " + id.String())},
	}
	if got := messageIn(others, id, []byte(id.String())); got != nil {
		t.Errorf("found %+v among events that only mention the id", got)
	}
	own := item(frame.Event{Type: event.Message, SenderName: "ann", Body: "hi", ID: id})
	if got := messageIn(append(others, own), id, []byte(id.String())); got == nil || got.Seq != own.Seq || got.ID != id {
		t.Errorf("found %+v, want the message with seq %d", got, own.Seq)
	}
}

// TestReceipts_addressees checks which members count as recipients of a message, and that the
// greater of the positions in Redis and PostgreSQL counts.
func TestReceipts_addressees(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "sender", "asker", "redis", "rows", "late", "blocked", "blocker")
	for name, sql := range map[string]string{
		"rows":  "update channel_members set last_delivered_seq = 7, last_read_seq = 7 where user_id = $1",
		"redis": "update channel_members set last_delivered_seq = 7, last_read_seq = 6 where user_id = $1",
		"late":  "update channel_members set joined_seq = 7, last_delivered_seq = 7, last_read_seq = 7 where user_id = $1",
	} {
		f.Exec(sql, f.ID(name).String())
	}
	f.Contact("asker", "blocked", "blocked")
	f.Contact("blocker", "asker", "blocked")
	for name, at := range map[string]receiptlog.Receipt{"redis": {Delivered: 7, Read: 7}, "asker": {Delivered: 7, Read: 6}, "rows": {Delivered: 1}, "blocked": {Delivered: 7, Read: 7}, "sender": {Delivered: 7, Read: 7}} {
		if _, err := f.Log.EnsureHead(t.Context(), f.channel, f.floor); err != nil {
			t.Fatal(err)
		}
		if _, err := f.positions.Move(t.Context(), []receiptlog.Move{{Channel: f.channel, User: f.ID(name), Receipt: at}}); err != nil {
			t.Fatal(err)
		}
	}
	about := target{Kind: event.Message, Seq: 7, SenderID: f.ID("sender")}
	got := map[chat.UserID]string{}
	var after chat.UserID
	for pages := 1; ; pages++ {
		n, list, next, err := f.receipts(context.Background(), f.channel, about, f.ID("asker"), after, 1)
		if err != nil {
			t.Fatal(err)
		}
		if want := (counts{Members: 3, Delivered: 3, Read: 2}); n != want {
			t.Errorf("counts %+v, want %+v: of asker, redis and rows", n, want)
		}
		for _, r := range list {
			got[r.UserID] = fmt.Sprint("delivered ", r.Delivered, ", read ", r.Read)
		}
		if next == nil {
			if pages != 3 {
				t.Errorf("%d pages, want 3", pages)
			}
			break
		}
		after = *next
	}
	for name, want := range map[string]string{"asker": "delivered true, read false", "redis": "delivered true, read true", "rows": "delivered true, read true"} {
		if got[f.ID(name)] != want {
			t.Errorf("%s: %q, want %q", name, got[f.ID(name)], want)
		}
	}
	if len(got) != 3 {
		t.Errorf("%d receipts, want 3: %v", len(got), got)
	}
}
