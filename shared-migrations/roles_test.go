package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	migrations "parley.chat/shared-migrations"
	"parley.chat/shared-migrations/schematest"
)

const (
	ann = "00000000-0000-4000-8000-00000000000a"
	bob = "00000000-0000-4000-8000-00000000000b"
	eve = "00000000-0000-4000-8000-00000000000e"
)

// sqlState returns the SQLSTATE of err, or "" if it has none.
func sqlState(err error) string {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.Code
	}
	return ""
}

const insufficientPrivilege = "42501"

// tables lists Parley's tables.
func tables(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	var names []string
	err := pool.QueryRow(t.Context(), `select array_agg(tablename::text order by tablename) from pg_tables
		where schemaname = 'public' and 'public.' || tablename <> $1`, migrations.VersionTable).Scan(&names)
	if err != nil || len(names) == 0 {
		t.Fatalf("tables = %v, %v", names, err)
	}
	return names
}

// users creates three users.
func users(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `insert into users (id, username, email, password_hash)
		select id::uuid, name, name || '@example.org', 'secret' from (values ($1, 'ann'), ($2, 'bob'), ($3, 'eve')) u (id, name)`, ann, bob, eve)
	if err != nil {
		t.Fatal(err)
	}
}

// can reports whether the role has any of the privileges on the table or on one of its columns.
func can(t *testing.T, pool *pgxpool.Pool, role, table, privileges string) bool {
	t.Helper()
	var yes bool
	columns := strings.ReplaceAll(strings.ReplaceAll(privileges, ",DELETE", ""), ",TRUNCATE", "")
	err := pool.QueryRow(t.Context(), "select has_table_privilege($1, $2::regclass, $3) or has_any_column_privilege($1, $2::regclass, $4)",
		role, table, privileges, columns).Scan(&yes)
	if err != nil {
		t.Fatal(err)
	}
	return yes
}

func TestRoles_writes(t *testing.T) {
	t.Parallel()
	admin := schematest.Open(t).Pool(t)
	mayWrite := map[string]string{
		"parley_ws":   "",
		"parley_sync": "erasures messages channel_members sync_watermarks",
		"parley_chat": "avatars channel_bans channel_members channels contacts devices group_members erasures groups invitations outbox refresh_tokens reserved_names sessions token_keys users",
	}
	for role, allowed := range mayWrite {
		for _, table := range tables(t, admin) {
			// The list for parley_sync is incomplete, because projections are added and removed. So
			// the privileges of parley_sync are checked only below.
			got := can(t, admin, role, table, "INSERT,UPDATE,DELETE,TRUNCATE")
			if want := strings.Contains(" "+allowed+" ", " "+table+" "); role != "parley_sync" && got != want {
				t.Errorf("%s writes %s: %v, want %v", role, table, got, want)
			}
		}
		for table := range strings.FieldsSeq(allowed) {
			if !can(t, admin, role, table, "INSERT,UPDATE,DELETE,TRUNCATE") {
				t.Errorf("%s may not write %s", role, table)
			}
		}
		var schema bool
		if err := admin.QueryRow(t.Context(), "select has_schema_privilege($1, 'public', 'create')", role).Scan(&schema); err != nil || schema {
			t.Errorf("%s may change the schema: %v, %v", role, schema, err)
		}
	}
}

func TestRoles_syncCannotReadUsers(t *testing.T) {
	t.Parallel()
	db := schematest.Open(t)
	admin, sync := db.Pool(t), db.PoolAs(t, "parley_sync")
	for _, table := range []string{"users", "sessions", "refresh_tokens", "devices", "contacts", "groups", "group_members", "outbox"} {
		if can(t, admin, "parley_sync", table, "SELECT,INSERT,UPDATE,DELETE,TRUNCATE") {
			t.Errorf("parley_sync has rights on %s", table)
		}
		if _, err := sync.Exec(t.Context(), "select * from "+table); sqlState(err) != insufficientPrivilege {
			t.Errorf("parley_sync reads %s: %v", table, err)
		}
	}
	for _, sql := range []string{
		"select * from channels, channel_members",
		"update channel_members set last_read_seq = 1, last_delivered_seq = 1",
		"insert into sync_watermarks (partition) values (0)",
		"select * from sync_watermarks where partition = 0 for update",
		"insert into messages (channel_id, seq, id, kind, sender_id, sent_at) values (gen_random_uuid(), 1, gen_random_uuid(), 'message', gen_random_uuid(), now())",
		"update messages set body = 'edited'",
	} {
		if _, err := sync.Exec(t.Context(), sql); err != nil {
			t.Errorf("parley_sync: %s: %v", sql, err)
		}
	}
	if _, err := sync.Exec(t.Context(), "update channel_members set role = 'owner'"); sqlState(err) != insufficientPrivilege {
		t.Errorf("parley_sync makes members owners: %v", err)
	}
	var id string
	err := sync.QueryRow(t.Context(), "select channel_id from open_direct_channel($1, $2)", ann, bob).Scan(&id)
	if sqlState(err) != insufficientPrivilege {
		t.Errorf("parley_sync opens direct channels: %v", err)
	}
}

// TestRoles_syncAsksWhoIsUnknown checks that sync-service can find out whether a user exists, but
// nothing else about users.
func TestRoles_syncAsksWhoIsUnknown(t *testing.T) {
	t.Parallel()
	db := schematest.Open(t)
	users(t, db.Pool(t))
	const nobody = "00000000-0000-4000-8000-00000000000f"
	var unknown []string
	err := db.PoolAs(t, "parley_sync").QueryRow(t.Context(), "select array_agg(u::text) from unknown_users($1) u", []string{ann, nobody}).Scan(&unknown)
	if err != nil || len(unknown) != 1 || unknown[0] != nobody {
		t.Errorf("unknown = %v, %v; want only %s", unknown, err, nobody)
	}
	for _, role := range []string{"parley_chat", "parley_ws"} {
		if _, err := db.PoolAs(t, role).Exec(t.Context(), "select unknown_users('{}')"); sqlState(err) != insufficientPrivilege {
			t.Errorf("%s: %v, want permission denied", role, err)
		}
	}
}

// TestRoles_projections checks that only sync-service can write the projections of messages, and
// that the other services can read them.
func TestRoles_projections(t *testing.T) {
	t.Parallel()
	admin := schematest.Open(t).Pool(t)
	for _, table := range []string{"message_states", "message_reactions"} {
		for role, want := range map[string]bool{"parley_sync": true, "parley_chat": false, "parley_ws": false} {
			if !can(t, admin, role, table, "SELECT") || can(t, admin, role, table, "INSERT,UPDATE,DELETE,TRUNCATE") != want {
				t.Errorf("%s lacks rights on %s", role, table)
			}
		}
	}
}

func TestRoles_wsOpensDirectChannels(t *testing.T) {
	t.Parallel()
	db := schematest.Open(t)
	admin, ws := db.Pool(t), db.PoolAs(t, "parley_ws")
	users(t, admin)
	open := func(from, to string) (id string, created bool, err error) {
		err = ws.QueryRow(t.Context(), "select channel_id, created from open_direct_channel($1, $2)", from, to).Scan(&id, &created)
		return id, created, err
	}
	first, created, err := open(ann, bob)
	if err != nil || !created {
		t.Fatalf("first call = %v, %v; want it created", created, err)
	}
	if again, created, err := open(bob, ann); err != nil || created || again != first {
		t.Errorf("second call, with the users swapped = %s, %v, %v; want %s, found", again, created, err, first)
	}
	var members, notices int
	err = admin.QueryRow(t.Context(), `select (select count(*) from channel_members where channel_id = $1),
		(select count(*) from outbox where channel_id = $1)`, first).Scan(&members, &notices)
	if err != nil || members != 2 || notices != 1 {
		t.Errorf("%d members, %d outbox rows, %v; want 2, 1", members, notices, err)
	}
	if _, err := admin.Exec(t.Context(), "insert into contacts (user_id, contact_id, state) values ($1, $2, 'blocked')", ann, eve); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ from, to, want string }{
		{ann, eve, "PA403"}, {eve, ann, "PA403"}, {ann, ann, "PA400"}, {ann, "00000000-0000-4000-8000-000000000000", "PA404"},
	} {
		if _, _, err := open(tt.from, tt.to); sqlState(err) != tt.want {
			t.Errorf("open %s %s = %v, want %s", tt.from, tt.to, err, tt.want)
		}
	}
	for _, sql := range []string{"select password_hash from users", "select email from users", "select * from users", "select * from sessions", "select * from contacts"} {
		if _, err := ws.Exec(t.Context(), sql); sqlState(err) != insufficientPrivilege {
			t.Errorf("parley_ws: %s: %v, want permission denied", sql, err)
		}
	}
	for _, sql := range []string{"select id, username, display_name from users", "select * from channels, channel_members", "select * from messages", "select * from sync_watermarks"} {
		if _, err := ws.Exec(t.Context(), sql); err != nil {
			t.Errorf("parley_ws: %s: %v", sql, err)
		}
	}
}

// TestRoles_directChannelOnce checks that concurrent calls for the same two users create only one
// channel.
func TestRoles_directChannelOnce(t *testing.T) {
	t.Parallel()
	db := schematest.Open(t)
	users(t, db.Pool(t))
	ws := db.PoolAs(t, "parley_ws")
	type result struct {
		id      string
		created bool
		err     error
	}
	results := make(chan result)
	const callers = 8
	for i := range callers {
		go func() {
			var r result
			pair := [2]string{ann, bob}
			r.err = ws.QueryRow(context.Background(), "select channel_id, created from open_direct_channel($1, $2)", pair[i%2], pair[1-i%2]).Scan(&r.id, &r.created)
			results <- r
		}()
	}
	ids, created := map[string]bool{}, 0
	for range callers {
		r := <-results
		if r.err != nil {
			t.Error(r.err)
		}
		ids[r.id] = true
		if r.created {
			created++
		}
	}
	if len(ids) != 1 || created != 1 {
		t.Errorf("%d channels, %d of them created; want 1, 1", len(ids), created)
	}
}

func TestRoles_chatCanDoItsJob(t *testing.T) {
	t.Parallel()
	db := schematest.Open(t)
	chat := db.PoolAs(t, "parley_chat")
	users(t, chat)
	for i, sql := range []string{
		"insert into sessions (id, user_id, expires_at) values (gen_random_uuid(), '" + ann + "', now())",
		"insert into refresh_tokens (token_hash, session_id) select 'x', id from sessions",
		"insert into contacts (user_id, contact_id, state) values ('" + ann + "', '" + bob + "', 'accepted')",
		"insert into groups (id, name) values (gen_random_uuid(), 'g')",
		"insert into group_members (group_id, user_id) select id, '" + ann + "' from groups",
		"insert into channels (kind, name) values ('public', 'general')",
		"insert into channel_members (channel_id, user_id) select id, '" + ann + "' from channels",
		"insert into outbox (kind, channel_id) select 'member_joined', id from channels",
		"select * from outbox for update skip locked",
		"delete from outbox",
		"select * from open_direct_channel('" + ann + "', '" + bob + "')",
		"select * from messages",
		"update users set bio = 'hi'",
		"delete from users",
	} {
		if _, err := chat.Exec(t.Context(), sql); err != nil {
			t.Errorf("%d: %s: %v", i, sql, err)
		}
	}
	if _, err := chat.Exec(t.Context(), "delete from messages"); sqlState(err) != insufficientPrivilege {
		t.Errorf("parley_chat deletes messages: %v", err)
	}
}

// TestRoles_migratingLogin checks that a login role that is not a superuser can migrate, and can
// then assume the services' roles.
func TestRoles_migratingLogin(t *testing.T) {
	t.Parallel()
	s := schematest.NewServer(t)
	admin := s.Pool(t)
	for _, sql := range []string{"create role deploy login createrole", "create database app owner deploy"} {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	// The roles already exist, because another database on this server was migrated before. This is
	// the harder case.
	url := strings.Replace(strings.Replace(s.URL, "/parley?", "/app?", 1), "user=postgres", "user=deploy", 1)
	err := migrations.Up(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"parley_chat", "parley_ws", "parley_sync"} {
		var got string
		if err := scan(t, fmt.Sprintf("%s&role=%s", url, role), "select current_user", &got); err != nil || got != role {
			t.Errorf("as %s: %q, %v", role, got, err)
		}
	}
}
