package database_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/platform/database"
)

// numbers selects the numbers up to n and the pid of the backend.
const numbers = "select i, pg_backend_pid() from generate_series(1, $1) i"

func TestPrepared(t *testing.T) {
	t.Parallel()
	base := pgtest.Empty(t)
	createRoles(t, base)
	db := open(t, base.URL, database.Options{Role: "parley_chat", MaxConns: 1, Inline: true})
	backend := 0
	for n := range 4 {
		sum := 0
		err := database.Prepared(t.Context(), db, numbers, []any{n}, func(rows pgx.Rows) error {
			var i int
			err := rows.Scan(&i, &backend)
			sum += i
			return err
		})
		if err != nil || sum != n*(n+1)/2 {
			t.Errorf("up to %d: sum %d, %v", n, sum, err)
		}
	}
	if n := ask(t, db, "select count(*)::text from pg_prepared_statements where statement like '%generate_series(1, $1)%'"); n != "1" {
		t.Errorf("%s statements are prepared, want 1", n)
	}

	refused := errors.New("enough")
	seen := 0
	err := database.Prepared(t.Context(), db, numbers, []any{100}, func(pgx.Rows) error { seen++; return refused })
	if !errors.Is(err, refused) || seen != 1 {
		t.Errorf("%v after %d rows", err, seen)
	}
	wantState(t, database.Prepared(t.Context(), db, "select 1 / $1::int", []any{0}, func(pgx.Rows) error { return nil }), "22012")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := database.Prepared(ended, db, numbers, []any{1}, func(pgx.Rows) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("after its context: %v", err)
	}

	// A dead backend causes at most one error: the next attempt uses another one.
	if _, err := base.Pool(t).Exec(t.Context(), "select pg_terminate_backend($1, 10000)", backend); err != nil {
		t.Fatal(err)
	}
	before, again := backend, 0
	for range 2 {
		if err = database.Prepared(t.Context(), db, numbers, []any{1}, func(rows pgx.Rows) error { return rows.Scan(&again, &backend) }); err == nil {
			break
		}
	}
	if err != nil || again != 1 || backend == before {
		t.Errorf("after the backend ended: %v from %d, before it was %d", err, backend, before)
	}
}
