package database_test

import (
	"context"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/platform/database"
)

// TestListen checks that Listen receives notifications, uses no connection of the pool, ends with
// its context, and fails when the server is gone.
func TestListen(t *testing.T) {
	t.Parallel()
	s := pgtest.NewServer(t)
	db := open(t, s.URL, database.Options{MaxConns: 1, ApplicationName: "listener"})
	listen := func(ctx context.Context) (heard chan struct{}, done chan error) {
		heard, done = make(chan struct{}, 10), make(chan error, 1)
		go func() { done <- database.Listen(ctx, db, "news", func() { heard <- struct{}{} }) }()
		return heard, done
	}
	ctx, cancel := context.WithCancel(t.Context())
	heard, done := listen(ctx)
	await(t, heard)
	for range 2 {
		if _, err := db.ExecContext(t.Context(), "notify news"); err != nil {
			t.Fatal(err)
		}
		await(t, heard)
	}
	cancel()
	if err := await(t, done); err != nil {
		t.Errorf("after its context: %v", err)
	}
	heard, done = listen(t.Context())
	await(t, heard)
	s.Kill(t)
	if err := await(t, done); err == nil {
		t.Error("a server that is down ends it without an error")
	}
	_, done = listen(t.Context())
	if err := await(t, done); err == nil {
		t.Error("it listens to a server that is down")
	}
}

func await[T any](t *testing.T, c chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(testkit.Timeout):
		t.Fatal("nothing comes")
	}
	return v
}
