package gateway

import (
	"context"
	"errors"
	"time"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/hub"
)

const (
	// resumeMost is how many missing events a subscription brings; for more the client pages history.
	resumeMost = 1000
	// admittedFor is how long a membership that was read is believed without reading it again. A
	// removal is told by a notice, and the append refuses the removed whatever is believed here.
	admittedFor = 30 * time.Second
)

// errGone is returned when the connection has left meanwhile.
var errGone = errors.New("the connection has gone")

// subscribeAllOf answers a subscribe frame: each of its channels, all within the time of one.
func (c *client) subscribeAllOf(f *frame.Client) error {
	ctx, cancel := c.bounded()
	defer cancel()
	for _, p := range f.Positions() {
		if c.out.Closing() {
			return nil
		}
		if err := c.subscribe(ctx, f.Ref, p); err != nil {
			c.failIn(f.Ref, &p.ChannelID, err)
		}
	}
	return nil
}

// subscribe answers a subscribe frame for one channel.
func (c *client) subscribe(ctx context.Context, ref string, want frame.ChannelPosition) error {
	c.subscribing.Lock()
	defer c.subscribing.Unlock()
	sub := c.subscription(want.ChannelID)
	if sub == nil {
		if c.full() {
			return c.errFull()
		}
		if err := c.admit(want.ChannelID); err != nil {
			return err
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
	after := int64(-1)
	if want.LastSeenSeq != nil {
		after = *want.LastSeenSeq
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
		more := after >= 0 && head-after > resumeMost
		c.send(frame.Subscribed{
			Ref: ref, ChannelID: want.ChannelID, LastSeq: head, Epoch: string(epoch),
			Recovered: after >= 0 && !more, HasMore: more,
		})
		return more
	})
}

// subscribeLocked subscribes the connection to a live channel. Called with subscribing held.
func (c *client) subscribeLocked(ctx context.Context, ch *hub.Channel, after int64, answer func(int64, event.Epoch) bool) error {
	if c.subscription(ch.ID()) != nil {
		return nil // a notice was faster
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
	if c.subs == nil {
		c.subs = make(map[chat.ChannelID]*hub.Subscription, 1)
	}
	c.subs[ch.ID()] = sub
	c.entered(ch.ID())
	delete(c.admitted, ch.ID())
	c.mu.Unlock()
	if sub.Over() { // ended before it was noted
		c.forget(ch.ID(), sub)
	}
	return nil
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
	return c.subs[id]
}

// forget takes sub off the connection's list if it is still the one.
func (c *client) forget(id chat.ChannelID, sub *hub.Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subs[id] == sub {
		delete(c.subs, id)
		c.exited(id)
	}
}

// admit reports whether the user is a member of a channel: in memory, else in PostgreSQL.
func (c *client) admit(id chat.ChannelID) error {
	c.mu.Lock()
	_, subscribed := c.subs[id]
	until, believed := c.admitted[id]
	doubts := c.doubts
	c.mu.Unlock()
	if subscribed || believed && time.Now().Before(until) {
		return nil
	}
	return c.admitAnew(id, doubts)
}

// admitAnew is admit of a channel of which nothing is known, doubts having been told before.
func (c *client) admitAnew(id chat.ChannelID, doubts uint32) error {
	ctx, cancel := c.bounded()
	defer cancel()
	m, err := c.g.cfg.Store.Membership(ctx, c.user, id)
	if err != nil {
		return err
	}
	c.note(m)
	c.believe(id, doubts)
	return nil
}

// believe notes a membership that was read, unless some removal was told of since doubts was taken.
func (c *client) believe(id chat.ChannelID, doubts uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.doubts != doubts {
		return
	}
	if c.admitted == nil {
		c.admitted = make(map[chat.ChannelID]time.Time, 1)
	}
	c.admitted[id] = time.Now().Add(admittedFor)
}

func (c *client) disbelieve(id chat.ChannelID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doubts++
	delete(c.admitted, id)
	delete(c.roles, id)
}

// User implements hub.Connection.
func (c *client) User() chat.UserID { return c.user }

// Prefetch implements hub.Connection.
func (c *client) Prefetch() { c.out.Prefetch() }

// Deliver implements hub.Connection.
func (c *client) Deliver(b []byte, events int) { c.out.Send(b, events) }

// Offer implements hub.Connection.
func (c *client) Offer(b []byte) { c.out.Offer(b) }

// Ended implements hub.Connection: the user has left the channel.
func (c *client) Ended(s *hub.Subscription) {
	c.forget(s.Channel().ID(), s)
	c.disbelieve(s.Channel().ID())
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
		next, done := s.Place()
		if done || c.out.Closing() {
			return nil
		}
		events, err := c.g.cfg.Feed.Read(c.g.ctx, s.Channel(), next)
		if err == nil {
			failing = time.Time{}
			if !s.Replayed(events) {
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
