package authority

import (
	"context"
	"time"

	"parley.chat/internal/platform/lifecycle"
	"parley.chat/shared-contracts/chat"
	"parley.chat/ws-server/internal/revoked"
)

const (
	// verifyBatch is the approximate number of memberships that one query verifies.
	verifyBatch = 500
	// blocksBatch limits the number of users whose blocks are read in one query.
	blocksBatch = 500
	// verifyTimeout limits one query.
	verifyTimeout = 5 * time.Second
	// removalGrace is how long a subscription may continue after a removal. Normally, the
	// member_left event ends the subscription within that time, once all earlier events have been
	// delivered. Otherwise, verification ends it.
	removalGrace = 500 * time.Millisecond
)

// verifyAll compensates for lost notices. At least once per Config.VerifyEvery, it verifies every
// membership that a connection holds, every user's blocks, and every session. It spreads its
// queries evenly over time.
func (a *Authority) verifyAll(ctx context.Context) {
	// Each pass over the users takes half of VerifyEvery. Even if a user is checked early in one
	// pass and late in the next, the two checks are at most VerifyEvery apart.
	pass := a.cfg.VerifyEvery / 2
	for ctx.Err() == nil {
		began := time.Now()
		users := a.connectedUsers()
		failed := false
		for i := 0; i < len(users); {
			var b batch
			for ; i < len(users) && len(b.keys) < verifyBatch && len(b.users) < blocksBatch; i++ {
				a.add(&b, users[i])
			}
			if err := a.verify(ctx, &b); err != nil && !failed && ctx.Err() == nil {
				failed = true // logged once per pass
				a.outages.Failed(ctx, "memberships", err)
			}
			if !lifecycle.Sleep(ctx, time.Until(began.Add(pass*time.Duration(i)/time.Duration(len(users))))) {
				return
			}
		}
		if !failed {
			a.outages.Worked(ctx, "memberships")
		}
		if !lifecycle.Sleep(ctx, max(time.Until(began.Add(pass)), 10*time.Millisecond)) {
			return
		}
	}
}

// connectedUsers returns all connected users.
func (a *Authority) connectedUsers() []*User {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]*User, 0, len(a.users))
	for _, u := range a.users {
		all = append(all, u)
	}
	return all
}

// batch holds the memberships, blocks and sessions that one call to verify checks.
type batch struct {
	users       map[*User]struct{}
	keys        []chat.MemberKey
	owners      []*User  // owners of keys, by index
	generations []uint64 // generations of owners, before the read
	logins      []revoked.Login
}

func (a *Authority) add(b *batch, u *User) {
	if b.users == nil {
		b.users = make(map[*User]struct{})
	}
	b.users[u] = struct{}{}
	a.mu.Lock()
	for s := range u.sessions.All() {
		b.logins = append(b.logins, revoked.Login{User: u.id, Session: s})
	}
	a.mu.Unlock()
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, e := range u.channels.All() {
		if e.held > 0 {
			b.keys = append(b.keys, chat.MemberKey{Channel: id, User: u.id})
			b.owners, b.generations = append(b.owners, u), append(b.generations, u.generation)
		}
	}
}

// verify reads the batch's sessions, memberships and blocks again. It passes ended sessions to
// Config.Ended and ended memberships to Config.Expelled. It returns the first error from its reads.
func (a *Authority) verify(ctx context.Context, b *batch) error {
	marked, err := a.cfg.Sessions.Revoked(ctx, b.logins)
	for _, l := range marked {
		a.cfg.Ended(l)
	}
	if blockErr := a.readBlocksOf(ctx, b.users); err == nil {
		err = blockErr
	}
	departed, readErr := a.verifyMemberships(ctx, b)
	if len(departed) > 0 && readErr == nil {
		if !lifecycle.Sleep(ctx, removalGrace) {
			return nil
		}
		departed, readErr = a.stillDeparted(ctx, departed)
	}
	for _, p := range departed {
		a.cfg.Expelled(p.User, p.Channel)
	}
	if err == nil {
		err = readErr
	}
	return err
}

// verifyMemberships reads the batch's memberships again and returns the keys of those that no
// longer exist.
func (a *Authority) verifyMemberships(ctx context.Context, b *batch) (departed []chat.MemberKey, err error) {
	if len(b.keys) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	found, err := a.read(ctx, b.keys)
	if err != nil {
		return nil, err
	}
	for i, st := range found {
		b.owners[i].Learn(b.generations[i], b.keys[i].Channel, st)
		if st.Role == "" {
			departed = append(departed, b.keys[i])
		}
	}
	return departed, nil
}

// stillDeparted reads memberships again. It returns the keys of memberships that do not exist but
// that a connection still holds.
func (a *Authority) stillDeparted(ctx context.Context, keys []chat.MemberKey) ([]chat.MemberKey, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	found, err := a.read(ctx, keys)
	if err != nil {
		return nil, err
	}
	var departed []chat.MemberKey
	for i, p := range keys {
		if found[i].Role == "" && a.holds(p.User, p.Channel) {
			departed = append(departed, p)
		}
	}
	return departed, nil
}

func (a *Authority) holds(user chat.UserID, channel chat.ChannelID) bool {
	u := a.user(user)
	if u == nil {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	e, _ := u.channels.Get(channel)
	return e.held > 0
}
