package erased_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"parley.chat/shared-contracts/chat"
	"parley.chat/ws-server/internal/erased"
)

// table is a fake of the table erasures.
type table struct {
	err   error
	rows  map[chat.UserID]time.Time
	since []time.Time // the argument of each read
}

func (f *table) read(_ context.Context, since time.Time) (users []chat.UserID, newest time.Time, err error) {
	if f.err != nil {
		return nil, time.Time{}, f.err
	}
	f.since = append(f.since, since)
	for id, at := range f.rows {
		if at.After(since) {
			users = append(users, id)
		}
		if at.After(newest) {
			newest = at
		}
	}
	return users, newest, nil
}

func has(m map[chat.UserID]struct{}, id chat.UserID) bool {
	_, ok := m[id]
	return ok
}

// The next answer must contain a new deletion, known deletions must be kept, and reads must ask
// only for new ones.
func TestAll_readsNewDeletions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &table{rows: map[chat.UserID]time.Time{}}
		u := erased.New(f.read, slog.New(slog.NewTextHandler(io.Discard, nil)))
		if got := u.All(t.Context()); len(got) != 0 {
			t.Fatalf("%v are deleted, want nobody", got)
		}
		ann := chat.NewUserID()
		f.rows[ann] = time.Now()
		if !has(u.All(t.Context()), ann) {
			t.Fatal("a deletion that was committed before the question is not in the answer")
		}
		time.Sleep(48 * time.Hour)
		bob := chat.NewUserID()
		f.rows[bob] = time.Now()
		for range 2 {
			if got := u.All(t.Context()); !has(got, ann) || !has(got, bob) {
				t.Fatalf("%v are deleted, want both", got)
			}
		}
		if last := f.since[len(f.since)-1]; time.Since(last) > time.Hour {
			t.Errorf("the last read asked for deletions since %s ago, want only new ones", time.Since(last))
		}
	})
}

// While PostgreSQL is down, All must return the known deletions without querying PostgreSQL each
// time.
func TestAll_keepsDeletionsInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ann := chat.NewUserID()
		f := &table{rows: map[chat.UserID]time.Time{ann: time.Now()}}
		reads := 0
		u := erased.New(func(ctx context.Context, since time.Time) ([]chat.UserID, time.Time, error) {
			reads++
			return f.read(ctx, since)
		}, slog.New(slog.NewTextHandler(io.Discard, nil)))
		u.All(t.Context())
		f.err = errors.New("down")
		for range 100 {
			if !has(u.All(t.Context()), ann) {
				t.Fatal("a known deletion is missing during the outage")
			}
		}
		if reads != 2 {
			t.Errorf("%d reads, want one that worked and one that failed", reads)
		}
		f.err = nil
		bob := chat.NewUserID()
		f.rows[bob] = time.Now()
		time.Sleep(10 * time.Second)
		if !has(u.All(t.Context()), bob) {
			t.Error("a new deletion is missing after the outage")
		}
	})
}
