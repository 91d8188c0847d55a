package pgtest_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"parley.chat/internal/testkit/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestOpen_databasesAreSeparate(t *testing.T) {
	for _, name := range []string{"one", "two"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Open(t).Pool(t)
			if _, err := pool.Exec(t.Context(), "insert into sync_watermarks (partition) values (1)"); err != nil {
				t.Error(err) // the other one's row would be in the way
			}
		})
	}
}

func TestURLAs(t *testing.T) {
	t.Parallel()
	pool := pgtest.Open(t).PoolAs(t, "parley_ws")
	var role string
	if err := pool.QueryRow(t.Context(), "select current_user").Scan(&role); err != nil || role != "parley_ws" {
		t.Errorf("current_user = %q, %v; want parley_ws", role, err)
	}
	if _, err := pool.Exec(t.Context(), "reset all"); err != nil {
		t.Fatal(err)
	}
	if err := pool.QueryRow(t.Context(), "select current_user").Scan(&role); err != nil || role != "parley_ws" {
		t.Errorf("after reset all: current_user = %q, %v; want parley_ws", role, err)
	}
}

func TestServer_killAndStopKeepCommits(t *testing.T) {
	t.Parallel()
	s := pgtest.NewServer(t)
	insert := func(n int) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), s.URL)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "insert into sync_watermarks (partition) values ($1)", n); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close(context.Background())
	}
	insert(1)
	s.Kill(t)
	if _, err := pgx.Connect(t.Context(), s.URL); err == nil {
		t.Error("a killed server answers")
	}
	s.Start(t)
	insert(2)
	s.Stop(t)
	s.Start(t)
	insert(3)
	var n int
	if err := s.Pool(t).QueryRow(t.Context(), "select count(*) from sync_watermarks").Scan(&n); err != nil || n != 3 {
		t.Errorf("rows = %d, %v; want 3", n, err)
	}
}
