package pgtest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"parley.chat/internal/devkit/testkit/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var template = pgtest.NewTemplate("numbers", func(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "create table numbers (n int primary key)")
	return errors.Join(err, conn.Close(ctx))
})

func TestTemplate_databasesAreSeparate(t *testing.T) {
	for _, name := range []string{"one", "two"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := template.Open(t).Pool(t)
			if _, err := pool.Exec(t.Context(), "insert into numbers values (1)"); err != nil {
				t.Error(err) // a row in the other database would be a duplicate
			}
		})
	}
}

func TestURLAs(t *testing.T) {
	t.Parallel()
	db := pgtest.Empty(t)
	if _, err := db.Pool(t).Exec(t.Context(), "create role reader"); err != nil {
		t.Fatal(err)
	}
	pool := db.PoolAs(t, "reader")
	var role string
	if err := pool.QueryRow(t.Context(), "select current_user").Scan(&role); err != nil || role != "reader" {
		t.Errorf("current_user = %q, %v; want reader", role, err)
	}
	if _, err := pool.Exec(t.Context(), "reset all"); err != nil {
		t.Fatal(err)
	}
	if err := pool.QueryRow(t.Context(), "select current_user").Scan(&role); err != nil || role != "reader" {
		t.Errorf("after reset all: current_user = %q, %v; want reader", role, err)
	}
}

func TestServer_killAndStopKeepCommits(t *testing.T) {
	t.Parallel()
	s := pgtest.NewServer(t)
	if _, err := s.Pool(t).Exec(t.Context(), "create table numbers (n int primary key)"); err != nil {
		t.Fatal(err)
	}
	insert := func(n int) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), s.URL)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "insert into numbers values ($1)", n); err != nil {
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
	if err := s.Pool(t).QueryRow(t.Context(), "select count(*) from numbers").Scan(&n); err != nil || n != 3 {
		t.Errorf("rows = %d, %v; want 3", n, err)
	}
}
