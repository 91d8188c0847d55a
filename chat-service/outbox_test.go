package chatservice_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-migrations/schematest"
)

// TestOutbox_crashBetweenAppendAndDelete makes the delete of a row fail after the event was
// appended. Relaying the row again must not append a second event.
func TestOutbox_crashBetweenAppendAndDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("ann")
	w.exec(`create function refuse() returns trigger language plpgsql as $$ begin raise exception 'died here'; end $$`)
	w.exec(`create trigger die before delete on outbox for each statement execute function refuse()`)
	channel := w.create(ann, "general", "public")
	testkit.Until(t, testkit.Timeout, func() error {
		if got := w.eventLog(channel.ID); got != "1 member_joined ann" {
			return fmt.Errorf("events: %q", got)
		}
		return nil
	})
	if n := w.count("select count(*) from outbox"); n != 1 {
		t.Fatalf("%d rows in the outbox, want the one that could not be deleted", n)
	}
	w.exec("drop trigger die on outbox")
	w.settled()
	if got := w.eventLog(channel.ID); got != "1 member_joined ann" {
		t.Errorf("events: %s, want one event", got)
	}
}

// TestOutbox_manyRelays checks that several instances relay every row exactly once and in order.
func TestOutbox_manyRelays(t *testing.T) {
	t.Parallel()
	db, r := schematest.Open(t), redistest.NewServer(t)
	w := newWorldOn(t, db, r)
	newWorldOn(t, db, r)
	newWorldOn(t, db, r)
	ann := w.signup("ann")
	var channels []chat.ChannelID
	for i := range 3 {
		channels = append(channels, w.create(ann, fmt.Sprint("room ", i), "public").ID)
	}
	w.settled()
	const n = 250 // more than one round relays per channel
	tx, err := w.db.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		for _, c := range channels {
			if _, err := tx.Exec(context.Background(), `insert into outbox (kind, channel_id, actor_id, subject_id, payload)
				values ('member_joined', $1, $2, gen_random_uuid(), jsonb_build_object('username', $3::text))`,
				c.String(), ann.ID.String(), fmt.Sprint("user-", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := tx.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.settled()
	for _, c := range channels {
		events := w.events(c)
		if len(events) != n+1 {
			t.Fatalf("%d events, want %d", len(events), n+1)
		}
		for i, e := range events[1:] {
			if e.Username != fmt.Sprint("user-", i) {
				t.Fatalf("event %d is for %s, which is out of order", e.Seq, e.Username)
			}
		}
	}
}

// TestOutbox_directChannelOfGateway checks that a direct channel that ws-server creates in
// PostgreSQL is published immediately, not at the next poll.
func TestOutbox_directChannelOfGateway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("ann")
	peers := make([]user, 5)
	for i := range peers {
		peers[i] = w.signup(fmt.Sprint("peer-", i))
	}
	testkit.Until(t, testkit.Timeout, func() error {
		if w.count("select count(*) from pg_stat_activity where datname = current_database() and query like 'listen%'") == 0 {
			return errors.New("no connection listens yet")
		}
		return nil
	})
	w.settled()
	start := time.Now()
	for _, p := range peers { // one after the other; with polling, each would take up to a second
		w.exec("select open_direct_channel($1, $2)", ann.ID.String(), p.ID.String())
		w.settled()
	}
	if took := time.Since(start); took > 2500*time.Millisecond {
		t.Errorf("publishing %d direct channels took %v", len(peers), took)
	}
}

// TestOutbox_redisDown checks that changes made while Redis is down are published in order
// afterwards.
func TestOutbox_redisDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	channel := w.create(ann, "general", "public")
	w.settled()
	w.redis.Kill(t)
	w.join(bob, channel.ID)
	if a := w.post("/v1/channels/"+channel.ID.String()+"/leave", bob.Token, nil); a.status != 204 {
		t.Fatalf("leave = %d %s", a.status, a.body)
	}
	w.redis.Start(t)
	w.settled()
	if got := w.eventLog(channel.ID); got != "1 member_joined ann, 2 member_joined bob, 3 member_left bob" {
		t.Errorf("events: %s", got)
	}
}

// TestOutbox_malformedRowsDoNotBlock checks that rows that can never be relayed are dropped.
func TestOutbox_malformedRowsDoNotBlock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	channel := w.create(ann, "general", "public")
	w.settled()
	tx, err := w.db.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"unheard_of", "member_joined", "session_revoked", "direct_opened", "channel_updated"} {
		if _, err := tx.Exec(context.Background(), "insert into outbox (kind, channel_id, payload) values ($1, $2, '[]')", kind, channel.ID.String()); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.join(bob, channel.ID)
	w.settled()
	if got := w.eventLog(channel.ID); got != "1 member_joined ann, 2 member_joined bob" {
		t.Errorf("events: %s", got)
	}
}
