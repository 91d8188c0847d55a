package database_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/platform/database"
	"parley.chat/internal/platform/telemetry"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func open(t *testing.T, url string, o database.Options) *bun.DB {
	t.Helper()
	db, err := database.Open(url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func ask(t *testing.T, db bun.IConn, query string) (answer string) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return answer
}

func wantState(t *testing.T, err error, state string) {
	t.Helper()
	if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != state {
		t.Errorf("%v, want SQLSTATE %s", err, state)
	}
}

// TestOpen_role checks that a service's sessions have its role, its timeouts, and only the
// privileges of the role.
func TestOpen_role(t *testing.T) {
	t.Parallel()
	base := pgtest.Empty(t)
	createRoles(t, base)
	for _, role := range []string{"parley_chat", "parley_ws", "parley_sync"} {
		t.Run(role, func(t *testing.T) {
			db := open(t, base.URL, database.Options{Role: role, ApplicationName: "test-" + role, MaxConns: 1})
			wantService(t, db, role)
		})
	}
	if got := ask(t, open(t, base.URL, database.Options{}), "select current_user"); strings.HasPrefix(got, "parley_") {
		t.Errorf("without a role the user is %s", got)
	}
	err := database.Ping(t.Context(), open(t, base.URL, database.Options{Role: "no_such_role"}))
	wantState(t, err, "22023")
	wantWords(t, err, "role")
}

// createRoles creates the services' roles. Roles belong to the whole server, so a parallel test may
// have created them already.
func createRoles(t *testing.T, db *pgtest.DB) {
	t.Helper()
	for _, role := range []string{"parley_chat", "parley_ws", "parley_sync"} {
		statement := "do $$ begin create role " + role + "; exception when duplicate_object or unique_violation then null; end $$"
		if _, err := db.Pool(t).Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

// wantService checks that db works correctly for a service with the given role, no matter what is
// between it and the server.
func wantService(t *testing.T, db *bun.DB, role string) {
	t.Helper()
	for query, want := range map[string]string{
		"select current_user": role, "show application_name": "test-" + role, "show statement_timeout": "15s",
		"show lock_timeout": "0", "show idle_in_transaction_session_timeout": "1min", "show search_path": "public",
	} {
		if got := ask(t, db, query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	_, err := db.ExecContext(t.Context(), "create table public.mine (x int)")
	wantState(t, err, "42501")
	sum := 0
	for range 3 {
		if err := database.Prepared(t.Context(), db, "select $1::int + 1", []any{sum}, func(rows pgx.Rows) error { return rows.Scan(&sum) }); err != nil {
			t.Error(err)
		}
	}
	if sum != 3 {
		t.Errorf("a prepared statement counts to %d, want 3", sum)
	}
	if err := database.Ping(t.Context(), db); err != nil {
		t.Error(err)
	}
}

func wantWords(t *testing.T, err error, words string) {
	t.Helper()
	if e, ok := errors.AsType[*telemetry.StateError](err); !ok || !strings.Contains(e.Reason, words) {
		t.Errorf("%v, want the state %q", err, words)
	}
}

func TestOpen_statementTimeout(t *testing.T) {
	t.Parallel()
	db := open(t, pgtest.Empty(t).URL, database.Options{StatementTimeout: 50 * time.Millisecond})
	_, err := db.ExecContext(t.Context(), "select pg_sleep(30)")
	wantState(t, err, "57014")
	if err := database.Ping(t.Context(), db); err != nil {
		t.Errorf("the connection is of no use afterwards: %v", err)
	}
}

func TestOpen_maxConns(t *testing.T) {
	t.Parallel()
	url := pgtest.Empty(t).URL
	if n := open(t, url, database.Options{}).Stats().MaxOpenConnections; n != 10 {
		t.Errorf("by default %d connections, want 10", n)
	}
	if n := open(t, url, database.Options{MaxConns: 3}).Stats().MaxOpenConnections; n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
}

func TestOpen_badURL(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://%", "host", "postgres://x:notaport/y"} {
		if db, err := database.Open(url, database.Options{}); err == nil || !strings.Contains(err.Error(), "DATABASE_URL") {
			t.Errorf("Open(%q) = %v, %v; want an error that names DATABASE_URL", url, db, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("contains the password: %v", err)
		}
	}
	if _, err := database.Open("postgres://ann:secret@host:notaport/y", database.Options{}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v: must not contain the password", err)
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	s := pgtest.NewServer(t)
	db := open(t, s.URL, database.Options{})
	if err := database.Ping(t.Context(), db); err != nil {
		t.Error(err)
	}
	s.Kill(t)
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Timeout)
	defer cancel()
	if err := database.Ping(ctx, db); err == nil {
		t.Error("a server that is down answers")
	}
	s.Start(t)
	if err := database.Ping(t.Context(), db); err != nil {
		t.Errorf("after it came back: %v", err)
	}
}
