package gateway

import (
	"context"
	"time"

	"parley.chat/internal/eventlog"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/notice"
	"parley.chat/ws-server/internal/hub"
	"parley.chat/ws-server/internal/store"
)

// Notice handles a notice for a user connected to this gateway. The feed calls it; it does
// not block.
func (g *Gateway) Notice(n notice.Notice) {
	switch n.Kind {
	case notice.Blocked:
		g.authority.InvalidateBlocks(n.UserID)
		return
	case notice.RoleChanged:
		if n.ChannelID != nil {
			g.authority.InvalidateRole(n.UserID, *n.ChannelID)
		}
		return
	case notice.ChannelRemoved:
		if n.ChannelID != nil {
			g.authority.InvalidateMembership(n.UserID, *n.ChannelID)
		}
	}
	for _, c := range g.clientsOf(n.UserID) {
		switch n.Kind {
		case notice.SessionRevoked:
			if n.SessionID != nil && c.session == *n.SessionID {
				c.out.Close(apierr.SessionRevoked.CloseCode(), closeReason("This session has ended."))
			}
		case notice.SessionRenewed:
			if n.SessionID != nil && c.session == *n.SessionID && n.ExpiresAt != nil {
				c.extendToken(n.ExpiresAt.Unix())
			}
		case notice.EventFailed:
			if n.ChannelID != nil && n.EventID != nil && n.ClientID != nil {
				c.send(frame.FailedEvent{ChannelID: *n.ChannelID, ID: *n.EventID, Seq: n.Seq, ClientID: *n.ClientID, Reason: n.Reason})
			}
		case notice.GroupChanged:
			if n.GroupID != nil && c.onlyChannel == nil {
				c.send(frame.GroupNotice{GroupID: *n.GroupID, Change: n.Change, By: changedBy(n)})
			}
		case notice.Invitation:
			if n.InvitationID != nil && c.onlyChannel == nil {
				c.send(frame.InvitationNotice{InvitationID: *n.InvitationID, Change: n.Change, By: changedBy(n)})
			}
		case notice.ChannelAdded:
			if n.ChannelID != nil {
				g.background.run(func() { c.channelAdded(*n.ChannelID, changedBy(n)) })
			}
		case notice.ChannelRemoved:
			if n.ChannelID != nil {
				g.background.run(func() { c.channelRemoved(*n.ChannelID, changedBy(n)) })
			}
		}
	}
}

func changedBy(n notice.Notice) chat.UserID {
	if n.By != nil {
		return *n.By
	}
	return n.UserID
}

// channelAdded informs the client of a channel that its user has joined. If the client subscribes
// to all channels, channelAdded also subscribes it to the new channel.
func (c *client) channelAdded(id chat.ChannelID, by chat.UserID) {
	ctx, cancel := c.requestContext()
	defer cancel()
	if c.onlyChannel != nil || c.keepsSubscription(id) {
		return
	}
	generation := c.access.Generation()
	m, err := c.g.cfg.Store.Membership(ctx, c.user, id)
	if err != nil {
		c.g.cfg.Logger.Warn("failed to read new membership", "user_id", c.user, "channel_id", id, "err", err)
		return
	}
	m.Arriving = false // the log contains the member_joined event, because the notice is sent only after that event was appended
	c.access.Learn(generation, id, m.Access())
	c.subscribing.Lock()
	defer c.subscribing.Unlock()
	if c.subscription(id) != nil {
		return // another notice was handled first
	}
	if err := c.announceChannelLocked(ctx, m, by); err != nil {
		c.g.cfg.Logger.Warn("failed to subscribe to new channel", "user_id", c.user, "channel_id", id, "err", err)
	}
}

// announceChannelLocked sends the summary of a new channel. If the client subscribes to all
// channels, its subscription starts after the summary. A direct channel is created by its first
// message, so its subscription starts at the first message that none of the user's devices has
// received. Called with subscribing held.
func (c *client) announceChannelLocked(ctx context.Context, m store.Membership, by chat.UserID) error {
	var live *hub.Channel
	var head eventlog.Head
	var err error
	if c.subscribeAll && c.subscriptionsLeft() > 0 {
		if live, err = c.g.cfg.Feed.Join(ctx, m.ChannelID); err == nil {
			head.Seq, head.Epoch = live.Head()
		}
	} else {
		head, err = c.g.cfg.Log.EnsureHead(ctx, m.ChannelID, c.g.cfg.Store.MaxSeq)
	}
	if err != nil {
		return err
	}
	list := []store.Membership{m}
	if err := c.raiseToRedis(ctx, list); err != nil {
		return err
	}
	if m.Kind == chat.Direct && live != nil {
		head.Seq = min(head.Seq, list[0].LastDeliveredSeq)
	}
	counts, err := c.countUnread(ctx, list, []eventlog.Head{head})
	if err != nil {
		return err
	}
	s := channelSummary(list[0], head, counts[0])
	s.NotFollowed = c.subscribeAll && live == nil
	added := frame.Membership{ChannelID: m.ChannelID, Change: "added", By: by, Channel: &s}
	if live == nil {
		c.send(added)
		return nil
	}
	return c.subscribeLocked(ctx, live, head.Seq, func(int64, event.Epoch) bool {
		c.send(added)
		return false
	})
}

// keepsSubscription reports whether the connection is subscribed to the channel and will stay
// subscribed. If a user leaves and immediately rejoins, the notice of the rejoin may arrive before
// member_left has ended the old subscription. So keepsSubscription waits for removedGrace and
// checks again.
func (c *client) keepsSubscription(id chat.ChannelID) bool {
	sub := c.subscription(id)
	if sub == nil {
		return false
	}
	select {
	case <-time.After(removedGrace):
	case <-c.g.ctx.Done():
	}
	return c.subscription(id) == sub && !sub.Ended()
}

// removedGrace is how long to wait for the member_left event to end a subscription in order with
// the other events.
const removedGrace = 500 * time.Millisecond

// channelRemoved informs the client of a channel that its user was removed from. Normally the
// member_left event ends the subscription. If it has not done so within removedGrace and the user
// is not a member, channelRemoved ends the subscription.
func (c *client) channelRemoved(id chat.ChannelID, by chat.UserID) {
	if c.onlyChannel == nil {
		c.send(frame.Membership{ChannelID: id, Change: "removed", By: by})
	}
	sub := c.subscription(id)
	if sub == nil {
		return
	}
	select {
	case <-time.After(removedGrace):
	case <-c.g.ctx.Done():
		return
	}
	if sub = c.subscription(id); sub == nil {
		return
	}
	ctx, cancel := c.requestContext()
	defer cancel()
	switch _, err := c.g.cfg.Store.Membership(ctx, c.user, id); apierr.CodeOf(err) {
	case apierr.NotFound, apierr.Forbidden:
		c.subscribing.Lock()
		defer c.subscribing.Unlock()
		sub.Leave()
		c.Ended(sub)
	}
}
