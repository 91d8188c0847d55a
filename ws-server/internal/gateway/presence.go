package gateway

import (
	"errors"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/presence"
	"parley.chat/ws-server/internal/presencefanout"
	"parley.chat/ws-server/internal/typing"
)

func (g *Gateway) newPresenceFanout() *presencefanout.Fanout {
	return presencefanout.New(presencefanout.Config{
		Hub: g.cfg.Feed.Hub, Blocks: g.authority, Logger: g.cfg.Logger,
		Online: g.cfg.Presence.Online, CommonChannels: g.cfg.Store.Common, Subscribed: g.isSubscribed, SendTo: g.sendEphemeral,
	})
}

// Presence handles a published presence frame for a channel. The feed calls it; it does not block.
func (g *Gateway) Presence(id chat.ChannelID, text []byte) { g.presence.Published(id, text) }

// subscriptionBegan records that the connection has subscribed to a channel. Called with mu held.
func (c *client) subscriptionBegan(id chat.ChannelID) {
	c.access.Hold(id)
	c.g.cfg.Presence.Join(id, c.user)
}

// subscriptionEnded records that the connection's subscription to a channel has ended.
func (c *client) subscriptionEnded(id chat.ChannelID) {
	c.access.Release(id)
	c.g.cfg.Presence.Leave(id, c.user)
	c.g.typing.Unsubscribed(typing.Typist{Channel: id, User: c.user}, c)
}

// handleTyping handles a typing frame.
func (c *client) handleTyping(f *frame.Client) error {
	if err := c.checkParticipates(*f.ChannelID); err != nil {
		return err
	}
	who := typing.Typist{Channel: *f.ChannelID, User: c.user}
	if *f.Typing {
		c.g.typing.Start(who, c)
	} else {
		c.g.typing.Stop(who)
	}
	return nil
}

// publishTyping notifies a channel's subscribers that a user has started or stopped typing.
func (g *Gateway) publishTyping(who typing.Typist, on bool) {
	g.cfg.Presence.Publish(who.Channel, "typing", who.User,
		frame.Encode(frame.TypingNotice{ChannelID: who.Channel, UserID: who.User, Typing: on}))
}

// handlePresence answers a presence frame with the users who are online in a channel.
func (c *client) handlePresence(f *frame.Client) error {
	id := *f.ChannelID
	if err := c.checkParticipates(id); err != nil {
		return err
	}
	ctx, cancel := c.requestContext()
	defer cancel()
	online, err := c.g.cfg.Presence.Online(ctx, id, f.After)
	if errors.Is(err, presence.ErrCursor) {
		return apierr.InvalidField(apierr.BadFrame, "after", apierr.Violates(apierr.FieldCursor, "is not a cursor of this list"))
	} else if err != nil {
		return apierr.Wrap(err, apierr.Unavailable, "Presence cannot be read at the moment. Please try again.")
	}
	online = c.g.presence.VisibleTo(c.user, online)
	c.send(frame.PresenceNotice{Ref: f.Ref, ChannelID: id, OnlineCount: online.Count, Joined: online.Users, Next: online.Next})
	return nil
}

// checkParticipates returns an error unless the user is a member of the channel and the connection
// is subscribed to it.
func (c *client) checkParticipates(id chat.ChannelID) error {
	if c.subscription(id) == nil {
		return errNotSubscribed
	}
	return c.access.Admit(id)
}

var errNotSubscribed = apierr.New(apierr.NotSubscribed, "This connection has no subscription to the channel.")
