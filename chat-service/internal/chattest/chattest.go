// Package chattest gives each test of chat-service its own real PostgreSQL database and Redis
// server. It also creates the users, groups and channels that a test starts with. It inserts their
// rows directly, without applying the rules of the service. Only test files import the package.
package chattest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/uptrace/bun"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/internal/platform/database"
	"parley.chat/internal/platform/names"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-migrations/schematest"
)

// Partitions is the number of partitions of a World's streams.
const Partitions = 16

// World is a test deployment: a PostgreSQL database, optionally a Redis server, and no running
// services. Its methods fail the test T on errors.
type World struct {
	T        testing.TB
	PG       *pgtest.DB
	DB       *bun.DB           // connected as chat-service
	Pool     *pgxpool.Pool     // connected as superuser
	Redis    *redistest.Server // this field and the next three are nil if the world has no Redis
	RDB      *redis.Client
	Log      *eventlog.Log
	Receipts *receiptlog.Log

	users map[string]chat.UserID
}

// Open returns a world that has the given users but no Redis.
func Open(t testing.TB, users ...string) *World {
	t.Helper()
	return On(t, schematest.Open(t), nil, users...)
}

// OpenWithRedis returns a world with users.
func OpenWithRedis(t testing.TB, users ...string) *World {
	t.Helper()
	return On(t, schematest.Open(t), redistest.NewServer(t), users...)
}

// On returns a world that uses the given PostgreSQL and Redis and has the given users. r may be
// nil.
func On(t testing.TB, pg *pgtest.DB, r *redistest.Server, users ...string) *World {
	t.Helper()
	db, err := database.Open(pg.URL, database.Options{Role: "parley_chat", MaxConns: 20, StatementTimeout: testkit.Timeout, Inline: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w := &World{T: t, PG: pg, DB: db, Pool: pg.Pool(t), Redis: r, users: map[string]chat.UserID{}}
	if r != nil {
		w.RDB = r.Client(t)
		w.Log, w.Receipts = eventlog.New(w.RDB, Partitions), receiptlog.New(w.RDB, Partitions)
	}
	for _, name := range users {
		w.User(name)
	}
	return w
}

// User inserts a user and returns the claims of their token.
func (w *World) User(name string) token.Claims {
	w.T.Helper()
	w.users[name] = chat.NewUserID()
	w.Exec("insert into users (id, username, email, password_hash) values ($1, $2::text, $2::text || '@example.com', '')", w.users[name].String(), name)
	return w.Claims(name)
}

// Claims returns the claims of a user's token.
func (w *World) Claims(name string) token.Claims {
	w.T.Helper()
	return token.Claims{UserID: w.ID(name), Username: name}
}

// ID returns the id of a user.
func (w *World) ID(name string) chat.UserID {
	w.T.Helper()
	id, ok := w.users[name]
	if !ok {
		w.T.Fatalf("the world has no user %s", name)
	}
	return id
}

// Session inserts a session of a user.
func (w *World) Session(user string) chat.SessionID {
	w.T.Helper()
	id := chat.NewSessionID()
	w.Exec("insert into sessions (id, user_id, created_at, last_used_at, expires_at) values ($1, $2, now(), now(), now() + interval '1 hour')", id.String(), w.ID(user).String())
	return id
}

// Contact inserts a contact row that belongs to one user and concerns another user.
func (w *World) Contact(user, contact, state string) {
	w.T.Helper()
	w.Exec("insert into contacts (user_id, contact_id, state) values ($1, $2, $3)", w.ID(user).String(), w.ID(contact).String(), state)
}

// Group inserts a group with the given members, in the order in which they joined. Each member has
// the form "name" or "name role".
func (w *World) Group(members ...string) chat.GroupID {
	w.T.Helper()
	id := chat.NewGroupID()
	w.Exec("insert into groups (id, name) values ($1, 'team')", id.String())
	w.join("group_members (group_id, user_id, role, joined_at)", id.String(), members)
	return id
}

// Channel inserts a channel with the given members, in the order in which they joined. Each member
// has the form "name" or "name role".
func (w *World) Channel(kind chat.ChannelKind, name string, members ...string) chat.ChannelID {
	w.T.Helper()
	return w.ChannelIn(nil, kind, name, members...)
}

// ChannelIn inserts a channel of a group, which may be nil.
func (w *World) ChannelIn(group *chat.GroupID, kind chat.ChannelKind, name string, members ...string) chat.ChannelID {
	w.T.Helper()
	id := chat.NewChannelID()
	var in *string
	if group != nil {
		in = new(group.String())
	}
	w.Exec("insert into channels (id, kind, name, lookalike, group_id) values ($1, $2, $3, $4, $5)", id.String(), string(kind), name, names.Key(name), in)
	w.join("channel_members (channel_id, user_id, role, joined_at)", id.String(), members)
	return id
}

// join inserts members, each of whom joined one minute after the previous one.
func (w *World) join(table, id string, members []string) {
	w.T.Helper()
	for i, m := range members {
		user, role, found := strings.Cut(m, " ")
		if !found {
			role = string(chat.Member)
		}
		w.Exec("insert into "+table+" values ($1, $2, $3, now() - interval '1 day' + $4 * interval '1 minute')", id, w.ID(user).String(), role, i)
	}
}

// Direct opens the direct channel of two users.
func (w *World) Direct(a, b string) chat.ChannelID {
	w.T.Helper()
	id, err := chat.ParseChannelID(w.Text("select channel_id::text from open_direct_channel($1, $2)", w.ID(a).String(), w.ID(b).String()))
	if err != nil {
		w.T.Fatal(err)
	}
	return id
}

// Messages stores messages with the seqs 1 to n.
func (w *World) Messages(channel chat.ChannelID, n int) {
	w.T.Helper()
	w.Exec(`insert into messages (channel_id, seq, id, kind, sender_id, body, sent_at)
		select $1, n, gen_random_uuid(), 'message', gen_random_uuid(), 'hi', now() from generate_series(1, $2) n`, channel.String(), n)
}

// Exec executes a statement as superuser.
func (w *World) Exec(sql string, args ...any) {
	w.T.Helper()
	if _, err := w.Pool.Exec(w.T.Context(), sql, args...); err != nil {
		w.T.Fatalf("%s: %v", sql, err)
	}
}

// Text returns the single text value that a query selects, or "" if it is null.
func (w *World) Text(sql string, args ...any) string {
	w.T.Helper()
	var text *string
	w.scan(&text, sql, args)
	if text == nil {
		return ""
	}
	return *text
}

// Count returns the single number that a query selects.
func (w *World) Count(sql string, args ...any) (n int) {
	w.T.Helper()
	w.scan(&n, sql, args)
	return n
}

func (w *World) scan(into any, sql string, args []any) {
	w.T.Helper()
	if err := w.Pool.QueryRow(w.T.Context(), sql, args...).Scan(into); err != nil {
		w.T.Fatalf("%s: %v", sql, err)
	}
}

// In runs a transaction as chat-service.
func (w *World) In(do func(context.Context, bun.Tx) error) {
	w.T.Helper()
	if err := w.DB.RunInTx(w.T.Context(), nil, do); err != nil {
		w.T.Fatal(err)
	}
}

// Settled waits until the outbox is empty.
func (w *World) Settled() {
	w.T.Helper()
	testkit.Until(w.T, testkit.Timeout, func() error {
		if n := w.Count("select count(*) from outbox"); n > 0 {
			return fmt.Errorf("%d rows in the outbox", n)
		}
		return nil
	})
}

// AwaitLocks waits until at least n statements in the database are waiting for a lock.
func (w *World) AwaitLocks(n int) {
	w.T.Helper()
	testkit.Until(w.T, testkit.Timeout, func() error {
		got := w.Count("select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
		if got < n {
			return fmt.Errorf("%d statements wait for a lock, want %d", got, n)
		}
		return nil
	})
}

// Events returns the events in a channel's tail.
func (w *World) Events(channel chat.ChannelID) []frame.Event {
	w.T.Helper()
	items, err := w.Log.Tail(w.T.Context(), channel, 1000)
	events := make([]frame.Event, len(items))
	for i, it := range items {
		var broken error
		events[i], broken = frame.DecodeEvent(it.Frame)
		err = errors.Join(err, broken)
	}
	if err != nil {
		w.T.Fatal(err)
	}
	return events
}

// EventLog returns the events in a channel's tail in short form: "1 member_joined ann, 2 message
// hi".
func (w *World) EventLog(channel chat.ChannelID) string {
	w.T.Helper()
	var parts []string
	for _, e := range w.Events(channel) {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("%d %s %s%s", e.Seq, e.Type, e.Username, e.Body)))
	}
	return strings.Join(parts, ", ")
}

// WantCode fails the test unless err has the given code.
func (w *World) WantCode(what string, err error, code apierr.Code) {
	w.T.Helper()
	if err == nil || apierr.CodeOf(err) != code {
		w.T.Errorf("%s: error %v, want code %s", what, err, code)
	}
}
