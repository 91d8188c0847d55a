package client

import (
	"context"
	"errors"
	"time"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// perSubscribe is the maximum number of channels in one subscribe frame. The size limit of a frame
// is 128 KiB.
const perSubscribe = 500

// phase is the state of a channel's subscription on the current connection.
type phase int

const (
	idle       phase = iota // not subscribed
	unanswered              // subscribe was sent; events that arrive before the reply belong to an older subscription
	following               // events arrive over the WebSocket
	// paging means that events are being fetched over REST. Events on the WebSocket are ignored;
	// the server replays them later.
	paging
)

// channel is the client's state for a channel. Client.mu guards it.
type channel struct {
	id      chat.ChannelID
	summary frame.ChannelSummary
	known   bool      // the server has announced the channel
	since   time.Time // the client has seen all events since this time; zero means since the channel's creation
	pos     int64     // seq of the newest event delivered to the caller
	epoch   string

	phase  phase
	ref    string // ref of the subscribe frame
	target int64  // newest seq in the reply to subscribe; the catch-up is complete once pos reaches it

	unfollowed bool      // not followed, because the connection has reached its subscription limit
	wanted     bool      // whether Follow was called; at the limit, another subscription ends
	moved      time.Time // time of the subscription or of the newest event's delivery, whichever is later

	delivered, read int64 // reported by the caller
}

func (ch *channel) caughtUp() bool { return ch.phase == following && ch.pos >= ch.target }

// greetLocked handles hello: it follows each channel from the client's position in that channel.
// c.mu must be held.
func (c *Client) greetLocked(l *conn, h frame.Hello) []Event {
	l.again, l.beat = !c.me.IsZero(), time.Duration(h.HeartbeatSeconds)*time.Second
	c.me, c.limits = h.UserID, h.Limits
	c.conn, l.greeted = l, true
	news := []Event{Connection{State: Online}}
	listed := make(map[chat.ChannelID]bool)
	for _, s := range h.Channels {
		listed[s.ChannelID] = true
	}
	for id, ch := range c.channels {
		ch.phase, ch.ref, ch.unfollowed = idle, "", false
		if !listed[id] && len(h.Channels) < frame.HelloChannels { // the list is complete
			delete(c.channels, id)
			news = append(news, Left{ChannelID: id})
		}
	}
	news = append(news, c.listLocked(l, h.Channels, l.again)...)
	if len(h.Channels) >= frame.HelloChannels {
		c.askLocked(l, c.idleLocked()...) // known channels that only hello_more will list
	}
	if l.again {
		l.jobLocked(func(ctx context.Context) { c.catchUpReceipts(ctx, l) })
	}
	signal(l.wake)
	return news
}

// listLocked handles channel summaries and subscribes to the channels that have no subscription
// yet. A channel that is new to the client is followed from its newest event. The exception is a
// direct channel that was created after the first hello. Its first message created it, so it is
// followed from the user's delivered position. c.mu must be held.
func (c *Client) listLocked(l *conn, list []frame.ChannelSummary, since bool) []Event {
	var news []Event
	var ask []*channel
	for _, s := range list {
		ch := c.channels[s.ChannelID]
		if ch == nil {
			ch = &channel{id: s.ChannelID, pos: s.LastSeq, epoch: s.Epoch, since: c.cfg.now()}
			if since && s.Kind == chat.Direct {
				ch.pos = min(s.LastSeq, s.LastDeliveredSeq)
			}
			c.channels[s.ChannelID] = ch
		}
		if ch.pos == 0 {
			ch.since = time.Time{}
		}
		ch.summary = s
		if !ch.known {
			ch.known = true
			news = append(news, Joined{Channel: s, From: Position{Seq: ch.pos, Epoch: ch.epoch}})
		}
		if ch.delivered > s.LastDeliveredSeq || ch.read > s.LastReadSeq {
			l.moved[ch.id] = true
		}
		switch {
		case ch.phase != idle:
		case s.NotFollowed:
			ch.markUnfollowedLocked()
		default:
			ask = append(ask, ch)
		}
	}
	c.askLocked(l, ask...)
	return news
}

func (c *Client) idleLocked() (idles []*channel) {
	for _, ch := range c.channels {
		if ch.phase == idle {
			idles = append(idles, ch)
		}
	}
	return idles
}

// askLocked subscribes to each channel from its position. c.mu must be held.
func (c *Client) askLocked(l *conn, channels ...*channel) {
	for len(channels) > 0 {
		n := min(len(channels), perSubscribe)
		ref := l.refLocked("sub-")
		positions := make([]frame.ChannelPosition, n)
		for i, ch := range channels[:n] {
			ch.phase, ch.ref = unanswered, ref
			seq := ch.pos
			positions[i] = frame.ChannelPosition{ChannelID: ch.id, LastSeenSeq: &seq, Epoch: ch.epoch}
		}
		l.queueLocked(map[string]any{"type": frame.Subscribe, "ref": ref, "channels": positions})
		channels = channels[n:]
	}
}

// answeredLocked returns the channel that a reply to a subscribe frame applies to. It returns nil
// if the reply is outdated.
func (c *Client) answeredLocked(ref string, id chat.ChannelID) *channel {
	ch := c.channels[id]
	if ch == nil || ch.phase != unanswered || ch.ref != ref {
		return nil
	}
	return ch
}

// subscribedLocked handles the reply to a subscribe frame. c.mu must be held.
func (c *Client) subscribedLocked(l *conn, f frame.Subscribed) []Event {
	ch := c.answeredLocked(f.Ref, f.ChannelID)
	if ch == nil {
		return nil
	}
	from := Position{Seq: ch.pos, Epoch: ch.epoch}
	ch.epoch, ch.target, ch.moved = f.Epoch, f.LastSeq, c.cfg.now()
	ch.wanted, ch.summary.NotFollowed = false, false
	switch missing := f.LastSeq - ch.pos; {
	case !f.HasMore:
		ch.phase = following
	case missing > c.cfg.MaxCatchUp:
		ch.phase, ch.pos, ch.since = following, f.LastSeq, c.cfg.now()
		signal(l.wake)
		return []Event{Reset{ChannelID: ch.id, From: from, To: Position{Seq: ch.pos, Epoch: ch.epoch}}}
	default:
		ch.phase = paging
		l.jobLocked(func(ctx context.Context) { c.catchUp(ctx, l, ch) })
	}
	signal(l.wake)
	return nil
}

// resyncLocked handles a resync, either in reply to a subscribe frame or unsolicited. c.mu must be
// held.
func (c *Client) resyncLocked(l *conn, f frame.Resync) []Event {
	ch := c.channels[f.ChannelID]
	if f.Ref != "" {
		ch = c.answeredLocked(f.Ref, f.ChannelID)
	} else if ch != nil && ch.phase != following {
		return nil // ignored, because the reply to the pending subscribe will also be a resync
	}
	if ch == nil {
		return nil
	}
	from := Position{Seq: ch.pos, Epoch: ch.epoch}
	ch.phase, ch.pos, ch.target, ch.epoch, ch.since = following, f.LastSeq, f.LastSeq, f.Epoch, c.cfg.now()
	signal(l.wake)
	return []Event{Reset{ChannelID: ch.id, From: from, To: Position{Seq: ch.pos, Epoch: ch.epoch}, Lost: true}}
}

// askRefusedLocked checks whether an error frame is the reply to a subscribe frame. If it is,
// askRefusedLocked handles the refusal and returns true. c.mu must be held.
func (c *Client) askRefusedLocked(l *conn, f frame.Error, e *Error) (_ []Event, asked bool) {
	var waiting []*channel
	for _, ch := range c.channels {
		if ch.phase != unanswered || ch.ref != f.Ref {
			continue
		}
		if f.ChannelID != nil && *f.ChannelID == ch.id {
			return c.channelRefusedLocked(l, ch, e), true
		}
		waiting = append(waiting, ch)
	}
	if len(waiting) == 1 {
		return c.channelRefusedLocked(l, waiting[0], e), true
	}
	for _, ch := range waiting { // the frame as a whole was refused
		c.askLocked(l, ch)
	}
	return nil, len(waiting) > 0
}

func (c *Client) channelRefusedLocked(l *conn, ch *channel, e *Error) []Event {
	if e.Code == apierr.RateLimited { // the connection has reached its subscription limit
		if ch.wanted && c.makeRoomLocked(l) {
			c.askLocked(l, ch)
		} else {
			ch.markUnfollowedLocked()
		}
		return nil
	}
	if retryable(e.Code) {
		ch.phase = idle
		wait := max(e.RetryAfter, c.cfg.jitter(firstWait))
		l.jobLocked(func(ctx context.Context) { c.askLater(ctx, l, ch, wait) })
		return nil
	}
	return c.leaveLocked(ch, chat.UserID{}, e)
}

// askLater subscribes again after a wait.
func (c *Client) askLater(ctx context.Context, l *conn, ch *channel, wait time.Duration) {
	if !sleep(ctx, wait) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.channels[ch.id] == ch && ch.phase == idle {
		c.askLocked(l, ch)
	}
}

func (c *Client) leaveLocked(ch *channel, by chat.UserID, err error) []Event {
	delete(c.channels, ch.id)
	return []Event{Left{ChannelID: ch.id, By: by, Err: err}}
}

// catchUp fetches the events that the WebSocket does not replay, up to the seq at which the
// subscription started. It then subscribes again from that seq, because events on the WebSocket
// were ignored during the catch-up.
func (c *Client) catchUp(ctx context.Context, l *conn, ch *channel) {
	for failures := 0; ; {
		c.mu.Lock()
		after, target := ch.pos, ch.target
		if c.channels[ch.id] != ch || ch.phase != paging {
			c.mu.Unlock()
			return
		}
		if after >= target || failures > 5 { // subscribe again: there may be newer events by now
			c.askLocked(l, ch)
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		events, err := c.api.Events(ctx, ch.id, after)
		if e, ok := errors.AsType[*Error](err); ok && (e.Code == apierr.Forbidden || e.Code == apierr.NotFound) {
			c.mu.Lock()
			news := c.leaveLocked(ch, chat.UserID{}, e)
			c.mu.Unlock()
			c.deliver(l.run, news...)
			return
		}
		c.mu.Lock()
		var news []Event
		for i := range events {
			if ch.phase == paging {
				news = append(news, c.advanceLocked(ch, &events[i])...)
			}
		}
		moved := ch.pos > after
		c.mu.Unlock()
		c.deliver(l.run, news...)
		if moved {
			failures = 0
			continue
		}
		failures++
		c.log.InfoContext(ctx, "catching up failed", "channel_id", ch.id.String(), "after_seq", after, "err", err)
		if !sleep(ctx, c.cfg.jitter(maxWait(failures))) {
			return
		}
	}
}

// advanceLocked delivers an event if it is the next one in its channel. c.mu must be held.
func (c *Client) advanceLocked(ch *channel, e *frame.Event) []Event {
	if e.Seq != ch.pos+1 {
		return nil
	}
	ch.pos, ch.moved = e.Seq, c.cfg.now()
	ch.summary.LastSeq = max(ch.summary.LastSeq, e.Seq)
	news := []Event{ChannelEvent{Event: *e, Epoch: ch.epoch, Mine: e.SenderID == c.me}}
	if e.SenderID != c.me || e.ClientID == nil {
		return news
	}
	if it := c.outbox.byID[*e.ClientID]; it != nil { // its acknowledgement was lost or arrives later
		news = append(news, c.ackedLocked(it, Ack{ClientID: it.ClientID, ChannelID: ch.id, ID: e.ID, Seq: e.Seq, SentAt: e.SentAt})...)
	}
	return news
}

// catchUpReceipts reads the receipts for the user's own messages, because receipts are not
// replayed.
func (c *Client) catchUpReceipts(ctx context.Context, l *conn) {
	const channels, perChannel = 20, 10 // limit the number of requests; the caller can read more receipts over REST
	c.mu.Lock()
	newest := c.sent.newest()
	c.mu.Unlock()
	n := 0
	for id, s := range newest {
		if n++; n > channels {
			return
		}
		for range perChannel {
			delivered, read, _, err := c.api.Receipts(ctx, id, s.ID)
			if err != nil {
				break
			}
			reached := func(count int) int64 { return s.Seq * int64(min(count, 1)) }
			c.mu.Lock()
			news := c.sent.reached(id, reached(delivered), reached(read))
			next, more := c.sent.before(id, s.Seq)
			c.mu.Unlock()
			c.deliver(l.run, news...)
			if !more || read > 0 {
				break
			}
			s = next
		}
	}
}
