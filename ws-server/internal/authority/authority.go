// Package authority is the gateway's cache of authorization data: memberships with their roles,
// blocks between users, and open sessions. Nothing else in ws-server caches any of these.
//
// There is one User per user connected to this gateway, shared by the user's connections. A check
// is answered from memory while the cached data is fresh, and from PostgreSQL otherwise. Concurrent
// checks share one query. Cached data is discarded in three cases:
//
//   - A notice (InvalidateMembership, InvalidateRole, InvalidateBlocks) invalidates it immediately.
//     Each notice increments the user's generation, and the result of a read that began under an
//     earlier generation is discarded. So a slow read cannot restore data that a notice has
//     invalidated.
//   - It expires after Config.VerifyEvery, in case notices are lost. Run verifies the memberships
//     that connections hold (see User.Hold), all blocks and all sessions within that time. Other
//     memberships are read again when they are next needed.
//   - When the user's last connection ends, everything cached about the user is removed.
//
// While PostgreSQL is down, a cached membership stays valid. A removal is still enforced if its
// notice has arrived, because the notice has invalidated the cached membership. In addition, every
// append checks in Redis whether the sender is marked as removed.
//
// Run starts two goroutines: one verifies cached data, the other reads blocks after notices. There
// is no timer per connection. Memory is bounded by the number of connections: there is at most one
// User per connection, and a User contains the memberships that connections hold and at most
// maxUnheld other memberships.
package authority

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"parley.chat/internal/platform/outage"
	"parley.chat/shared-contracts/chat"
	"parley.chat/ws-server/internal/coalesce"
	"parley.chat/ws-server/internal/revoked"
	"parley.chat/ws-server/internal/store"
)

const (
	// storeRetryAfter is the time after a failed read during which PostgreSQL is not queried and
	// cached data is used instead.
	storeRetryAfter = 5 * time.Second
	// admitTimeout limits how long a frame waits for data that is not cached.
	admitTimeout = 5 * time.Second
	// staleTimeout limits a read when stale cached data is available as a substitute.
	staleTimeout = time.Second
	// maxUnheld is the maximum number of memberships that are cached for one user without being
	// held. A membership is held while one of the user's connections is subscribed to the channel.
	maxUnheld = 4096
)

// Store reads from PostgreSQL.
type Store interface {
	Access(context.Context, []chat.MemberKey) ([]store.Access, error)
	Blocks(context.Context, []chat.UserID) ([][]chat.UserID, error)
}

// Sessions reports which sessions have ended.
type Sessions interface {
	Revoked(context.Context, []revoked.Login) ([]revoked.Login, error)
}

// Config configures an Authority. Every field except VerifyEvery, Logger and Blocked is required.
// The functions must not block; they are called with no lock held.
type Config struct {
	Store       Store
	Sessions    Sessions
	VerifyEvery time.Duration // maximum time until a lost notice is detected; default 30s
	Logger      *slog.Logger  // default slog.Default()

	// Expelled is called when a verification finds a connection that is subscribed to a channel of
	// which its user is not a member.
	Expelled func(chat.UserID, chat.ChannelID)
	// Ended is called when a verification finds that a session with connections to this gateway has
	// ended.
	Ended func(revoked.Login)
	// Blocked is called after a user's blocks have changed. added contains the other user in each
	// new block; lifted contains the other user in each lifted block.
	Blocked func(user chat.UserID, added, lifted []chat.UserID)
}

// Authority caches permissions for one gateway. It is safe for concurrent use. Call Run after New.
type Authority struct {
	cfg     Config
	ctx     context.Context // the context for all reads
	access  *coalesce.Group[chat.MemberKey, store.Access]
	blocks  *coalesce.Group[chat.UserID, []chat.UserID]
	outages *outage.Log
	failed  atomic.Int64 // when PostgreSQL last failed to answer, in Unix nanoseconds

	mu    sync.Mutex // guards users and User.sessions; held only for map operations
	users map[chat.UserID]*User

	blockIndex blocksByOther
	dirty      struct { // users whose blocks must be read again
		mu    sync.Mutex
		users map[*User]struct{}
		wake  chan struct{} // capacity 1; signals that users is not empty
	}
}

// New returns an Authority. It does no I/O. Canceling ctx cancels all of its reads.
func New(ctx context.Context, cfg Config) *Authority {
	cfg.VerifyEvery, cfg.Logger = cmp.Or(cfg.VerifyEvery, 30*time.Second), cmp.Or(cfg.Logger, slog.Default())
	a := &Authority{
		cfg: cfg, ctx: ctx, outages: outage.New(cfg.Logger, "memberships or blocks not verified", "memberships and blocks are verified again"), users: make(map[chat.UserID]*User),
		access: coalesce.New(cfg.Store.Access, coalesce.Config{Context: ctx}),
		blocks: coalesce.New(cfg.Store.Blocks, coalesce.Config{Context: ctx}),
	}
	a.dirty.users, a.dirty.wake = make(map[*User]struct{}), make(chan struct{}, 1)
	return a
}

// Run verifies cached data, and rereads blocks after notices, until ctx is done.
func (a *Authority) Run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { a.verifyAll(ctx) })
	both.Go(func() { a.readDirty(ctx) })
	both.Wait()
}

// Wait waits until no shared read is running. The caller must not start new checks during the call.
func (a *Authority) Wait() {
	a.access.Wait()
	a.blocks.Wait()
}

// Enter registers a connection and returns its User. Each Enter must be paired with a Leave.
func (a *Authority) Enter(login revoked.Login) *User {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.users[login.User]
	if u == nil {
		u = &User{a: a, id: login.User}
		a.users[login.User] = u
	}
	n, _ := u.sessions.Get(login.Session)
	u.sessions.Set(login.Session, n+1)
	return u
}

// Leave undoes an Enter.
func (a *Authority) Leave(u *User, session chat.SessionID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n, _ := u.sessions.Get(session); n > 1 {
		u.sessions.Set(session, n-1)
	} else {
		u.sessions.Delete(session)
	}
	if u.sessions.Len() == 0 {
		delete(a.users, u.id)
		a.dirty.mu.Lock()
		delete(a.dirty.users, u)
		a.dirty.mu.Unlock()
		u.clearBlocks()
	}
}

// user returns the User of a connected user, or nil if the user is not connected.
func (a *Authority) user(id chat.UserID) *User {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.users[id]
}

// InvalidateMembership invalidates the cached membership of a user who has joined a channel or has
// been removed from it.
func (a *Authority) InvalidateMembership(user chat.UserID, channel chat.ChannelID) {
	if u := a.user(user); u != nil {
		u.invalidate(channel)
	}
}

// InvalidateRole invalidates the cached role of the user in a channel. The membership stays valid.
func (a *Authority) InvalidateRole(user chat.UserID, channel chat.ChannelID) {
	if u := a.user(user); u != nil {
		u.invalidateRole(channel)
	}
}

// InvalidateBlocks invalidates the cached blocks of the user and schedules a read of them.
func (a *Authority) InvalidateBlocks(user chat.UserID) {
	if u := a.user(user); u != nil {
		u.invalidateBlocks()
		a.scheduleRead(u)
	}
}

// storeDown reports whether PostgreSQL failed to answer less than storeRetryAfter ago.
func (a *Authority) storeDown() bool {
	return time.Since(time.Unix(0, a.failed.Load())) < storeRetryAfter
}

// read reads all keys in one query.
func (a *Authority) read(ctx context.Context, keys []chat.MemberKey) ([]store.Access, error) {
	found, err := a.access.AskAll(ctx, keys)
	if err != nil {
		a.failed.Store(time.Now().UnixNano())
	}
	return found, err
}
