package pgsession_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/platform/databaseurl"
	"parley.chat/internal/platform/pgsession"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// role is a role that the tests' login role may assume. Roles belong to the whole server, so a
// parallel test may have created it already.
const role = "parley_session"

func createRole(t *testing.T, db *pgtest.DB) {
	t.Helper()
	_, err := db.Pool(t).Exec(t.Context(), "do $$ begin create role "+role+"; exception when duplicate_object or unique_violation then null; end $$")
	if err != nil {
		t.Fatal(err)
	}
}

func connect(t *testing.T, url string, o pgsession.Options) *pgx.Conn {
	t.Helper()
	c, err := pgsession.Connect(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func ask(t *testing.T, c *pgx.Conn, query string) (answer string) {
	t.Helper()
	if err := c.QueryRow(t.Context(), query).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return answer
}

func exec(t *testing.T, c *pgx.Conn, sql string) {
	t.Helper()
	if _, err := c.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func TestConnect_appliesTheOptions(t *testing.T) {
	t.Parallel()
	db := pgtest.Empty(t)
	createRole(t, db)
	c := connect(t, db.URL, pgsession.Options{Role: role, StatementTimeout: 1500 * time.Millisecond, ApplicationName: "a test"})
	plain := connect(t, db.URL, pgsession.Options{})
	for query, want := range map[string][2]string{
		"select current_user::text":                {role, ask(t, plain, "select session_user::text")},
		"show statement_timeout":                   {"1500ms", "0"},
		"show application_name":                    {"a test", ""},
		"show idle_in_transaction_session_timeout": {"1min", "1min"},
		"show timezone":                            {"UTC", "UTC"},
		"show search_path":                         {"public", "public"},
	} {
		for i, conn := range []*pgx.Conn{c, plain} {
			if got := ask(t, conn, query); got != want[i] {
				t.Errorf("connection %d: %s: %q, want %q", i, query, got, want[i])
			}
		}
	}
	if a, b := ask(t, c, "show parley.session"), ask(t, plain, "show parley.session"); a == b {
		t.Errorf("two sessions have the mark %s", a)
	}
}

func TestConnect_withoutItsRole(t *testing.T) {
	t.Parallel()
	_, err := pgsession.Connect(t.Context(), pgtest.Empty(t).URL, pgsession.Options{Role: "no_such_role"})
	e, ok := errors.AsType[*pgsession.Error](err)
	if !ok || e.Refused || !strings.Contains(e.Reason, "run migrate up") {
		t.Errorf("%v, want an error that can be mended while the service waits", err)
	}
	if cause, ok := errors.AsType[*pgconn.PgError](err); !ok || cause.Code != "22023" {
		t.Errorf("%v, want it to wrap the server's error", err)
	}
	if strings.Contains(e.Reason, "no_such_role") {
		t.Errorf("the public reason %q has a name", e.Reason)
	}
}

func TestConnect_refusesAnEncoding(t *testing.T) {
	t.Parallel()
	db := pgtest.Empty(t)
	other := fmt.Sprintf("latin_%d", time.Now().UnixNano())
	admin := db.Pool(t)
	if _, err := admin.Exec(t.Context(), "create database "+other+" encoding 'LATIN1' locale 'C' template template0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = admin.Exec(context.Background(), "drop database "+other) })
	cfg, err := databaseurl.Parse(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Database = other
	pgsession.Prepare(cfg, pgsession.Options{})
	_, err = pgx.ConnectConfig(t.Context(), cfg)
	if e, ok := errors.AsType[*pgsession.Error](err); !ok || !e.Refused {
		t.Errorf("%v, want the database refused", err)
	}
}

func TestConnect_skipsServersThatCannotWrite(t *testing.T) {
	t.Parallel()
	db := pgtest.Empty(t)
	admin := connect(t, db.URL, pgsession.Options{})
	exec(t, admin, "alter database "+ask(t, admin, "select current_database()")+" set default_transaction_read_only = on")
	_, err := pgsession.Connect(t.Context(), db.URL, pgsession.Options{})
	if !errors.Is(err, pgsession.ErrReadOnly) {
		t.Errorf("%v, want %v", err, pgsession.ErrReadOnly)
	}
}

func TestConnect_badURL(t *testing.T) {
	t.Parallel()
	if _, err := pgsession.Connect(t.Context(), "postgres://%", pgsession.Options{}); err == nil || !strings.Contains(err.Error(), "DATABASE_URL") {
		t.Errorf("%v, want an error that names the setting", err)
	}
}

// Check must detect everything that a pooler or a query may have changed in a session.
func TestCheck(t *testing.T) {
	t.Parallel()
	db := pgtest.Empty(t)
	createRole(t, db)
	for sql, want := range map[string]string{
		"select 1":                               "",
		"set application_name = 'other'":         "", // nothing depends on it
		"set statement_timeout = '2s'":           "does not keep the settings",
		"set search_path = pg_catalog":           "does not keep the settings",
		"set standard_conforming_strings = off":  "does not keep the settings",
		"set timezone = 'Asia/Kolkata'":          "does not keep the settings",
		"reset lock_timeout":                     "",
		"reset role":                             "does not keep the role",
		"set default_transaction_read_only = on": "is read-only",
		"set parley.session = 'another client'":  "shares sessions",
		"discard all":                            "shares sessions",
	} {
		t.Run(sql, func(t *testing.T) {
			t.Parallel()
			c := connect(t, db.URL, pgsession.Options{Role: role, StatementTimeout: time.Second})
			exec(t, c, sql)
			err := pgsession.Check(t.Context(), c.PgConn())
			e, ok := errors.AsType[*pgsession.Error](err)
			if want == "" && err != nil || want != "" && (!ok || !strings.Contains(e.Reason, want)) {
				t.Errorf("%v, want %q", err, want)
			}
			if ok && e.Refused != (want == "shares sessions") {
				t.Errorf("%v: refused is %v", err, e.Refused)
			}
		})
	}
}

func TestCheck_ofOtherConnections(t *testing.T) {
	t.Parallel()
	db := pgtest.Empty(t)
	foreign, err := pgx.Connect(t.Context(), db.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := pgsession.Check(t.Context(), foreign.PgConn()); err == nil || !strings.Contains(err.Error(), "not made by pgsession") {
		t.Errorf("a session of another package: %v", err)
	}
	_ = foreign.Close(t.Context())
	closed := connect(t, db.URL, pgsession.Options{})
	_ = closed.Close(t.Context())
	if err := pgsession.Check(t.Context(), closed.PgConn()); err == nil {
		t.Error("no error for a closed connection")
	}
}

// An error that is caused by the session, not by the statement, closes the connection.
func TestPrepare_closesUnusableSessions(t *testing.T) {
	t.Parallel()
	db := pgtest.Empty(t)
	for sql, closed := range map[string]bool{
		"execute no_such_statement":                                true, // 26000
		"prepare twice as select 1; prepare twice as select 1":     true, // 42P05
		"begin; set transaction read only; create table t (n int)": true, // 25006
		"select 1/0":                  false,
		"select * from no_such_table": false,
		"do $$ begin raise exception 'the caller is told' using errcode = 'PA404'; end $$": false,
	} {
		t.Run(sql, func(t *testing.T) {
			t.Parallel()
			c := connect(t, db.URL, pgsession.Options{})
			if err := c.PgConn().Exec(t.Context(), sql).Close(); err == nil {
				t.Fatal("no error")
			}
			if c.IsClosed() != closed {
				t.Errorf("closed: %v, want %v", c.IsClosed(), closed)
			}
		})
	}
}

func TestPrepare_keepsTheHandlerOfErrors(t *testing.T) {
	t.Parallel()
	cfg, err := databaseurl.Parse(pgtest.Empty(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	cfg.OnPgError = func(_ *pgconn.PgConn, err *pgconn.PgError) bool { return err.Code != "22012" }
	pgsession.Prepare(cfg, pgsession.Options{})
	for sql, closed := range map[string]bool{"select 1/0": true, "select * from no_such_table": false, "execute no_such_statement": true} {
		c, err := pgx.ConnectConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Exec(t.Context(), sql); err == nil {
			t.Errorf("%s: no error", sql)
		}
		if c.IsClosed() != closed {
			t.Errorf("%s: closed: %v, want %v", sql, c.IsClosed(), closed)
		}
		_ = c.Close(t.Context())
	}
}

func TestPrepare_boundsConnecting(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]time.Duration{
		"postgres://localhost/x": 5 * time.Second, "postgres://localhost/x?connect_timeout=2": 2 * time.Second,
	} {
		cfg, err := databaseurl.Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		pgsession.Prepare(cfg, pgsession.Options{})
		if cfg.ConnectTimeout != want {
			t.Errorf("%s: %v, want %v", url, cfg.ConnectTimeout, want)
		}
	}
}

func TestError(t *testing.T) {
	t.Parallel()
	cause := errors.New("details")
	e := &pgsession.Error{Reason: "is away", Err: cause}
	if got := e.Error(); got != "PostgreSQL is away: details" || !errors.Is(e, cause) {
		t.Errorf("%q", got)
	}
	if got := (&pgsession.Error{Reason: "is away"}).Error(); got != "PostgreSQL is away" {
		t.Errorf("%q", got)
	}
}
