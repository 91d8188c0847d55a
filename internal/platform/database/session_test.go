package database_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/platform/database"
)

// TestOpen_serverDefaults checks that, no matter what the database defaults are, arguments cannot
// become SQL and results have the same format.
func TestOpen_serverDefaults(t *testing.T) {
	t.Parallel()
	base := pgtest.Empty(t)
	createRoles(t, base)
	if _, err := base.Pool(t).Exec(t.Context(), "create table public.things (); grant select on things to parley_chat"); err != nil {
		t.Fatal(err)
	}
	name := ask(t, open(t, base.URL, database.Options{}), "select current_database()")
	for _, setting := range []string{
		"standard_conforming_strings = off", "backslash_quote = on", "client_encoding = 'LATIN1'", "DateStyle = 'SQL, DMY'",
		"IntervalStyle = 'sql_standard'", "TimeZone = 'Asia/Kolkata'", "extra_float_digits = -5", "bytea_output = 'escape'",
		"search_path = pg_catalog", "statement_timeout = '1h'", "lock_timeout = '1ms'", "idle_session_timeout = '1s'",
		"transform_null_equals = on", "default_transaction_isolation = 'serializable'",
	} {
		if _, err := base.Pool(t).Exec(t.Context(), "alter database "+name+" set "+setting); err != nil {
			t.Fatal(err)
		}
	}
	for _, inline := range []bool{false, true} {
		db := open(t, base.URL, database.Options{Role: "parley_chat", ApplicationName: "test-parley_chat", MaxConns: 1, Inline: inline})
		wantService(t, db, "parley_chat")
		for _, arg := range []string{`\' or true --`, `\`, `é \'; select 'x`, `''\'' `} {
			var got string
			if err := db.NewRaw("select ?::text || ?", arg, "").Scan(t.Context(), &got); err != nil || got != arg {
				t.Errorf("an argument %q comes back as %q, %v", arg, got, err)
			}
		}
		for query, want := range map[string]string{
			"select '2026-02-03 04:05:06+00'::timestamptz::text":    "2026-02-03 04:05:06+00",
			"select '1 day 02:00'::interval::text":                  "1 day 02:00:00",
			"select (0.1::float8 + 0.2)::text":                      "0.30000000000000004",
			"select '\\x00ff'::bytea::text":                         `\x00ff`,
			"select (null = null is null)::text":                    "true",
			"select count(*)::text from things":                     "0",
			"select current_setting('transaction_isolation')::text": "read committed",
		} {
			if got := ask(t, db, query); got != want {
				t.Errorf("%s: %q, want %q", query, got, want)
			}
		}
	}
}

// TestOpen_encoding checks that a database whose encoding cannot represent every text is refused.
func TestOpen_encoding(t *testing.T) {
	t.Parallel()
	s := pgtest.NewServer(t)
	for _, encoding := range []string{"LATIN1", "SQL_ASCII"} {
		if _, err := s.Pool(t).Exec(t.Context(), fmt.Sprintf("create database %s encoding '%s' locale 'C' template template0", encoding, encoding)); err != nil {
			t.Fatal(err)
		}
		db := open(t, strings.Replace(s.URL, "/parley?", "/"+strings.ToLower(encoding)+"?", 1), database.Options{})
		wantWords(t, database.Ping(t.Context(), db), "encoding is not UTF8")
		wantRefused(t, db, "encoding is "+encoding)
	}
}

// wantRefused checks that a service does not start on db.
func wantRefused(t *testing.T, db *bun.DB, why string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Timeout)
	defer cancel()
	if err := database.Watch(ctx, db, slog.New(slog.NewTextHandler(io.Discard, nil))); err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("Watch: %v, want it refused because %s", err, why)
	}
}

// TestPooler_session checks PgBouncer with session pooling: a service has its role, its settings
// and prepared statements. Other clients then get sessions without these.
func TestPooler_session(t *testing.T) {
	t.Parallel()
	s := pgtest.NewServer(t)
	createRoles(t, &s.DB)
	pooled := s.Pooler(t, "session")
	for _, role := range []string{"parley_chat", "parley_ws"} {
		db := open(t, pooled, database.Options{Role: role, ApplicationName: "test-" + role, MaxConns: 2})
		wantService(t, db, role)
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestPooler_transaction checks that the first connection detects a pooler that shares sessions.
func TestPooler_transaction(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"transaction", "statement"} {
		s := pgtest.NewServer(t)
		createRoles(t, &s.DB)
		pooled := s.Pooler(t, mode)
		db := open(t, pooled, database.Options{Role: "parley_chat", MaxConns: 2})
		_, err := db.ExecContext(t.Context(), "select 1")
		if err == nil || !strings.Contains(err.Error(), "shares sessions between clients") {
			t.Errorf("%s pooling: %v", mode, err)
		}
		wantWords(t, database.Ping(t.Context(), db), "session pooling")
		wantRefused(t, db, "session pooling")
	}
}

// TestReadOnly checks that sessions that cannot write are not used, and that sessions that become
// read-only are removed from the pool. Writes work again as soon as the server accepts them.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	s := pgtest.NewServer(t)
	admin := s.Pool(t)
	if _, err := admin.Exec(t.Context(), "create table things (n int primary key)"); err != nil {
		t.Fatal(err)
	}
	db := open(t, s.URL, database.Options{MaxConns: 3})
	write := func() error {
		_, err := db.ExecContext(t.Context(), "insert into things values (1) on conflict do nothing")
		return err
	}
	readOnly := func(value string) {
		t.Helper()
		for _, sql := range []string{"alter system set default_transaction_read_only = " + value, "select pg_reload_conf()"} {
			if _, err := admin.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		testkit.Until(t, testkit.Timeout, func() error {
			conn, err := admin.Acquire(t.Context())
			if err != nil {
				return err
			}
			defer conn.Release()
			var got string
			if err := conn.QueryRow(t.Context(), "show default_transaction_read_only").Scan(&got); err != nil || got != value {
				return fmt.Errorf("it is %s, %w", got, err)
			}
			return nil
		})
	}
	var held []*bun.Conn
	for range 3 { // fill the pool
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, &conn)
	}
	for _, conn := range held {
		_ = conn.Close()
	}
	if err := write(); err != nil {
		t.Fatal(err)
	}
	readOnly("on")
	// Each session in the pool notices the change at a different time.
	testkit.Until(t, testkit.Timeout, func() error {
		if err := write(); err == nil {
			return errors.New("it writes")
		}
		return nil
	})
	wantWords(t, database.Ping(t.Context(), db), "is read-only")
	if n := db.Stats().OpenConnections; n != 0 {
		t.Errorf("%d read-only connections stay in the pool", n)
	}
	wantWords(t, database.Ping(t.Context(), open(t, s.URL, database.Options{})), "is read-only")
	readOnly("off")
	if err := errors.Join(write(), database.Ping(t.Context(), db)); err != nil {
		t.Errorf("after the server accepts writes again: %v", err)
	}
}

// TestReadOnly_error checks that a read-only error by itself, without a readiness check, removes a
// connection from the pool.
func TestReadOnly_error(t *testing.T) {
	t.Parallel()
	db := open(t, pgtest.Empty(t).URL, database.Options{MaxConns: 1})
	backend := func() string { return ask(t, db, "select pg_backend_pid()::text") }
	before := backend()
	_, err := db.ExecContext(t.Context(), "set default_transaction_read_only = on")
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), "create table t (n int)")
	if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != "25006" {
		t.Errorf("a write to a read-only session: %v", err)
	}
	if after := backend(); after == before {
		t.Error("the read-only connection stays")
	}
	if _, err := db.ExecContext(t.Context(), "create table t (n int)"); err != nil {
		t.Error(err)
	}
}
