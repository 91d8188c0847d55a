// Package erased caches the users whose accounts were deleted, so that a replay does not show their
// names. The names are removed from the rows of the event log soon after a deletion, but stay in
// Redis and in memory for longer.
//
// Each call gets its answer from a PostgreSQL read that began after the call was made. Calls made
// during a read share the next one, so there is at most one read at a time. While PostgreSQL is
// down, the last known answer is used, because nobody can delete an account during that time.
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
	// horizon is how far back the first read searches for deletions. It is at least as long as the
	// streams' retention, because Redis holds no older names. The first read also returns users who
	// were deleted earlier if their names are still in rows.
	horizon = 30 * 24 * time.Hour
	// overlap is subtracted from the time of the newest known deletion to get the start of the next
	// read. It must exceed the duration of the transaction that deletes an account.
	overlap = 5 * time.Minute
	// readTimeout limits each read. After a read has failed or timed out, PostgreSQL is not queried
	// again for retryAfter. This limits the delay that an outage adds to replays.
	readTimeout = time.Second
	retryAfter  = 5 * time.Second
	// interval is the minimum time between the starts of two reads.
	interval = 2 * time.Millisecond
)

// Read returns the users whose accounts were deleted after the given time, and the deleted users
// whose names are still in rows. It also returns the time of the newest of these deletions.
type Read func(ctx context.Context, since time.Time) (users []chat.UserID, newest time.Time, err error)

// Users is a cache of the users whose accounts were deleted. It is safe for concurrent use.
type Users struct {
	read   Read
	reads  *coalesce.Group[struct{}, map[chat.UserID]struct{}]
	outage *outage.Log

	known       atomic.Pointer[map[chat.UserID]struct{}] // replaced, never changed
	pausedUntil atomic.Int64                             // in Unix nanoseconds

	mu    sync.Mutex // held during a read
	since time.Time  // the next read returns the deletions after this time
	last  time.Time  // when the last read began
}

// New returns a Users with an empty cache.
func New(read Read, log *slog.Logger) *Users {
	u := &Users{
		read: read, since: time.Now().Add(-horizon),
		outage: outage.New(log, "deleted accounts cannot be read", "deleted accounts are read again"),
	}
	u.known.Store(&map[chat.UserID]struct{}{})
	u.reads = coalesce.New(func(ctx context.Context, _ []struct{}) ([]map[chat.UserID]struct{}, error) {
		u.update(ctx)
		return []map[chat.UserID]struct{}{*u.known.Load()}, nil
	}, coalesce.Config{MaxReads: 1})
	return u
}

// All returns all users whose names must not be shown. The caller must not change the map.
func (u *Users) All(ctx context.Context) map[chat.UserID]struct{} {
	if time.Now().UnixNano() < u.pausedUntil.Load() {
		return *u.known.Load()
	}
	known, err := u.reads.Ask(ctx, struct{}{})
	if err != nil { // ctx is done
		return *u.known.Load()
	}
	return known
}

// Wait waits until no read is running. All must not be called during or after this call.
func (u *Users) Wait() { u.reads.Wait() }

// update reads the new deletions.
func (u *Users) update(ctx context.Context) {
	u.mu.Lock()
	defer u.mu.Unlock()
	time.Sleep(interval - time.Since(u.last))
	u.last = time.Now()
	// Do not use one caller's context, since others may be waiting for the result.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	users, newest, err := u.read(ctx, u.since)
	if err != nil {
		u.outage.Failed(ctx, "", err)
		u.pausedUntil.Store(time.Now().Add(retryAfter).UnixNano())
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
