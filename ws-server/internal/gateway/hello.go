package gateway

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/unread"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/hub"
	"parley.chat/ws-server/internal/revoked"
	"parley.chat/ws-server/internal/store"
)

// maxConcurrentJoins limits how many channels the gateway joins at the same time for one
// connection.
const maxConcurrentJoins = 16

// greet sends hello and subscribes the connection to its channels. It first subscribes to the
// user's topic, so that every membership change is seen either in the list of channels or as a
// notice.
func (c *client) greet() bool {
	c.access = c.g.authority.Enter(revoked.Login{User: c.user, Session: c.session})
	if !c.g.addToUser(c) {
		c.out.Close(closeParams(apierr.New(apierr.TooManyConnections, "You have too many connections.")))
		return false
	}
	ctx, cancel := c.requestContext()
	defer cancel()
	if err := c.sendHello(ctx); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = apierr.Wrap(err, apierr.Unavailable, "The event log is not available. Please try again.")
		}
		if c.g.ctx.Err() == nil {
			c.g.cfg.Logger.Warn("failed to admit connection", "user_id", c.user, "err", err)
		}
		c.out.Close(closeParams(err))
		return false
	}
	return true
}

func (c *client) sendHello(ctx context.Context) error {
	c.subscribing.Lock() // notices about new channels wait until hello has been sent
	defer c.subscribing.Unlock()
	c.mu.Lock()
	c.watching = true
	c.mu.Unlock()
	if err := c.g.cfg.Feed.Watch(ctx, c.user); err != nil {
		return err
	}
	// If the session is revoked after this point, a notice arrives. If it was revoked earlier,
	// Redis contains a revocation mark.
	marked, err := c.g.sharedReads.revoked.Ask(ctx, revoked.Login{User: c.user, Session: c.session})
	if err != nil {
		return apierr.Wrap(err, apierr.Unavailable, "The session cannot be checked at the moment.")
	}
	if marked {
		return apierr.New(apierr.SessionRevoked, "This session has ended.")
	}
	if err := c.access.LoadBlocks(ctx); err != nil {
		return err
	}
	generation := c.access.Generation()
	list, err := c.listMemberships(ctx)
	if err != nil {
		return err
	}
	c.cacheMemberships(ctx, generation, list)
	if err := c.raiseToRedis(ctx, list); err != nil {
		return err
	}
	if c.onlyChannel == nil && len(list) > c.subscriptionsLeft() {
		if err := c.sortByActivity(ctx, list); err != nil {
			return err
		}
	}
	heads, live, err := c.heads(ctx, list)
	if err != nil {
		return err
	}
	counts, err := c.countUnread(ctx, list, heads)
	if err != nil {
		return err
	}
	room := c.subscriptionsLeft()
	summaries := make([]frame.ChannelSummary, len(list))
	for i, m := range list {
		summaries[i] = channelSummary(m, heads[i], counts[i])
		summaries[i].NotFollowed = i >= room
	}
	first := summaries[:min(frame.HelloChannels, len(summaries))]
	c.send(frame.Hello{
		ConnectionID: newConnectionID(), SessionID: c.session, UserID: c.user, ServerTime: chat.Now(),
		HeartbeatSeconds: int(frame.Heartbeat.Seconds()), Limits: c.g.cfg.Limits, Channels: first,
		NotFollowed: max(0, len(list)-room),
	})
	for rest := summaries[len(first):]; len(rest) > 0; {
		select { // wait for the send queue to drain, so that the queue never holds the whole list of channels
		case <-c.out.Drained():
		case <-c.g.ctx.Done():
			return c.g.ctx.Err()
		}
		page := rest[:min(frame.HelloChannels, len(rest))]
		rest = rest[len(page):]
		c.send(frame.HelloMore{Channels: page})
	}
	for i, ch := range live {
		err := c.subscribeLocked(ctx, ch, heads[i].Seq, func(int64, event.Epoch) bool { return false })
		if code := apierr.CodeOf(err); c.onlyChannel == nil && (code == apierr.NotFound || code == apierr.Forbidden) {
			continue // the user was removed after the channels were read; a notice informs the client
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// cacheMemberships caches memberships that were just read. Memberships for which a notice arrived
// during the read are read again in one query. Channels that the user has left are handled by
// subscribeLocked.
func (c *client) cacheMemberships(ctx context.Context, generation uint64, list []store.Membership) {
	var overtaken []chat.ChannelID
	for i := range list {
		if !c.access.Learn(generation, list[i].ChannelID, list[i].Access()) {
			overtaken = append(overtaken, list[i].ChannelID)
		}
	}
	if len(overtaken) > 0 {
		c.access.AdmitAll(ctx, overtaken)
	}
}

// listMemberships returns the user's memberships in the channels that hello lists.
func (c *client) listMemberships(ctx context.Context) ([]store.Membership, error) {
	if c.onlyChannel == nil {
		list, err := c.g.sharedReads.memberships.Ask(ctx, c.user)
		return slices.Clone(list), err // the result may be shared with other connections of the user
	}
	m, err := c.g.cfg.Store.Membership(ctx, c.user, *c.onlyChannel)
	if err != nil {
		return nil, err
	}
	return []store.Membership{m}, nil
}

// sortByActivity sorts the channels of a user with more channels than one connection may subscribe
// to. Channels in which the user has read something come first, because other users cannot
// influence whether a channel is in this group. Within each group, the channels with the most
// recent activity come first.
func (c *client) sortByActivity(ctx context.Context, list []store.Membership) error {
	at := make(map[chat.ChannelID]time.Time, len(list))
	ids := make([]chat.ChannelID, len(list))
	for i, m := range list {
		ids[i] = m.ChannelID
	}
	newest, err := c.g.cfg.Log.Newest(ctx, ids)
	if err != nil {
		return apierr.Wrap(err, apierr.Unavailable, "The event log is not available. Please try again.")
	}
	var stored []chat.ChannelID // channels with no events in Redis
	for i, id := range ids {
		if newest[i] != nil {
			at[id] = newest[i].AppendedAt()
		} else {
			stored = append(stored, id)
		}
	}
	times, err := c.g.cfg.Store.NewestAt(ctx, stored)
	if err != nil {
		return err
	}
	for i, id := range stored {
		at[id] = times[i]
	}
	slices.SortStableFunc(list, func(a, b store.Membership) int {
		if mine, theirs := a.LastReadSeq > a.JoinedSeq, b.LastReadSeq > b.JoinedSeq; mine != theirs {
			if mine {
				return -1
			}
			return 1
		}
		return at[b.ChannelID].Compare(at[a.ChannelID])
	})
	return nil
}

// heads returns the head of each channel. If the client subscribes to its channels, heads also
// joins them in order, up to the connection's subscription limit, and returns the joined channels.
func (c *client) heads(ctx context.Context, list []store.Membership) ([]eventlog.Head, []*hub.Channel, error) {
	if c.onlyChannel == nil && !c.subscribeAll {
		heads, err := c.readHeads(ctx, list)
		return heads, nil, err
	}
	n := min(len(list), c.subscriptionsLeft())
	rest, err := c.readHeads(ctx, list[n:])
	if err != nil {
		return nil, nil, err
	}
	heads, live := append(make([]eventlog.Head, n), rest...), make([]*hub.Channel, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxConcurrentJoins)
	for i, m := range list[:n] {
		g.Go(func() (err error) {
			if live[i], err = c.g.cfg.Feed.Join(ctx, m.ChannelID); err == nil {
				heads[i].Seq, heads[i].Epoch = live[i].Head()
			}
			return err
		})
	}
	return heads, live, g.Wait()
}

func (c *client) readHeads(ctx context.Context, list []store.Membership) ([]eventlog.Head, error) {
	ids := make([]chat.ChannelID, len(list))
	for i, m := range list {
		ids[i] = m.ChannelID
	}
	heads, err := c.g.sharedReads.heads.AskAll(ctx, ids)
	if err != nil {
		return nil, apierr.Wrap(err, apierr.Unavailable, "The event log is not available. Please try again.")
	}
	for i, h := range heads {
		if !h.Seeded() {
			if heads[i], err = c.g.cfg.Log.EnsureHead(ctx, ids[i], c.g.cfg.Store.MaxSeq); err != nil {
				return nil, apierr.Wrap(err, apierr.Unavailable, "The state of a channel cannot be read at the moment. Please try again.")
			}
		}
	}
	return heads, nil
}

// countUnread counts the user's unread messages up to the head of each channel.
func (c *client) countUnread(ctx context.Context, list []store.Membership, heads []eventlog.Head) ([]unread.Count, error) {
	counts := make([]unread.Count, len(list))
	var questions []unread.Question
	var place []int
	for i, m := range list {
		q := unread.Question{Channel: m.ChannelID, User: c.user, After: max(m.LastReadSeq, m.JoinedSeq), UpTo: heads[i].Seq}
		if q.After < q.UpTo {
			questions, place = append(questions, q), append(place, i)
		}
	}
	answers, err := c.g.sharedReads.unread.AskAll(ctx, questions)
	if err != nil {
		return nil, apierr.Wrap(err, apierr.Unavailable, "Unread messages cannot be counted at the moment. Please try again.")
	}
	for n, i := range place {
		counts[i] = answers[n]
	}
	return counts, nil
}

func channelSummary(m store.Membership, h eventlog.Head, n unread.Count) frame.ChannelSummary {
	return frame.ChannelSummary{
		ChannelID: m.ChannelID, Name: m.Name, Kind: m.Kind, LastSeq: h.Seq, Epoch: string(h.Epoch),
		LastReadSeq: min(m.LastReadSeq, h.Seq), LastDeliveredSeq: min(m.LastDeliveredSeq, h.Seq), Unread: n.Messages, UnreadMentions: n.Mentions,
	}
}
