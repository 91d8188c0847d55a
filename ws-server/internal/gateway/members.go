package gateway

import (
	"context"
	"time"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/revoked"
	"parley.chat/ws-server/internal/store"
)

// verifyAtOnce is about how many memberships one query verifies.
const verifyAtOnce = 500

// verifyMembers makes up for notices that were lost: it verifies every live subscription, and every
// session, once within the interval. Its queries are spread over the time.
func (g *Gateway) verifyMembers(ctx context.Context) {
	// A pass takes half of the interval, so that two looks at one connection are never further apart,
	// whatever its place in either pass.
	pass := g.cfg.VerifyEvery / 2
	for ctx.Err() == nil {
		began := time.Now()
		users := g.users()
		failed := false
		for i := 0; i < len(users); {
			batch := verification{}
			for ; i < len(users) && len(batch.places) < verifyAtOnce; i++ {
				batch.add(g.clientsOf(users[i]))
			}
			if err := g.verify(ctx, &batch); err != nil && !failed && ctx.Err() == nil {
				failed = true // said once a pass: the next one tries again
				g.cfg.Logger.Warn("memberships not verified", "err", err)
			}
			if !sleep(ctx, time.Until(began.Add(pass*time.Duration(i)/time.Duration(len(users))))) {
				return
			}
		}
		if !sleep(ctx, max(time.Until(began.Add(pass)), 10*time.Millisecond)) {
			return
		}
	}
}

// sleep reports whether ctx lasted so long.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// users returns who is connected.
func (g *Gateway) users() []chat.UserID {
	g.mu.Lock()
	defer g.mu.Unlock()
	users := make([]chat.UserID, 0, len(g.byUser))
	for u := range g.byUser {
		users = append(users, u)
	}
	return users
}

// verification is what one round verifies, and on whose behalf.
type verification struct {
	places  []store.Place
	clients map[store.Place][]*client
	logins  map[revoked.Login][]*client
}

// add adds the connections of one user.
func (v *verification) add(clients []*client) {
	if v.clients == nil {
		v.clients, v.logins = make(map[store.Place][]*client), make(map[revoked.Login][]*client)
	}
	for _, c := range clients {
		login := revoked.Login{User: c.user, Session: c.session}
		v.logins[login] = append(v.logins[login], c)
		c.mu.Lock()
		for id := range c.subs {
			p := store.Place{Channel: id, User: c.user}
			if v.clients[p] == nil {
				v.places = append(v.places, p)
			}
			v.clients[p] = append(v.clients[p], c)
		}
		c.mu.Unlock()
	}
}

// verify ends the subscriptions of those who are no members any more, and the connections of sessions
// that were revoked.
func (g *Gateway) verify(ctx context.Context, v *verification) error {
	logins := make([]revoked.Login, 0, len(v.logins))
	for l := range v.logins {
		logins = append(logins, l)
	}
	marked, revokedErr := g.cfg.Revoked.Among(ctx, logins)
	for _, l := range marked {
		for _, c := range v.logins[l] {
			c.out.Close(apierr.SessionRevoked.CloseCode(), reason("the session was ended"))
		}
	}
	departed, err := g.departed(ctx, v.places)
	if len(departed) > 0 && err == nil {
		// The event that tells of it may be under way, and ends the subscription better: in its place
		// among the others. Only what has not ended by then is ended here.
		if !sleep(ctx, removedGrace) {
			return nil
		}
		departed, err = g.departed(ctx, departed)
	}
	if err != nil {
		return err
	}
	for _, p := range departed {
		for _, c := range v.clients[p] {
			g.work.run(func() { c.expel(p.Channel) })
		}
	}
	return revokedErr
}

func (g *Gateway) departed(ctx context.Context, places []store.Place) ([]store.Place, error) {
	if len(places) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, admissionTimeout)
	defer cancel()
	return g.cfg.Store.Departed(ctx, places)
}

// expel ends the subscription to a channel that the user was found to be no member of.
func (c *client) expel(id chat.ChannelID) {
	c.disbelieve(id)
	c.subscribing.Lock()
	defer c.subscribing.Unlock()
	sub := c.subscription(id)
	if sub == nil {
		return
	}
	c.g.cfg.Metrics.expelled.Inc()
	sub.Leave()
	if c.only == nil {
		c.send(frame.Membership{ChannelID: id, Change: "removed", By: c.user})
	}
	c.Ended(sub)
}
