// Package erased knows the users whose accounts were deleted, so that a replay does not show their names. The
// rows of the event log lose the names soon after, but what is in Redis and in memory has them for longer.
//
// Each question is answered by a read of PostgreSQL that began after it was asked. Questions that come while a
// read is under way share the next one, so there is at most one read at a time. While PostgreSQL is down the
// answer is what was known before: nobody can delete an account then.
package erased

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"parley.chat/internal/platform/outage"
	"parley.chat/shared-contracts/chat"
	"parley.chat/ws-server/internal/coalesce"
)

const (
	// horizon is how far back the first read goes: names stay in Redis for the retention of the streams at
	// most. Older deletions whose names are still in rows are read as well.
	horizon = 30 * 24 * time.Hour
	// overlap is how far every other read goes back before the newest deletion that is known: it bounds the
	// transaction that deletes an account.
	overlap = 5 * time.Minute
	// readTimeout and pause bound what a PostgreSQL that does not answer costs replays.
	readTimeout = time.Second
	pause       = 5 * time.Second
	// interval is the least time from the beginning of a read to that of the next.
	interval = 2 * time.Millisecond
)

// Read returns the users whose accounts were deleted after a time, with the time of the newest deletion, and those whose
// names are still in rows.
type Read func(ctx context.Context, since time.Time) (users []chat.UserID, newest time.Time, err error)

// Users remembers who is gone. It is safe for concurrent use.
type Users struct {
	read   Read
	asking *coalesce.Group[struct{}, map[chat.UserID]struct{}]
	outage *outage.Log

	known       atomic.Pointer[map[chat.UserID]struct{}] // never changed, only replaced
	pausedUntil atomic.Int64                             // Unix nanoseconds

	mu    sync.Mutex // held by the read under way
	since time.Time  // where the next read begins
	last  time.Time  // when the last read began
}

// New returns a Users that knows nobody yet.
func New(read Read, log *slog.Logger) *Users {
	u := &Users{
		read: read, since: time.Now().Add(-horizon),
		outage: outage.New(log, "deleted accounts cannot be read", "deleted accounts are read again"),
	}
	u.known.Store(&map[chat.UserID]struct{}{})
	u.asking = coalesce.New(func(ctx context.Context, _ []struct{}) ([]map[chat.UserID]struct{}, error) {
		u.update(ctx)
		return []map[chat.UserID]struct{}{*u.known.Load()}, nil
	}, coalesce.Config{MaxReads: 1})
	return u
}

// All returns everybody whose name must not be shown. The map must not be changed.
func (u *Users) All(ctx context.Context) map[chat.UserID]struct{} {
	if time.Now().UnixNano() < u.pausedUntil.Load() {
		return *u.known.Load()
	}
	known, err := u.asking.Ask(ctx, struct{}{})
	if err != nil { // ctx is done
		return *u.known.Load()
	}
	return known
}

// Wait returns when no read is under way. Nothing may be asked at that time or later.
func (u *Users) Wait() { u.asking.Wait() }

// update reads what is new.
func (u *Users) update(ctx context.Context) {
	u.mu.Lock()
	defer u.mu.Unlock()
	time.Sleep(interval - time.Since(u.last))
	u.last = time.Now()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout) // others may wait for the answer
	defer cancel()
	users, newest, err := u.read(ctx, u.since)
	if err != nil {
		u.outage.Failed(ctx, "", err)
		u.pausedUntil.Store(time.Now().Add(pause).UnixNano())
		return
	}
	u.outage.Worked(ctx, "")
	if since := newest.Add(-overlap); since.After(u.since) {
		u.since = since
	}
	was := *u.known.Load()
	var all map[chat.UserID]struct{}
	for _, user := range users {
		if _, ok := was[user]; ok {
			continue
		}
		if all == nil {
			all = maps.Clone(was)
		}
		all[user] = struct{}{}
	}
	if all != nil {
		u.known.Store(&all)
	}
}
