package authority

import (
	"context"
	"time"

	"parley.chat/internal/lifecycle"
	"parley.chat/shared-contracts/chat"
	"parley.chat/ws-server/internal/revoked"
	"parley.chat/ws-server/internal/store"
)

const (
	// verifyAtOnce is about how many memberships one query verifies.
	verifyAtOnce = 500
	// usersAtOnce is the most users whose blocks one query reads.
	usersAtOnce = 500
	// verifyTimeout bounds one query.
	verifyTimeout = 5 * time.Second
	// removalGrace is how long the member_left event may take to end a subscription in its place among the
	// other events. What has not ended by then is ended here.
	removalGrace = 500 * time.Millisecond
)

// verifyAll makes up for notices that were lost: within Config.Every it verifies every membership that a
// connection holds, every user's blocks and every session. Its queries are spread over the time.
func (a *Authority) verifyAll(ctx context.Context) {
	// A pass takes half of the interval, so that two looks at one user are never further apart than the
	// interval, wherever the user comes in either pass.
	pass := a.cfg.Every / 2
	for ctx.Err() == nil {
		began := time.Now()
		users := a.everybody()
		failed := false
		for i := 0; i < len(users); {
			var b batch
			for ; i < len(users) && len(b.places) < verifyAtOnce && len(b.users) < usersAtOnce; i++ {
				a.add(&b, users[i])
			}
			if err := a.verify(ctx, &b); err != nil && !failed && ctx.Err() == nil {
				failed = true // logged once per pass: the next pass tries again
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

// everybody returns the users who are connected.
func (a *Authority) everybody() []*User {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]*User, 0, len(a.users))
	for _, u := range a.users {
		all = append(all, u)
	}
	return all
}

// batch is what one round verifies.
type batch struct {
	users       map[*User]struct{}
	places      []store.MemberKey
	owners      []*User  // of places
	generations []uint64 // of owners, before the read
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
			b.places = append(b.places, store.MemberKey{Channel: id, User: u.id})
			b.owners, b.generations = append(b.owners, u), append(b.generations, u.generation)
		}
	}
}

// verify reads a batch again and tells of what has ended. Its error is the first of the three reads'.
func (a *Authority) verify(ctx context.Context, b *batch) error {
	marked, err := a.cfg.Sessions.Revoked(ctx, b.logins)
	for _, l := range marked {
		a.cfg.Ended(l)
	}
	if blockErr := a.readBlocksOf(ctx, b.users); err == nil {
		err = blockErr
	}
	departed, readErr := a.verifyPlaces(ctx, b)
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

// verifyPlaces reads the memberships of a batch again and returns those that are none any more.
func (a *Authority) verifyPlaces(ctx context.Context, b *batch) (departed []store.MemberKey, err error) {
	if len(b.places) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	found, err := a.read(ctx, b.places)
	if err != nil {
		return nil, err
	}
	for i, st := range found {
		b.owners[i].Learn(b.generations[i], b.places[i].Channel, st)
		if st.Role == "" {
			departed = append(departed, b.places[i])
		}
	}
	return departed, nil
}

// stillDeparted returns those of places that are held although their users are not members.
func (a *Authority) stillDeparted(ctx context.Context, places []store.MemberKey) ([]store.MemberKey, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	found, err := a.read(ctx, places)
	if err != nil {
		return nil, err
	}
	var departed []store.MemberKey
	for i, p := range places {
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
