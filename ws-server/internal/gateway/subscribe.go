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
	// resumeMost is how many missing events a subscription brings; for more the client pages history.
	resumeMost = 1000
)

// errGone is returned when the connection has left meanwhile.
var errGone = errors.New("the connection has gone")

// subscribeAllOf answers a subscribe frame: each of its channels, all within the time of one. The memberships
// that are not remembered are read in one query, and the channels go live side by side.
func (c *client) subscribeAllOf(f *frame.Client) error {
	positions := f.Positions()
	c.chargeSubscriptions(len(positions))
	ctx, cancel := c.bounded()
	defer cancel()
	ids := make([]chat.ChannelID, len(positions))
	for i, p := range positions {
		ids[i] = p.ChannelID
	}
	errs := c.who.AdmitAll(ctx, ids)
	if len(ids) > 1 {
		c.goLive(ctx, ids, errs)
	}
	for i, p := range positions {
		if c.out.Closing() {
			return nil
		}
		if errs[i] == nil {
			errs[i] = c.subscribe(ctx, f.Ref, p)
		}
		if errs[i] != nil {
			c.failIn(f.Ref, &p.ChannelID, errs[i])
		}
	}
	return nil
}

// goLive has this gateway follow the channels that the user was admitted to, as many as the connection may
// subscribe to. A channel that fails is tried again, and its error told, by subscribe.
func (c *client) goLive(ctx context.Context, ids []chat.ChannelID, errs []error) {
	var g errgroup.Group
	g.SetLimit(joinsAtOnce)
	room := c.room()
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

// subscribe answers a subscribe frame for one channel, which the user was admitted to.
func (c *client) subscribe(ctx context.Context, ref string, want frame.ChannelPosition) error {
	c.subscribing.Lock()
	defer c.subscribing.Unlock()
	sub := c.subscription(want.ChannelID)
	if sub == nil {
		if c.room() <= 0 {
			return c.errFull()
		}
	} else if want.LastSeenSeq == nil {
		head, epoch := sub.Channel().Head()
		c.send(frame.Subscribed{Ref: ref, ChannelID: want.ChannelID, LastSeq: head, Epoch: string(epoch), Recovered: true})
		return nil
	} else {
		c.forget(want.ChannelID, sub)
		sub.Leave() // nothing of the channel is sent from here to its new `subscribed`
	}
	ch, err := c.g.cfg.Feed.Join(ctx, want.ChannelID)
	if err != nil {
		return apierr.Wrap(err, apierr.Unavailable, "the channel cannot be followed right now")
	}
	after, joined := int64(-1), int64(0)
	if want.LastSeenSeq != nil {
		after = *want.LastSeenSeq
		if joined, err = c.who.JoinedSeq(want.ChannelID); err != nil {
			return err
		}
	}
	if head, epoch := ch.Head(); after > head || want.Epoch != "" && want.Epoch != string(epoch) {
		// Another instance may be ahead of this one: the counter knows.
		if err := c.g.cfg.Feed.CatchUp(ctx, ch); err != nil {
			return apierr.Wrap(err, apierr.Unavailable, "the channel cannot be followed right now")
		}
	}
	return c.subscribeLocked(ctx, ch, after, func(head int64, epoch event.Epoch) (skip bool) {
		if want.Epoch != "" && want.Epoch != string(epoch) || after > head {
			c.send(frame.Resync{Ref: ref, ChannelID: want.ChannelID, Epoch: string(epoch), LastSeq: head})
			return true
		}
		// What was said before the user came is read as history, which does not show versions that were replaced by then.
		more := after >= 0 && (head-after > resumeMost || after < min(joined, head))
		c.send(frame.Subscribed{
			Ref: ref, ChannelID: want.ChannelID, LastSeq: head, Epoch: string(epoch),
			Recovered: after >= 0 && !more, HasMore: more,
		})
		return more
	})
}

// subscribeLocked subscribes the connection to a live channel that the user was admitted to. A removal since then is
// looked for twice: before, so that nothing is delivered, and afterwards, since it may come in between. Its error is
// that of Confirm then. Called with subscribing held.
func (c *client) subscribeLocked(ctx context.Context, ch *hub.Channel, after int64, answer func(int64, event.Epoch) bool) error {
	if c.subscription(ch.ID()) != nil {
		return nil // a notice was faster
	}
	if err := c.who.Confirm(ch.ID()); err != nil {
		return err
	}
	var sub *hub.Subscription
	for sub = ch.Subscribe(c, after, answer); sub == nil; sub = ch.Subscribe(c, after, answer) {
		var err error // the channel was given up as idle just now
		if ch, err = c.g.cfg.Feed.Join(ctx, ch.ID()); err != nil {
			return apierr.Wrap(err, apierr.Unavailable, "the channel cannot be followed right now")
		}
	}
	c.mu.Lock()
	if c.gone {
		c.mu.Unlock()
		sub.Leave()
		return errGone
	}
	c.subs.Set(ch.ID(), sub)
	c.entered(ch.ID())
	c.mu.Unlock()
	if sub.Ended() { // ended before it was noted
		c.forget(ch.ID(), sub)
		return nil
	}
	err := c.who.Confirm(ch.ID())
	if err != nil {
		c.forget(ch.ID(), sub)
		sub.Leave()
	}
	return err
}

func (c *client) unsubscribe(ref string, id chat.ChannelID) error {
	c.subscribing.Lock()
	defer c.subscribing.Unlock()
	sub := c.subscription(id)
	if sub == nil {
		return errNotSubscribed
	}
	c.forget(id, sub)
	sub.Leave()
	c.send(frame.Unsubscribed{Ref: ref, ChannelID: id})
	return nil
}

func (c *client) subscription(id chat.ChannelID) *hub.Subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	sub, _ := c.subs.Get(id)
	return sub
}

// forget takes sub off the connection's list if it is still the one.
func (c *client) forget(id chat.ChannelID, sub *hub.Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now, _ := c.subs.Get(id); now == sub {
		c.subs.Delete(id)
		c.exited(id)
	}
}

// User implements hub.Connection.
func (c *client) User() chat.UserID { return c.user }

// Prefetch implements hub.Connection.
func (c *client) Prefetch() { c.out.Prefetch() }

// Deliver implements hub.Connection.
func (c *client) Deliver(b []byte, events int) { c.out.Send(b, events) }

// Offer implements hub.Connection.
func (c *client) DeliverEphemeral(b []byte) { c.out.SendEphemeral(b) }

// Ended implements hub.Connection: the user has left the channel.
func (c *client) Ended(s *hub.Subscription) {
	c.forget(s.Channel().ID(), s)
	c.g.authority.InvalidateMembership(c.user, s.Channel().ID())
	if c.only != nil {
		c.out.Close(apierr.Forbidden.CloseCode(), reason("no longer a member of this channel"))
	}
}

// Resume implements hub.Connection.
func (c *client) Resume() {
	c.out.Close(apierr.GapNotHealed.CloseCode(), reason("some events cannot be read right now: resume"))
}

// Replay implements hub.Connection.
func (c *client) Replay(s *hub.Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.replays = append(c.replays, s)
	if !c.replaying {
		c.replaying = true
		c.g.work.run(c.replay)
	}
}

// replayPatience is how long a replay tries before the client is asked to come again.
const replayPatience = 15 * time.Second

// replay pulls what the connection's subscriptions lack, page by page, as its queue drains.
func (c *client) replay() {
	for {
		c.mu.Lock()
		if len(c.replays) == 0 || c.gone {
			c.replays, c.replaying = nil, false
			c.mu.Unlock()
			return
		}
		s := c.replays[0]
		c.replays = c.replays[1:]
		c.mu.Unlock()
		if err := c.replayOne(s); err != nil {
			if c.g.ctx.Err() == nil {
				c.g.cfg.Logger.Warn("replay given up, the client resumes", "channel_id", s.Channel().ID(), "err", err)
			}
			c.Resume()
		}
	}
}

func (c *client) replayOne(s *hub.Subscription) error {
	failing := time.Time{}
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
			failing = time.Time{}
			if !s.DeliverReplay(events) {
				return nil
			}
			continue
		}
		if failing.IsZero() {
			failing = time.Now()
		}
		if time.Since(failing) > replayPatience {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-c.g.ctx.Done():
			return c.g.ctx.Err()
		}
	}
}
