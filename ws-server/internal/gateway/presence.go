package gateway

import (
	"errors"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/presence"
)

// entered notes that the connection's subscription to a channel has begun. Called with mu held.
func (c *client) entered(id chat.ChannelID) { c.g.cfg.Presence.Join(id, c.user) }

// exited notes that the connection's subscription to a channel is over.
func (c *client) exited(id chat.ChannelID) {
	c.g.cfg.Presence.Leave(id, c.user)
	c.g.typists.gone(c, id)
}

// askPresence answers who is online in a channel.
func (c *client) askPresence(f *frame.Client) error {
	id := *f.ChannelID
	if c.subscription(id) == nil {
		return errNotSubscribed
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
		Ref: f.Ref, ChannelID: id, OnlineCount: online.Count, Joined: online.Users, Next: online.Next,
	})
	return nil
}

var errNotSubscribed = apierr.New(apierr.NotSubscribed, "this connection has no subscription to the channel")
