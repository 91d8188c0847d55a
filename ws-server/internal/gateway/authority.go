package gateway

import (
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/authority"
	"parley.chat/ws-server/internal/revoked"
)

// newAuthority returns the gateway's cache of memberships, blocks and sessions. Its callbacks apply
// the changes whose notices were lost.
func (g *Gateway) newAuthority() *authority.Authority {
	return authority.New(g.ctx, authority.Config{
		Store: g.cfg.Store, Sessions: g.cfg.Revoked, VerifyEvery: g.cfg.VerifyEvery, Logger: g.cfg.Logger,
		Expelled: func(user chat.UserID, channel chat.ChannelID) {
			for _, c := range g.clientsOf(user) {
				g.background.run(func() { c.expel(channel) })
			}
		},
		Ended: func(l revoked.Login) {
			for _, c := range g.clientsOf(l.User) {
				if c.session == l.Session {
					c.out.Close(apierr.SessionRevoked.CloseCode(), closeReason("This session has ended."))
				}
			}
		},
		Blocked: func(user chat.UserID, added, lifted []chat.UserID) {
			g.background.run(func() { g.presence.BlocksChanged(g.ctx, user, added, lifted) })
		},
	})
}

// BlockedWith returns the users connected to this gateway who have blocked a user or are blocked by
// that user. The result is nil for nearly every user.
func (g *Gateway) BlockedWith(to chat.UserID) map[chat.UserID]struct{} {
	return g.authority.BlockedWith(to)
}

// expel ends the connection's subscription to a channel that the user is no longer a member of. It
// does nothing if the subscription has already ended.
func (c *client) expel(id chat.ChannelID) {
	c.subscribing.Lock()
	defer c.subscribing.Unlock()
	sub := c.subscription(id)
	if sub == nil {
		return
	}
	c.g.cfg.Metrics.expelled.Inc()
	sub.Leave()
	if c.onlyChannel == nil {
		c.send(frame.Membership{ChannelID: id, Change: "removed", By: c.user})
	}
	c.Ended(sub)
}
