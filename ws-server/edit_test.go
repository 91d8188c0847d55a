package wsserver_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/internal/eventlog/eventrow"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/shared-migrations/schematest"
	wsserver "parley.chat/ws-server"
)

// change sends an edit, a deletion or a reaction and returns the answer. With a zero client id it
// uses a new one.
func change(t testing.TB, conn *wstest.Conn, kind string, c chat.ChannelID, of chat.EventID, client chat.ClientID, more map[string]any) wstest.Frame {
	t.Helper()
	if client.IsZero() {
		client = chat.NewClientID()
	}
	ref := chat.NewClientID().String()
	f := map[string]any{"type": kind, "ref": ref, "channel_id": c, "client_id": client, "message_id": of}
	for k, v := range more {
		f[k] = v
	}
	conn.Send(t, f)
	return conn.AwaitRef(t, ref)
}

func edit(t testing.TB, conn *wstest.Conn, c chat.ChannelID, of chat.EventID, text string) wstest.Frame {
	t.Helper()
	return change(t, conn, "edit", c, of, chat.ClientID{}, map[string]any{"body": text})
}

func remove(t testing.TB, conn *wstest.Conn, c chat.ChannelID, of chat.EventID) wstest.Frame {
	t.Helper()
	return change(t, conn, "delete", c, of, chat.ClientID{}, nil)
}

func say(t testing.TB, conn *wstest.Conn, c chat.ChannelID, text string) wstest.Frame {
	t.Helper()
	ack := conn.AwaitRef(t, conn.Say(t, c, text).String())
	if ack.Type != "ack" {
		t.Fatalf("send: %s", ack.Raw)
	}
	return ack
}

func wantCode(t testing.TB, what string, f wstest.Frame, code string) {
	t.Helper()
	if got := f.Code; f.Type == "ack" || got != code {
		t.Errorf("%s: %s, want %s", what, f.Raw, code)
	}
}

func wantAck(t testing.TB, what string, f wstest.Frame, seq int64) {
	t.Helper()
	if f.Type != "ack" || f.Seq != seq || f.Duplicate {
		t.Errorf("%s: %s, want the ack of seq %d", what, f.Raw, seq)
	}
}

// store copies the events in the channel's tail to PostgreSQL, as sync-service does. With dropTail
// it then deletes the tail.
func (w *world) store(c chat.ChannelID, dropTail bool) {
	w.t.Helper()
	items, err := w.log.Tail(w.t.Context(), c, 10_000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, it := range items {
		e, err := frame.DecodeEvent(it.Frame)
		if err != nil {
			w.t.Fatal(err)
		}
		var target, client any
		if e.ClientID != nil {
			client = e.ClientID.UUID
		}
		if e.MessageID != nil {
			target = e.MessageID.UUID
		} else if e.UserID != nil {
			target = e.UserID.UUID
		}
		w.exec(`insert into messages (channel_id, seq, id, kind, sender_id, client_id, target, body, data, sent_at)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict do nothing`,
			c.UUID, e.Seq, e.ID.UUID, string(e.Type), e.SenderID.UUID, client, target, e.Body,
			eventrow.Data{SenderName: e.SenderName, Username: e.Username, Mentions: e.Mentions, Emoji: e.Emoji, Remove: e.Remove}, e.SentAt.Time)
		if e.Type == event.Delete {
			w.exec(`insert into message_states (channel_id, message_id, delete_seq, deleted_at) values ($1, $2, $3, $4)
				on conflict do nothing`, c.UUID, target, e.Seq, e.SentAt.Time)
			w.exec(`update messages set body = '' where channel_id = $1 and id = $2`, c.UUID, target)
		}
	}
	if dropTail {
		w.deleteTail(c)
	}
}

func (w *world) deleteTail(c chat.ChannelID) {
	w.t.Helper()
	if err := w.rdb.Del(w.t.Context(), rediskey.Tail(rediskey.Of(c.UUID, 16), c)).Err(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) setRole(c chat.ChannelID, p person, role chat.Role) {
	w.t.Helper()
	w.exec(`update channel_members set role = $1 where channel_id = $2 and user_id = $3`, string(role), c.UUID, p.ID.UUID)
}

func TestChange_reachesEverySubscriberAsAnEvent(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	one, _ := w.gateway()
	two, _ := w.gateway()
	a, _ := w.connect(one, ann)
	b, _ := w.connect(two, bob)
	m := say(t, a, c, "helo")

	wantAck(t, "edit", edit(t, a, c, m.ID, "hello"), 2)
	react := change(t, b, "react", c, m.ID, chat.ClientID{}, map[string]any{"emoji": "👍"})
	wantAck(t, "react", react, 3)
	wantAck(t, "the same reaction again takes a seq", change(t, b, "react", c, m.ID, chat.ClientID{}, map[string]any{"emoji": "👍"}), 4)
	wantAck(t, "remove the reaction", change(t, b, "react", c, m.ID, chat.ClientID{}, map[string]any{"emoji": "👍", "remove": true}), 5)
	wantAck(t, "delete", remove(t, a, c, m.ID), 6)
	wantAck(t, "a second deletion changes nothing", remove(t, a, c, m.ID), 7)

	for _, conn := range []*wstest.Conn{a, b} {
		conn.AwaitSeq(t, c, 1, 7)
		for i, want := range []struct {
			kind   string
			sender chat.UserID
			body   string
			emoji  string
			remove bool
		}{
			{"message", ann.ID, "helo", "", false},
			{"edit", ann.ID, "hello", "", false},
			{"reaction", bob.ID, "", "👍", false},
			{"reaction", bob.ID, "", "👍", false},
			{"reaction", bob.ID, "", "👍", true},
			{"delete", ann.ID, "", "", false},
			{"delete", ann.ID, "", "", false},
		} {
			e := conn.Events(c)[i]
			if e.Type != want.kind || e.SenderID != want.sender || e.Body != want.body || e.Emoji != want.emoji || e.Remove != want.remove {
				t.Errorf("event %d: %s", i+1, e.Raw)
			}
			if i > 0 && e.MessageID != m.ID {
				t.Errorf("event %d is about another message: %s", i+1, e.Raw)
			}
		}
	}
	if e := b.Events(c)[2]; e.ID != react.ID || e.ClientID != react.ClientID {
		t.Errorf("the event %s is not that of the ack %s", e.Raw, react.Raw)
	}
	r := w.resume(one, bob, c, 1) // a client that was offline gets all of these events
	r.AwaitSeq(t, c, 2, 7)
}

func TestChange_permissions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, eve := w.person("ann"), w.person("bob"), w.person("eve")
	c := w.channel(chat.Public, ann, bob)
	other := w.channel(chat.Public, ann)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	b, _ := w.connect(url, bob)
	e, _ := w.connect(url, eve)
	m := say(t, a, c, "hello")
	elsewhere := say(t, a, other, "elsewhere")
	edited := edit(t, a, c, m.ID, "hello!")

	wantCode(t, "edit of another's message", edit(t, b, c, m.ID, "mine"), "forbidden")
	wantCode(t, "deletion of another's message", remove(t, b, c, m.ID), "forbidden")
	for _, kind := range []string{"edit", "delete", "react"} {
		more := map[string]any{"body": "x", "emoji": "👍"}
		wantCode(t, kind+" of nothing", change(t, a, kind, c, chat.NewEventID(), chat.ClientID{}, more), "not_found")
		wantCode(t, kind+" of an id that is not a UUIDv7", change(t, a, kind, c, chat.EventID(chat.NewClientID()), chat.ClientID{}, more), "not_found")
		wantCode(t, kind+" of an edit", change(t, a, kind, c, edited.ID, chat.ClientID{}, more), "not_found")
		wantCode(t, kind+" of a message of another channel", change(t, a, kind, c, elsewhere.ID, chat.ClientID{}, more), "not_found")
		wantCode(t, kind+" by a non-member", change(t, e, kind, c, m.ID, chat.ClientID{}, more), "forbidden")
	}
	wantCode(t, "blank edit", edit(t, a, c, m.ID, " "), "invalid_body")
	wantCode(t, "emoji on two lines", change(t, a, "react", c, m.ID, chat.ClientID{}, map[string]any{"emoji": "a\nb"}), "bad_frame")

	w.setRole(c, bob, chat.Admin)
	b2, _ := w.connect(url, bob) // bob's first connection caches the old role for 30 s
	wantCode(t, "an admin edits another's message", edit(t, b2, c, m.ID, "mine"), "forbidden")
	wantAck(t, "an admin deletes", remove(t, b2, c, m.ID), 3)
	wantCode(t, "edit of a deleted message", edit(t, a, c, m.ID, "again"), "conflict")
	m2 := say(t, a, c, "more")
	w.setRole(c, bob, chat.Owner)
	b3, _ := w.connect(url, bob)
	wantAck(t, "an owner deletes", remove(t, b3, c, m2.ID), m2.Seq+1)
	b.AwaitSeq(t, c, 1, 5) // refused frames consumed no seq
}

// The gateway must find the message of a change, and its deletion, in the ring, in older parts of
// the tail and in PostgreSQL.
func TestChange_findsTheMessageInEveryStore(t *testing.T) {
	t.Parallel()
	w, ann, c := newSolo(t)
	one, _ := w.gateway()
	a, _ := w.connect(one, ann)
	const n = 1200 // the ring holds 512 events, a page of the tail 500
	var first, gone wstest.Frame
	for i := range n {
		f := a.Say(t, c, body(i))
		switch i {
		case 0:
			first = a.AwaitRef(t, f.String())
		case 1:
			gone = a.AwaitRef(t, f.String())
		}
	}
	a.AwaitSeq(t, c, 1, n)
	wantAck(t, "delete", remove(t, a, c, gone.ID), n+1)

	two, _ := w.gateway() // has no ring for the channel
	b := wstest.Dial(t, two+"/ws?subscribe=none", ann.Token)
	b.AwaitType(t, "hello")
	for i, conn := range []*wstest.Conn{a, b} {
		wantAck(t, "from the tail", edit(t, conn, c, first.ID, fmt.Sprint(i)), int64(n+2+i))
		wantCode(t, "deleted, by the tail", edit(t, conn, c, gone.ID, "x"), "conflict")
	}
	w.store(c, true)
	for i, conn := range []*wstest.Conn{a, b} {
		wantAck(t, "from PostgreSQL", edit(t, conn, c, first.ID, fmt.Sprint(2+i)), int64(n+4+i))
		wantCode(t, "deleted, by ring or PostgreSQL", edit(t, conn, c, gone.ID, "x"), "conflict")
		wantCode(t, "in no store", edit(t, conn, c, chat.NewEventID(), "x"), "not_found")
	}
}

func TestChange_editWindow(t *testing.T) {
	t.Parallel()
	w, ann, c := newSolo(t)
	open, _ := w.gateway()
	closed, _ := w.gateway(func(cfg *wsserver.Config) { cfg.EditWindow = time.Nanosecond })
	never, _ := w.gateway(func(cfg *wsserver.Config) { cfg.EditWindow = 0 })
	a, _ := w.connect(open, ann)
	m := say(t, a, c, "hello")
	for seq, url := range []string{open, never} {
		conn, _ := w.connect(url, ann)
		wantAck(t, "within the window", edit(t, conn, c, m.ID, "hello!"), int64(2+seq))
	}
	late, _ := w.connect(closed, ann)
	wantCode(t, "after the window", edit(t, late, c, m.ID, "hello?"), "forbidden")
	wantAck(t, "a reaction after the window", change(t, late, "react", c, m.ID, chat.ClientID{}, map[string]any{"emoji": "👍"}), 4)
	wantAck(t, "a deletion after the window", remove(t, late, c, m.ID), 5)

	old := chat.NewEventID()
	w.exec(`insert into messages (channel_id, seq, id, kind, sender_id, body, sent_at) values ($1, 1000, $2, $3, $4, 'x', now() - interval '25 hours')`,
		c.UUID, old.UUID, string(event.Message), ann.ID.UUID)
	refused := edit(t, a, c, old, "x")
	wantCode(t, "a day and an hour old", refused, "forbidden")
	if want := "A message can be edited only within 24 hours of being sent."; refused.Message != want {
		t.Errorf("message %q, want %q", refused.Message, want)
	}
}

// Idempotency is checked first: a retry of an acknowledged frame gets the same ack, no matter what
// has happened since then to the message, the edit window and the stores.
func TestChange_retryGetsTheFirstAck(t *testing.T) {
	t.Parallel()
	pg := schematest.NewServer(t)
	w := newWorldOn(t, &pg.DB)
	ann, bob := w.person("ann"), w.person("bob")
	c := w.channel(chat.Public, ann, bob)
	one, _ := w.gateway()
	two, _ := w.gateway(func(cfg *wsserver.Config) { cfg.EditWindow = time.Nanosecond })
	a, _ := w.connect(one, ann)
	a2, _ := w.connect(two, ann)
	b, _ := w.connect(one, bob)
	m := say(t, a, c, "hello")

	key, text := chat.NewClientID(), map[string]any{"body": "hello!"}
	first := change(t, a, "edit", c, m.ID, key, text)
	wantAck(t, "edit", first, 2)
	same := func(what string, conn *wstest.Conn) {
		t.Helper()
		f := change(t, conn, "edit", c, m.ID, key, text)
		if f.Type != "ack" || !f.Duplicate || f.ID != first.ID || f.Seq != 2 || f.ClientID != key {
			t.Errorf("%s: %s after %s", what, f.Raw, first.Raw)
		}
	}
	same("immediately", a)
	same("window closed", a2)
	wantAck(t, "delete", remove(t, a, c, m.ID), 3)
	a.AwaitSeq(t, c, 1, 3)
	same("deleted", a)
	wantCode(t, "the key with other content", change(t, a, "edit", c, m.ID, key, map[string]any{"body": "other"}), "conflict")
	wantCode(t, "the key for a deletion", change(t, a, "delete", c, m.ID, key, nil), "conflict")
	wantCode(t, "another's key", change(t, b, "edit", c, m.ID, key, text), "forbidden")

	w.store(c, true)
	three, _ := w.gateway()
	a3 := wstest.Dial(t, three+"/ws?subscribe=none", ann.Token)
	a3.AwaitType(t, "hello")
	wantCode(t, "admitted", edit(t, a3, c, m.ID, "hello?"), "conflict")
	pg.Kill(t)
	same("in neither ring nor tail, PostgreSQL down", a3)
	wantCode(t, "a new edit, PostgreSQL down", edit(t, a3, c, m.ID, "hello?"), "unavailable")
	wantCode(t, "a cached role, PostgreSQL down", remove(t, b, c, m.ID), "forbidden")
	n := say(t, a, c, "still chatting")
	wantAck(t, "in the ring, PostgreSQL down", edit(t, a, c, n.ID, "still editing"), n.Seq+1)
}

// While Redis does not respond, an edit gets "unavailable". Its retries must be applied only once.
func TestChange_isAppliedOnceAfterARedisPause(t *testing.T) {
	t.Parallel()
	w, ann, c := newSolo(t)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	m := say(t, a, c, "hello")
	key, text := chat.NewClientID(), map[string]any{"body": "hello!"}
	w.redis.Pause(t)
	wantCode(t, "paused", change(t, a, "edit", c, m.ID, key, text), "unavailable")
	w.redis.Resume(t)
	f := change(t, a, "edit", c, m.ID, key, text)
	if f.Type != "ack" || f.Seq != 2 {
		t.Errorf("after the pause: %s", f.Raw)
	}
	a.AwaitSeq(t, c, 1, 2)
}

// Every edit after an acknowledged deletion must be refused on every instance, even while the
// deletion is still on its way to that instance's ring.
func TestChange_seesTheAcknowledgedDeletion(t *testing.T) {
	t.Parallel()
	w, ann, c := newSolo(t)
	one, _ := w.gateway()
	two, _ := w.gateway()
	a, _ := w.connect(one, ann)
	b, _ := w.connect(two, ann)
	var ids []chat.EventID
	for i := range 100 {
		ids = append(ids, say(t, a, c, body(i)).ID)
	}
	b.AwaitSeq(t, c, 1, 100)
	for _, id := range ids {
		// Keep both instances busy during the deletion and the edit.
		for range 3 {
			a.Say(t, c, "noise")
		}
		if f := remove(t, a, c, id); f.Type != "ack" {
			t.Fatalf("%s", f.Raw)
		}
		wantCode(t, "edit", edit(t, b, c, id, "x"), "conflict")
	}
}

// A client that connects after a deletion must not get the deleted text, neither from a gateway
// that has it in memory nor from one that reads the tail. It must still get every seq.
func TestReplay_hasNoDeletedText(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	kept := say(t, a, c, "kept")
	gone := say(t, a, c, "SECRET1 @bob")
	if f := edit(t, a, c, gone.ID, "SECRET2"); f.Type != "ack" {
		t.Fatalf("edit: %s", f.Raw)
	}
	if f := remove(t, a, c, gone.ID); f.Type != "ack" {
		t.Fatalf("delete: %s", f.Raw)
	}
	last := say(t, a, c, "after")
	fresh, _ := w.gateway()
	for name, url := range map[string]string{"in memory": url, "from the tail": fresh} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // the second read is served from memory
				b := w.resume(url, bob, c, 0)
				b.AwaitSeq(t, c, 1, last.Seq)
				for _, f := range b.Events(c) {
					if strings.Contains(string(f.Raw), "SECRET") || strings.Contains(string(f.Raw), bob.ID.String()) {
						t.Errorf("seq %d: %s", f.Seq, f.Raw)
					}
					if f.Seq == kept.Seq && f.Body != "kept" {
						t.Errorf("a message that was not deleted: %s", f.Raw)
					}
				}
			}
		})
	}
}
