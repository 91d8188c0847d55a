package gateway

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/hub"
)

const (
	// maxResumeEvents is the maximum number of missed events that a subscription replays. A client
	// that has missed more events must read them from the history.
	maxResumeEvents = 1000
)

// errConnectionClosed is returned if the connection was cleaned up while its request was being
// handled.
var errConnectionClosed = errors.New("the connection is closed")

// handleSubscribe handles a subscribe frame. All of its channels share one requestTimeout.
// Memberships that are not cached are read in one query, and the channels are joined concurrently.
func (c *client) handleSubscribe(f *frame.Client) error {
	positions := f.Positions()
	c.chargeSubscriptions(len(positions))
	ctx, cancel := c.requestContext()
	defer cancel()
	ids := make([]chat.ChannelID, len(positions))
	for i, p := range positions {
		ids[i] = p.ChannelID
	}
	errs := c.access.AdmitAll(ctx, ids)
	if len(ids) > 1 {
		c.joinChannels(ctx, ids, errs)
	}
	for i, p := range positions {
		if c.out.Closing() {
			return nil
		}
		if errs[i] == nil {
			errs[i] = c.subscribe(ctx, f.Ref, p)
		}
		if errs[i] != nil {
			c.sendError(f.Ref, &p.ChannelID, errs[i])
		}
	}
	return nil
}

// joinChannels makes the gateway join the channels that the user was admitted to, up to the
// connection's subscription limit. If joining a channel fails, subscribe tries again and reports
// the error.
func (c *client) joinChannels(ctx context.Context, ids []chat.ChannelID, errs []error) {
	var g errgroup.Group
	g.SetLimit(maxConcurrentJoins)
	room := c.subscriptionsLeft()
	for i, id := range ids {
		if errs[i] != nil || c.subscription(id) != nil {
			continue
		}
		if room--; room < 0 {
			break
		}
		g.Go(func() error {
			_, _ = c.g.cfg.Feed.Join(ctx, id)
			return nil
		})
	}
	_ = g.Wait()
}

// subscribe subscribes the connection to one of the channels in a subscribe frame. The user must
// have been admitted to it.
func (c *client) subscribe(ctx context.Context, ref string, want frame.ChannelPosition) error {
	c.subscribing.Lock()
	defer c.subscribing.Unlock()
	sub := c.subscription(want.ChannelID)
	if sub == nil {
		if c.subscriptionsLeft() <= 0 {
			return c.errTooManySubscriptions()
		}
	} else if want.LastSeenSeq == nil {
		head, epoch := sub.Channel().Head()
		c.send(frame.Subscribed{Ref: ref, ChannelID: want.ChannelID, LastSeq: head, Epoch: string(epoch), Recovered: true})
		return nil
	} else {
		c.removeSubscription(want.ChannelID, sub)
		sub.Leave() // no event from the channel may be sent before the new `subscribed` frame
	}
	ch, err := c.g.cfg.Feed.Join(ctx, want.ChannelID)
	if err != nil {
		return apierr.Wrap(err, apierr.Unavailable, "This channel cannot be subscribed to at the moment. Please try again.")
	}
	after, joined := int64(-1), int64(0)
	if want.LastSeenSeq != nil {
		after = *want.LastSeenSeq
		if joined, err = c.access.JoinedSeq(want.ChannelID); err != nil {
			return err
		}
	}
	if head, epoch := ch.Head(); after > head || want.Epoch != "" && want.Epoch != string(epoch) {
		// Another instance may have seen newer events than this one, so read the channel's counter.
		if err := c.g.cfg.Feed.CatchUp(ctx, ch); err != nil {
			return apierr.Wrap(err, apierr.Unavailable, "This channel cannot be subscribed to at the moment. Please try again.")
		}
	}
	return c.subscribeLocked(ctx, ch, after, func(head int64, epoch event.Epoch) (skip bool) {
		if want.Epoch != "" && want.Epoch != string(epoch) || after > head {
			c.send(frame.Resync{Ref: ref, ChannelID: want.ChannelID, Epoch: string(epoch), LastSeq: head})
			return true
		}
		// Events from before the user joined are not replayed; the client must read them from the
		// history. The history omits message versions that were replaced before the user joined.
		more := after >= 0 && (head-after > maxResumeEvents || after < min(joined, head))
		c.send(frame.Subscribed{
			Ref: ref, ChannelID: want.ChannelID, LastSeq: head, Epoch: string(epoch),
			Recovered: after >= 0 && !more, HasMore: more,
		})
		return more
	})
}

// subscribeLocked subscribes the connection to a joined channel that the user was admitted to. It
// confirms the membership twice: before subscribing, so that a removed user gets no events, and
// afterward, in case the removal happened in between. It returns an error if the user is no longer
// a member. Called with subscribing held.
func (c *client) subscribeLocked(ctx context.Context, ch *hub.Channel, after int64, answer func(int64, event.Epoch) bool) error {
	if c.subscription(ch.ID()) != nil {
		return nil // a notice was handled first
	}
	if err := c.access.Confirm(ch.ID()); err != nil {
		return err
	}
	var sub *hub.Subscription
	for sub = ch.Subscribe(c, after, answer); sub == nil; sub = ch.Subscribe(c, after, answer) {
		var err error // the hub has just removed the channel because it had no subscriptions
		if ch, err = c.g.cfg.Feed.Join(ctx, ch.ID()); err != nil {
			return apierr.Wrap(err, apierr.Unavailable, "This channel cannot be subscribed to at the moment. Please try again.")
		}
	}
	c.mu.Lock()
	if c.left {
		c.mu.Unlock()
		sub.Leave()
		return errConnectionClosed
	}
	c.subs.Set(ch.ID(), sub)
	c.subscriptionBegan(ch.ID())
	c.mu.Unlock()
	if sub.Ended() { // the subscription ended before it was added to c.subs
		c.removeSubscription(ch.ID(), sub)
		return nil
	}
	err := c.access.Confirm(ch.ID())
	if err != nil {
		c.removeSubscription(ch.ID(), sub)
		sub.Leave()
	}
	return err
}

// handleUnsubscribe handles an unsubscribe frame.
func (c *client) handleUnsubscribe(f *frame.Client) error {
	id := *f.ChannelID
	c.subscribing.Lock()
	defer c.subscribing.Unlock()
	sub := c.subscription(id)
	if sub == nil {
		return errNotSubscribed
	}
	c.removeSubscription(id, sub)
	sub.Leave()
	c.send(frame.Unsubscribed{Ref: f.Ref, ChannelID: id})
	return nil
}

func (c *client) subscription(id chat.ChannelID) *hub.Subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	sub, _ := c.subs.Get(id)
	return sub
}

// removeSubscription removes sub from the connection, unless a newer subscription has replaced it.
func (c *client) removeSubscription(id chat.ChannelID, sub *hub.Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now, _ := c.subs.Get(id); now == sub {
		c.subs.Delete(id)
		c.subscriptionEnded(id)
	}
}

// User implements hub.Connection.
func (c *client) User() chat.UserID { return c.user }

// Prefetch implements hub.Connection.
func (c *client) Prefetch() { c.out.Prefetch() }

// Deliver implements hub.Connection.
func (c *client) Deliver(b []byte, events int) { c.out.Send(b, events) }

// DeliverEphemeral implements hub.Connection.
func (c *client) DeliverEphemeral(b []byte) { c.out.SendEphemeral(b) }

// Ended implements hub.Connection. The hub calls it when the user has left the channel.
func (c *client) Ended(s *hub.Subscription) {
	c.removeSubscription(s.Channel().ID(), s)
	c.g.authority.InvalidateMembership(c.user, s.Channel().ID())
	if c.onlyChannel != nil {
		c.out.Close(apierr.Forbidden.CloseCode(), closeReason("You are no longer a member of this channel."))
	}
}

// Resume implements hub.Connection. It closes the connection, so that the client reconnects and
// resumes.
func (c *client) Resume() {
	c.out.Close(apierr.GapNotHealed.CloseCode(), closeReason("Some events cannot be read at the moment. Reconnect and resume."))
}

// Replay implements hub.Connection. It queues s for the replay goroutine.
func (c *client) Replay(s *hub.Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.replays = append(c.replays, s)
	if !c.replaying {
		c.replaying = true
		c.g.background.run(c.replay)
	}
}

// replayTimeout is how long a replay may keep failing before the client is asked to reconnect and
// resume.
const replayTimeout = 15 * time.Second

// replay reads the events that the connection's subscriptions are missing, page by page. It reads
// the next page only when the connection's send queue has drained.
func (c *client) replay() {
	for {
		c.mu.Lock()
		if len(c.replays) == 0 || c.left {
			c.replays, c.replaying = nil, false
			c.mu.Unlock()
			return
		}
		s := c.replays[0]
		c.replays = c.replays[1:]
		c.mu.Unlock()
		if err := c.replayOne(s); err != nil {
			if c.g.ctx.Err() == nil {
				c.g.cfg.Logger.Warn("failed to replay events, asking the client to resume", "channel_id", s.Channel().ID(), "err", err)
			}
			c.Resume()
		}
	}
}

func (c *client) replayOne(s *hub.Subscription) error {
	failingSince := time.Time{}
	for {
		select {
		case <-c.out.Drained():
		case <-c.g.ctx.Done():
			return c.g.ctx.Err()
		}
		next, done := s.Position()
		if done || c.out.Closing() {
			return nil
		}
		events, err := c.g.cfg.Feed.Read(c.g.ctx, s.Channel(), next)
		if err == nil {
			failingSince = time.Time{}
			if !s.DeliverReplay(events) {
				return nil
			}
			continue
		}
		if failingSince.IsZero() {
			failingSince = time.Now()
		}
		if time.Since(failingSince) > replayTimeout {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-c.g.ctx.Done():
			return c.g.ctx.Err()
		}
	}
}
