package chatservice_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit"
)

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
		if w.Count("select count(*) from pg_stat_activity where datname = current_database() and query like 'listen%'") == 0 {
			return errors.New("no connection listens yet")
		}
		return nil
	})
	w.Settled()
	start := time.Now()
	for _, p := range peers { // one after the other: by polling, each would take up to a second
		w.Exec("select open_direct_channel($1, $2)", ann.ID.String(), p.ID.String())
		w.Settled()
	}
	if took := time.Since(start); took > 2500*time.Millisecond {
		t.Errorf("publishing %d direct channels took %v", len(peers), took)
	}
}

// TestOutbox_redisDown checks that changes made while Redis is down are published in order when it
// is back.
func TestOutbox_redisDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	channel := w.create(ann, "general", "public")
	w.Settled()
	w.Redis.Kill(t)
	w.join(bob, channel.ID)
	if a := w.post("/v1/channels/"+channel.ID.String()+"/leave", bob.Token, nil); a.status != 204 {
		t.Fatalf("leave = %d %s", a.status, a.body)
	}
	w.Redis.Start(t)
	w.Settled()
	if got := w.EventLog(channel.ID); got != "1 member_joined ann, 2 member_joined bob, 3 member_left bob" {
		t.Errorf("events: %s", got)
	}
}
