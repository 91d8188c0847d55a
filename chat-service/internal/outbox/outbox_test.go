package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/uptrace/bun"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/eventlog/appender"
	"parley.chat/internal/eventlog/unstored"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/chattest"
	"parley.chat/chat-service/internal/revoked"
	"parley.chat/chat-service/internal/seen"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// fixture is a deployment with a real PostgreSQL and a real Redis, in which relays run.
type fixture struct {
	*chattest.World
	relays []*Relay
}

func newFixture(t testing.TB, relays int) *fixture {
	t.Helper()
	f := &fixture{World: chattest.OpenWithRedis(t)}
	logger := slog.New(slog.DiscardHandler) // the tests cause errors on purpose
	for range relays {
		floor := unstored.Rows{DB: f.DB}.MaxSeq
		heads := seen.New(f.Log, floor, logger)
		a := appender.New(f.Log, f.RDB, floor, appender.Config{
			Logger: logger, Known: heads.Known, Diverged: heads.Diverged, Stored: unstored.Rows{DB: f.DB},
		})
		relay := NewRelay(Config{
			DB: f.DB, Log: f.Log, Appender: a, Seen: heads, Revoked: revoked.New(f.RDB, f.DB, chattest.Partitions, time.Minute, logger),
			Logger: logger, Registry: prometheus.NewRegistry(),
		})
		f.relays = append(f.relays, relay)
		ctx, stop := context.WithCancel(context.Background())
		var running, appending sync.WaitGroup
		appendCtx, stopAppender := context.WithCancel(context.Background())
		appending.Go(func() { _ = a.Run(appendCtx) })
		running.Go(func() { _ = relay.Run(ctx) })
		t.Cleanup(func() {
			stop()
			running.Wait()
			stopAppender()
			appending.Wait()
		})
	}
	return f
}

// commit runs a transaction and pokes all relays after the commit, so that they compete for the
// rows.
func (f *fixture) commit(do func(context.Context, bun.Tx) error) {
	f.T.Helper()
	f.In(do)
	for _, r := range f.relays {
		r.Poke()
	}
}

func (f *fixture) add(rows ...Row) {
	f.T.Helper()
	f.commit(func(ctx context.Context, tx bun.Tx) error { return Add(ctx, tx, rows...) })
}

// TestRelay_crashBetweenAppendAndDelete makes the delete of a row fail after the event was
// appended. Relaying the row again must not append a second event.
func TestRelay_crashBetweenAppendAndDelete(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	ann, channel := f.User("ann").UserID, f.Channel(chat.Private, "room")
	f.Exec(`create function refuse() returns trigger language plpgsql as $$ begin raise exception 'died here'; end $$`)
	f.Exec(`create trigger die before delete on outbox for each statement execute function refuse()`)
	f.add(Membership(MemberJoined, channel, ann, ann, "ann"))
	testkit.Until(t, testkit.Timeout, func() error {
		if got := f.EventLog(channel); got != "1 member_joined ann" {
			return fmt.Errorf("events: %q", got)
		}
		return nil
	})
	if n := f.Count("select count(*) from outbox"); n != 1 {
		t.Fatalf("%d rows in the outbox, want the one that could not be deleted", n)
	}
	f.Exec("drop trigger die on outbox")
	f.Settled()
	if got := f.EventLog(channel); got != "1 member_joined ann" {
		t.Errorf("events: %s, want one event", got)
	}
}

// TestRelay_many checks that several relays relay every row exactly once and in order.
func TestRelay_many(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 3)
	ann := f.User("ann").UserID
	channels := []chat.ChannelID{f.Channel(chat.Private, "room"), f.Channel(chat.Private, "room"), f.Channel(chat.Private, "room")}
	const n = 250 // more rows per channel than one round relays
	var rows []Row
	var want []string
	for i := range n {
		name := fmt.Sprint("user-", i)
		want = append(want, fmt.Sprint(i+1, " member_joined ", name))
		for _, c := range channels {
			rows = append(rows, Membership(MemberJoined, c, ann, chat.NewUserID(), name))
		}
	}
	f.add(rows...)
	f.Settled()
	for _, c := range channels {
		if got := f.EventLog(c); got != strings.Join(want, ", ") {
			t.Fatalf("events: %s", got)
		}
	}
	var relayed float64
	for _, r := range f.relays {
		relayed += testutil.ToFloat64(r.relayed)
	}
	if relayed != float64(len(rows)) {
		t.Errorf("%v rows were relayed, want each of %d once", relayed, len(rows))
	}
}

// TestRelay_malformedRowsDoNotBlock checks that rows that can never be relayed are dropped.
func TestRelay_malformedRowsDoNotBlock(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	ann, channel := f.User("ann").UserID, f.Channel(chat.Private, "room")
	f.commit(func(ctx context.Context, tx bun.Tx) error {
		for _, kind := range []string{"unheard_of", "member_joined", "session_revoked", "direct_opened", "channel_updated", "channel_closed", "group_changed", "invited", "blocked", "reaction"} {
			if _, err := tx.NewRaw("insert into outbox (kind, channel_id, payload) values (?, ?, '[]')", kind, channel).Exec(ctx); err != nil {
				return err
			}
		}
		return Add(ctx, tx, Membership(MemberJoined, channel, ann, ann, "ann"))
	})
	f.Settled()
	if got := f.EventLog(channel); got != "1 member_joined ann" {
		t.Errorf("events: %s", got)
	}
	if n := testutil.ToFloat64(f.relays[0].dropped); n != 10 {
		t.Errorf("%v rows were dropped, want 10", n)
	}
}

// TestAdd_pages checks that a change that affects many users is split into several rows, which
// together name each user once.
func TestAdd_pages(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 0)
	channel, group, ann := f.Channel(chat.Private, "room"), f.Group(), f.User("ann").UserID
	f.Exec("insert into users (id, username, email, password_hash) select gen_random_uuid(), 'user-' || n, n || '@example.org', '' from generate_series(1, $1::int) n", 2*usersPerRow)
	f.Exec("insert into channel_members (channel_id, user_id) select $1, id from users", channel.String())
	f.Exec("insert into group_members (group_id, user_id, role) select $1, id, 'member' from users", group.String())
	for name, add := range map[string]func(context.Context, bun.Tx) error{
		"closed channel": func(ctx context.Context, tx bun.Tx) error { return AddClosed(ctx, tx, channel, ann) },
		"changed group":  func(ctx context.Context, tx bun.Tx) error { return AddGroupChange(ctx, tx, group, ann, "updated") },
	} {
		err := f.DB.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			if err := add(ctx, tx); err != nil {
				return err
			}
			var sizes, users string
			err := tx.NewRaw(`select string_agg(jsonb_array_length(payload->'user_ids')::text, ' ' order by id),
				(select count(distinct u) from outbox, jsonb_array_elements_text(payload->'user_ids') u)::text from outbox`).Scan(ctx, &sizes, &users)
			if err != nil {
				return err
			}
			if want := fmt.Sprint(usersPerRow, " ", usersPerRow, " 1"); sizes != want || users != fmt.Sprint(2*usersPerRow+1) {
				t.Errorf("%s: rows of %s users, %s different users; want %s", name, sizes, users, want)
			}
			_, err = tx.NewRaw("delete from outbox").Exec(ctx)
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
