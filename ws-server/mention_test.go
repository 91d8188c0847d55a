package wsserver_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/internal/eventlog/mention"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-migrations/schematest"
)

// mentionsOf returns the users an event mentions.
func mentionsOf(t testing.TB, f wstest.Frame) (ids []chat.UserID) {
	t.Helper()
	var m struct {
		Mentions []chat.UserID `json:"mentions"`
	}
	if err := json.Unmarshal(f.Raw, &m); err != nil {
		t.Fatal(err)
	}
	return m.Mentions
}

func TestMentions_areResolvedBeforeTheAppend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.person("ann"), w.person("bob")
	w.person("eve")
	c := w.channel(chat.Public, ann, bob)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	b, _ := w.connect(url, bob)
	var first wstest.Frame
	for i, tt := range []struct {
		body string
		want []chat.UserID
	}{
		{"nobody", nil},
		{"@Bob and @ann, not @eve", []chat.UserID{bob.ID, ann.ID}},
		{"@channel: look, @bob.", []chat.UserID{mention.All(c), bob.ID}},
	} {
		ack := say(t, a, c, tt.body)
		if i == 0 {
			first = ack
		}
		got := b.Await(t, "the message", func(f wstest.Frame) bool { return f.Type == "message" && f.Seq == ack.Seq })
		if ids := mentionsOf(t, got); !slices.Equal(ids, tt.want) {
			t.Errorf("%q mentions %v, want %v", tt.body, ids, tt.want)
		}
	}
	wantAck(t, "an edit", edit(t, a, c, first.ID, "now @bob"), 4)
	got := b.AwaitType(t, "edit")
	if ids := mentionsOf(t, got); !slices.Equal(ids, []chat.UserID{bob.ID}) {
		t.Errorf("the edit mentions %v", ids)
	}
}

// Messages that are sent during a PostgreSQL outage are delivered immediately and in order. They
// mention nobody by name, but a user who was allowed to mention everybody still can.
func TestMentions_withoutPostgreSQL(t *testing.T) {
	t.Parallel()
	pg := schematest.NewServer(t)
	w := newWorldOn(t, &pg.DB)
	ann, bob := w.person("ann"), w.person("bob")
	c := w.channel(chat.Public, ann, bob)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	pg.Stop(t)
	began := time.Now()
	const n = 20
	for i := range n {
		a.Say(t, c, fmt.Sprintf("%d: @bob, @channel", i))
	}
	a.AwaitSeq(t, c, 1, n)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("%d messages took %s", n, took)
	}
	for i, f := range a.Events(c) {
		if f.Body != fmt.Sprintf("%d: @bob, @channel", i) || !slices.Equal(mentionsOf(t, f), []chat.UserID{mention.All(c)}) {
			t.Errorf("message %d: %s", i, f.Raw)
		}
	}
	pg.Start(t)
	testkit.Until(t, testkit.Timeout, func() error {
		ack := say(t, a, c, "@bob")
		f := a.Await(t, "the message", func(f wstest.Frame) bool { return f.Type == "message" && f.Seq == ack.Seq })
		if ids := mentionsOf(t, f); !slices.Equal(ids, []chat.UserID{bob.ID}) {
			return fmt.Errorf("mentions %v", ids)
		}
		return nil
	})
}

// In a channel in which only admins may mention everybody, @channel from a plain member is plain
// text, both in messages and in edits.
func TestMentions_ofAllMembersNeedPermission(t *testing.T) {
	t.Parallel()
	w, ann, bob, c := newPair(t)
	w.exec("update channels set mention_all = 'admins' where id = $1", c.UUID)
	w.exec("update channel_members set role = 'admin' where channel_id = $1 and user_id = $2", c.UUID, ann.ID.UUID)
	url, _ := w.gateway()
	for who, want := range map[person]int{ann: 1, bob: 0} {
		conn, _ := w.connect(url, who)
		conn.Send(t, map[string]any{"type": "send", "ref": "s", "channel_id": c, "client_id": chat.NewClientID(), "body": "@channel hello"})
		sent := conn.AwaitType(t, "message")
		if len(mentionsOf(t, sent)) != want {
			t.Errorf("%s: %s, want %d mentions", who.Name, sent.Raw, want)
		}
	}
}
