package gateway

import (
	"errors"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/presence"
)

// entered notes that the connection's subscription to a channel has begun. Called with mu held.
func (c *client) entered(id chat.ChannelID) {
	c.who.Hold(id)
	c.g.cfg.Presence.Join(id, c.user)
}

// exited notes that the connection's subscription to a channel is over.
func (c *client) exited(id chat.ChannelID) {
	c.who.Release(id)
	c.g.cfg.Presence.Leave(id, c.user)
	c.g.typists.gone(c, id)
}

// askPresence answers who is online in a channel.
func (c *client) askPresence(f *frame.Client) error {
	id := *f.ChannelID
	if err := c.participates(id); err != nil {
		return err
	}
	ctx, cancel := c.bounded()
	defer cancel()
	online, err := c.g.cfg.Presence.Online(ctx, id, f.After)
	if errors.Is(err, presence.ErrCursor) {
		return apierr.New(apierr.BadFrame, "field after: %v", err)
	} else if err != nil {
		return apierr.Wrap(err, apierr.Unavailable, "presence cannot be read right now")
	}
	c.send(frame.PresenceNotice{
		Ref: f.Ref, ChannelID: id, OnlineCount: c.g.countFor(c.user, online), Joined: c.g.heard(c.user, online.Users), Next: online.Next,
	})
	return nil
}

// participates returns an error unless the connection is subscribed to a channel that its user is a member of.
func (c *client) participates(id chat.ChannelID) error {
	if c.subscription(id) == nil {
		return errNotSubscribed
	}
	return c.who.Admit(id)
}

var errNotSubscribed = apierr.New(apierr.NotSubscribed, "this connection has no subscription to the channel")
