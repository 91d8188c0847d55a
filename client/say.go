package client

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// Delivered says that everything up to seq has reached this client. It is remembered while there is no
// connection, and said at once otherwise, merged with what else is said about the channel.
func (c *Client) Delivered(channel chat.ChannelID, seq int64) { c.moved(channel, seq, 0) }

// Read says that the user has seen everything up to seq.
func (c *Client) Read(channel chat.ChannelID, seq int64) { c.moved(channel, seq, seq) }

func (c *Client) moved(id chat.ChannelID, delivered, read int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := c.channels[id]
	if ch == nil || delivered <= ch.delivered && read <= ch.read {
		return
	}
	ch.delivered, ch.read = max(ch.delivered, delivered), max(ch.read, read)
	if c.link != nil {
		c.link.moved[id] = true
		signal(c.link.wake)
	}
}

// cursorsLocked encodes the cursors that have moved into one frame; empty: the server knows them. c.mu is held.
func (c *Client) cursorsLocked(l *link) []byte {
	type cursor struct {
		Type      frame.Type     `json:"type"`
		ChannelID chat.ChannelID `json:"channel_id"`
		Seq       int64          `json:"seq"`
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b) // ends each object with a newline
	for id := range l.moved {
		if b.Len() > frame.MaxClientBytes/2 {
			break
		}
		delete(l.moved, id)
		ch := c.channels[id]
		if ch == nil {
			continue
		}
		if ch.delivered > max(ch.read, ch.summary.LastDeliveredSeq) {
			_ = enc.Encode(cursor{frame.Delivered, id, ch.delivered}) // into memory
		}
		if ch.read > ch.summary.LastReadSeq {
			_ = enc.Encode(cursor{frame.Read, id, ch.read}) // likewise
		}
	}
	return b.Bytes()
}

// Typing says that the user types, or has stopped. It is lost while there is no connection, and ends by
// itself after 6 s: say it again every few.
func (c *Client) Typing(channel chat.ChannelID, typing bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != nil && len(c.link.control) < maxControl {
		c.link.queueLocked(map[string]any{"type": frame.Typing, "channel_id": channel, "typing": typing})
	}
}

// WhoIsOnline asks who is online in a channel. It fails with ErrOffline without a connection.
func (c *Client) WhoIsOnline(ctx context.Context, channel chat.ChannelID) ([]chat.UserID, error) {
	var online []chat.UserID
	for after := ""; ; {
		page, err := c.askPresence(ctx, channel, after)
		if err != nil {
			return nil, err
		}
		online = append(online, page.Joined...)
		if after = page.Next; after == "" {
			return online, nil
		}
	}
}

func (c *Client) askPresence(ctx context.Context, channel chat.ChannelID, after string) (frame.PresenceNotice, error) {
	answer := make(chan frame.PresenceNotice, 1)
	c.mu.Lock()
	l := c.link
	if l == nil {
		c.mu.Unlock()
		return frame.PresenceNotice{}, ErrOffline
	}
	ref := l.refLocked("who-")
	l.presence[ref] = answer
	ask := map[string]any{"type": frame.Presence, "ref": ref, "channel_id": channel}
	if after != "" {
		ask["after"] = after
	}
	l.queueLocked(ask)
	c.mu.Unlock()
	select {
	case page, ok := <-answer:
		if !ok {
			return page, errNoPresence
		}
		return page, nil
	case <-ctx.Done():
		c.mu.Lock()
		delete(l.presence, ref)
		c.mu.Unlock()
		return frame.PresenceNotice{}, context.Cause(ctx)
	}
}

// expired reports whether the server may have forgotten an item that was sent.
func (it *item) expired(now time.Time) bool {
	return !it.first.IsZero() && now.Sub(it.first) >= idempotent
}

// expireLocked decides about sends that the server does not know as repetitions any more: once the channel
// has shown all that has happened since, without them, they are sent as new. c.mu is held.
func (c *Client) expireLocked(l *link, now time.Time) []Event {
	var news []Event
	for _, it := range c.outbox.all() {
		if it.on != nil || !it.expired(now) {
			continue
		}
		if it.ToUserID != nil {
			c.resolveLocked(l, it)
			continue
		}
		ch := c.channels[*it.ChannelID]
		switch {
		case ch == nil, ch.since.After(it.first):
			news = append(news, c.failedLocked(it, ErrUnknown)...)
		case ch.caughtUp():
			it.first = time.Time{}
		case ch.aside: // what happened in it decides
			c.followLocked(ch)
		}
	}
	return news
}

// resolveLocked finds out which channel a direct message would be in. c.mu is held.
func (c *Client) resolveLocked(l *link, it *item) {
	if it.resolving == l {
		return
	}
	it.resolving = l
	l.jobLocked(func(ctx context.Context) {
		direct, err := c.api.OpenDirect(ctx, *it.ToUserID)
		c.mu.Lock()
		defer c.mu.Unlock()
		if err != nil { // asked again on the next connection; sent again, a refusal would tell as well
			c.log.InfoContext(ctx, "find a direct channel", "err", err)
			return
		}
		it.ToUserID, it.ChannelID = nil, &direct.ID
		if direct.LastSeq == 0 { // nothing was ever said there
			it.first = time.Time{}
		}
		signal(l.wake)
	})
}
