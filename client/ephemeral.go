package client

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// Delivered reports that all events up to seq have reached this client. Reports about the same
// channel are merged and sent after a short delay. Without a connection, they are stored and sent
// later.
func (c *Client) Delivered(channel chat.ChannelID, seq int64) { c.moved(channel, seq, 0) }

// Read reports that the user has seen all events up to seq.
func (c *Client) Read(channel chat.ChannelID, seq int64) { c.moved(channel, seq, seq) }

func (c *Client) moved(id chat.ChannelID, delivered, read int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := c.channels[id]
	if ch == nil || delivered <= ch.delivered && read <= ch.read {
		return
	}
	ch.delivered, ch.read = max(ch.delivered, delivered), max(ch.read, read)
	if c.conn != nil {
		c.conn.moved[id] = true
		signal(c.conn.wake)
	}
}

// receiptsLocked returns a frame with changed receipts, up to a size limit. It returns nil if the
// server already has all receipts. c.mu must be held.
func (c *Client) receiptsLocked(l *conn) []byte {
	type receipt struct {
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
			_ = enc.Encode(receipt{frame.Delivered, id, ch.delivered}) // cannot fail: writes to memory
		}
		if ch.read > ch.summary.LastReadSeq {
			_ = enc.Encode(receipt{frame.Read, id, ch.read}) // cannot fail either
		}
	}
	return b.Bytes()
}

// Typing reports that the user is typing or has stopped. The report is dropped if there is no
// connection. The typing state expires after 6 s, so call Typing again every few seconds.
func (c *Client) Typing(channel chat.ChannelID, typing bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil && len(c.conn.control) < maxControl {
		c.conn.queueLocked(map[string]any{"type": frame.Typing, "channel_id": channel, "typing": typing})
	}
}

// WhoIsOnline returns the users who are online in a channel. It fails with ErrOffline if there is
// no connection.
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
	l := c.conn
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

// expired reports whether a send was first attempted so long ago that the server may no longer
// recognize a retry.
func (it *item) expired(now time.Time) bool {
	return !it.first.IsZero() && now.Sub(it.first) >= idempotent
}

// expireLocked handles sends that the server may no longer recognize as retries. If all of the
// channel's events since the first attempt have arrived and do not include the message or change
// that was sent, it is sent again as if it were new. c.mu must be held.
func (c *Client) expireLocked(l *conn, now time.Time) []Event {
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
		case ch.unfollowed: // the channel's events will show whether the first attempt succeeded
			c.followLocked(ch)
		}
	}
	return news
}

// resolveLocked determines the channel of a direct message. c.mu must be held.
func (c *Client) resolveLocked(l *conn, it *item) {
	if it.resolving == l {
		return
	}
	it.resolving = l
	l.jobLocked(func(ctx context.Context) {
		direct, err := c.api.OpenDirect(ctx, *it.ToUserID)
		c.mu.Lock()
		defer c.mu.Unlock()
		if err != nil { // retry on the next connection; an immediate retry would likely fail
			c.log.InfoContext(ctx, "direct channel not found", "err", err)
			return
		}
		it.ToUserID, it.ChannelID = nil, &direct.ID
		if direct.LastSeq == 0 { // nothing was ever sent there
			it.first = time.Time{}
		}
		signal(l.wake)
	})
}
