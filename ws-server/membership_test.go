package wsserver_test

import (
	"fmt"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/shared-migrations/schematest"
	wsserver "parley.chat/ws-server"
)

func verifyOften(cfg *wsserver.Config) { cfg.VerifyEvery = time.Second }

// alive fails the test if the connection does not answer a ping.
func alive(t testing.TB, c *wstest.Conn) {
	t.Helper()
	ref := chat.NewClientID().String()
	c.Send(t, map[string]any{"type": "ping", "ref": ref})
	c.AwaitRef(t, ref)
}

func awaitRemoved(t testing.TB, conn *wstest.Conn, c chat.ChannelID) {
	t.Helper()
	conn.Await(t, "the removal", func(f wstest.Frame) bool {
		return f.Type == "membership" && f.Change == "removed" && f.ChannelID == c
	})
	testkit.Until(t, testkit.Timeout, func() error {
		ref := chat.NewClientID().String()
		conn.Send(t, map[string]any{"type": "presence", "ref": ref, "channel_id": c})
		if f := conn.AwaitRef(t, ref); f.Code != "not_subscribed" {
			return fmt.Errorf("%s", f.Raw)
		}
		return nil
	})
}

func TestMembership_isVerifiedWhenNoticesAreLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.person("ann"), w.person("bob")
	c, deleted, kept := w.channel(chat.Public, ann, bob), w.channel(chat.Public, ann, bob), w.channel(chat.Public, ann, bob)
	url, _ := w.gateway(verifyOften)
	a, _ := w.connect(url, ann)
	b, _ := w.connect(url, bob)
	only := wstest.Dial(t, url+"/ws/"+c.String(), bob.Token)
	only.AwaitType(t, "hello")

	w.exec(`delete from channel_members where channel_id = $1 and user_id = $2`, c.UUID, bob.ID.UUID)
	awaitRemoved(t, b, c)
	if code, _ := only.AwaitClose(t); code != 4503 {
		t.Errorf("the socket of one channel: closed with %d, want 4503", code)
	}
	seen := len(b.Events(c))
	a.AwaitRef(t, a.Say(t, c, "between us").String())
	ack := a.AwaitRef(t, a.Say(t, kept, "to all").String())
	b.AwaitSeq(t, kept, 1, ack.Seq)
	if len(b.Events(c)) != seen {
		t.Error("a removed member still gets events")
	}
	b.Send(t, map[string]any{"type": "subscribe", "ref": "s", "channel_id": c})
	if f := b.AwaitRef(t, "s"); f.Code != "forbidden" {
		t.Errorf("subscribing again: %s", f.Raw)
	}

	w.exec(`update channels set deleted_at = now() where id = $1`, deleted.UUID)
	awaitRemoved(t, a, deleted)
	awaitRemoved(t, b, deleted)

	other := bob
	other.Session = chat.NewSessionID()
	other.Token = w.token(other)
	b2, _ := w.connect(url, other)
	mark := rediskey.UserRevoked(rediskey.Of(bob.ID.UUID, 16), bob.ID, bob.Session)
	if err := w.rdb.Set(t.Context(), mark, 1, time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	if code, _ := b.AwaitClose(t); code != 4509 {
		t.Errorf("the revoked session: closed with %d, want 4509", code)
	}
	alive(t, b2)
	alive(t, a)
}

func TestMembership_staysWhilePostgreSQLIsDown(t *testing.T) {
	t.Parallel()
	pg := schematest.NewServer(t)
	w := newWorldOn(t, &pg.DB)
	ann, bob := w.person("ann"), w.person("bob")
	c := w.channel(chat.Public, ann, bob)
	url, _ := w.gateway(verifyOften)
	a, _ := w.connect(url, ann)
	b, _ := w.connect(url, bob)
	pg.Stop(t)
	checks := w.commands()["exists"] // each verification also checks the marks for revoked sessions
	testkit.Until(t, testkit.Timeout, func() error {
		if n := w.commands()["exists"] - checks; n < 3*2 {
			return fmt.Errorf("%d session checks, want those of 3 verifications", n)
		}
		return nil
	})
	for i := range 4 {
		if ack := a.AwaitRef(t, a.Say(t, c, body(i)).String()); ack.Type != "ack" {
			t.Fatalf("without PostgreSQL: %s", ack.Raw)
		}
	}
	b.AwaitSeq(t, c, 1, 4)
	pg.Start(t)
	w.exec(`delete from channel_members where user_id = $1`, bob.ID.UUID)
	awaitRemoved(t, b, c)
	alive(t, a)
}

// A connection replays no events from before its user joined, since messages may have been edited
// or deleted before the user joined. The client reads history over REST instead, and later events
// are live.
func TestSubscribe_replaysNothingFromBeforeTheJoin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.person("ann"), w.person("bob")
	c := w.channel(chat.Public, ann)
	url, _ := w.gateway()
	a, _ := w.connect(url, ann)
	for i := range 3 {
		a.AwaitRef(t, a.Say(t, c, body(i)).String())
	}
	w.exec(`insert into channel_members (channel_id, user_id, joined_seq) values ($1, $2, 3)`, c.UUID, bob.ID.UUID)
	a.AwaitRef(t, a.Say(t, c, body(3)).String())
	for _, tt := range []struct {
		lastSeen int64
		more     bool
	}{{0, true}, {2, true}, {3, false}, {4, false}} {
		b := w.resume(url, bob, c, tt.lastSeen)
		f := b.AwaitRef(t, "r")
		if f.Type != "subscribed" || f.HasMore != tt.more || f.Recovered == tt.more {
			t.Errorf("from %d: %s, want has_more %v", tt.lastSeen, f.Raw, tt.more)
		}
		next := tt.lastSeen + 1
		if tt.more {
			next = f.LastSeq + 1
		}
		a.AwaitRef(t, a.Say(t, c, "afterwards").String())
		if first := b.AwaitType(t, "message"); first.Seq != next {
			t.Errorf("from %d: the first event is %s, want seq %d", tt.lastSeen, first.Raw, next)
		}
		b.Close()
	}
}
