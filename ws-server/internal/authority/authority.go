// Package authority is what one gateway remembers of "who may what": memberships with their roles, blocks
// between users, and which sessions are open. Nothing else in ws-server remembers any of these.
//
// There is one User per user who is connected here, shared by the user's connections. An answer is served
// from memory while it is fresh and read from PostgreSQL otherwise; questions that are asked at the same time
// share one query. Three things end an answer:
//
//   - A notice (InvalidateMembership, InvalidateRole, InvalidateBlocks) ends it at once. Each notice raises the user's generation,
//     and a read that began under an earlier generation is discarded: it cannot bring back what a notice ended.
//   - Config.Every ends it when notices are lost. What connections hold (see User.Hold) and every block and
//     session is checked by Run within that time; anything else is read again when it is next needed.
//   - The last connection of the user ends everything remembered of that user.
//
// While PostgreSQL is away, a membership that was known good stays good. A removal that was announced is still
// refused: by the notice that ended the membership here, and by the mark in Redis that every append checks.
//
// Goroutines: the two of Run, one that verifies and one that reads blocks after notices. There is no timer per
// connection. Memory is bounded by the connections: one User each at most, with what they hold and up to
// maxSpare further memberships.
package authority

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"parley.chat/internal/outage"
	"parley.chat/shared-contracts/chat"
	"parley.chat/ws-server/internal/coalesce"
	"parley.chat/ws-server/internal/revoked"
	"parley.chat/ws-server/internal/store"
)

const (
	// storeAgain is how long PostgreSQL is not asked again, after it did not answer, for what is remembered.
	storeAgain = 5 * time.Second
	// admitTimeout bounds what a frame waits for an answer that is not remembered.
	admitTimeout = 5 * time.Second
	// staleTimeout bounds a read that can be done without, because an older answer is remembered.
	staleTimeout = time.Second
	// maxSpare is how many memberships of a user are remembered without a connection that holds them.
	maxSpare = 4096
)

// Store reads from PostgreSQL.
type Store interface {
	Access(context.Context, []store.MemberKey) ([]store.Access, error)
	Blocks(context.Context, []chat.UserID) ([][]chat.UserID, error)
}

// Sessions finds the sessions among some that have been ended.
type Sessions interface {
	Revoked(context.Context, []revoked.Login) ([]revoked.Login, error)
}

// Config configures an Authority. Only Every, Logger and Blocked may be left out. The functions must not block; they
// are called without locks.
type Config struct {
	Store    Store
	Sessions Sessions
	Every    time.Duration // the longest that a lost notice goes unnoticed; default 30s
	Logger   *slog.Logger  // default slog.Default()

	// Expelled is called when a verification finds that a connection follows a channel that its user is not in.
	Expelled func(chat.UserID, chat.ChannelID)
	// Ended is called when a verification finds that a session with connections here has been ended.
	Ended func(revoked.Login)
	// Blocked is called after a user's blocks have changed, with the other users of new and of lifted blocks.
	Blocked func(user chat.UserID, added, lifted []chat.UserID)
}

// Authority is the cache of one gateway. It is safe for concurrent use. Construct it, then Run it.
type Authority struct {
	cfg       Config
	ctx       context.Context // of all reads
	standings *coalesce.Group[store.MemberKey, store.Access]
	blocks    *coalesce.Group[chat.UserID, []chat.UserID]
	outages   *outage.Log
	failed    atomic.Int64 // when PostgreSQL last did not answer, Unix nanoseconds

	mu    sync.Mutex // guards users and User.sessions; held for map work only
	users map[chat.UserID]*User

	deaf  deafness
	dirty struct { // users whose blocks have to be read again
		mu    sync.Mutex
		users map[*User]struct{}
		wake  chan struct{} // holds at most one token: users is not empty
	}
}

// New returns an Authority. It does no I/O. All its reads end with ctx.
func New(ctx context.Context, cfg Config) *Authority {
	cfg.Every, cfg.Logger = cmp.Or(cfg.Every, 30*time.Second), cmp.Or(cfg.Logger, slog.Default())
	a := &Authority{
		cfg: cfg, ctx: ctx, outages: outage.New(cfg.Logger, "memberships or blocks not verified", "memberships and blocks are verified again"), users: make(map[chat.UserID]*User),
		standings: coalesce.New(cfg.Store.Access, coalesce.Config{Context: ctx}),
		blocks:    coalesce.New(cfg.Store.Blocks, coalesce.Config{Context: ctx}),
	}
	a.dirty.users, a.dirty.wake = make(map[*User]struct{}), make(chan struct{}, 1)
	return a
}

// Run verifies what is remembered, and reads blocks after notices, until ctx is done.
func (a *Authority) Run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { a.verifyAll(ctx) })
	both.Go(func() { a.readDirty(ctx) })
	both.Wait()
}

// Wait returns when no shared read is under way. Nothing may be asked while it waits.
func (a *Authority) Wait() {
	a.standings.Wait()
	a.blocks.Wait()
}

// Enter returns the User of a connection. Each Enter needs a Leave.
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
		u.forgetBlocks()
	}
}

// user returns the User of a connected user, nil for any other.
func (a *Authority) user(id chat.UserID) *User {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.users[id]
}

// InvalidateMembership ends what is remembered of a membership: the user came into the channel or was removed from it.
func (a *Authority) InvalidateMembership(user chat.UserID, channel chat.ChannelID) {
	if u := a.user(user); u != nil {
		u.forget(channel)
	}
}

// InvalidateRole ends what is remembered of the user's role in a channel. The membership itself stays known.
func (a *Authority) InvalidateRole(user chat.UserID, channel chat.ChannelID) {
	if u := a.user(user); u != nil {
		u.doubtRole(channel)
	}
}

// InvalidateBlocks ends what is remembered of the user's blocks, and has them read again.
func (a *Authority) InvalidateBlocks(user chat.UserID) {
	if u := a.user(user); u != nil {
		u.doubtBlocks()
		a.readSoon(u)
	}
}

// away reports whether PostgreSQL did not answer a moment ago.
func (a *Authority) away() bool {
	return time.Since(time.Unix(0, a.failed.Load())) < storeAgain
}

// read reads standings, all of them in one query.
func (a *Authority) read(ctx context.Context, places []store.MemberKey) ([]store.Access, error) {
	found, err := a.standings.AskAll(ctx, places)
	if err != nil {
		a.failed.Store(time.Now().UnixNano())
	}
	return found, err
}
