package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

var messageHead = []byte(`{"type":"message",`)

// handle processes one JSON object from the server and returns the events for the caller. An error
// ends the connection.
func (c *Client) handle(l *conn, data []byte) ([]Event, error) {
	if bytes.HasPrefix(data, messageHead) {
		return c.handleEvent(l, data)
	}
	var head struct {
		Type     string         `json:"type"`
		ClientID *chat.ClientID `json:"client_id"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("read a frame: %w", err)
	}
	switch head.Type {
	case "hello":
		return read(c, data, func(f frame.Hello) []Event { return c.greetLocked(l, f) })
	case "error":
		return read(c, data, func(f frame.Error) []Event { return c.errorLocked(l, f) })
	}
	if !l.greeted { // written only by the reader
		return nil, fmt.Errorf("the server sent %s before hello", head.Type)
	}
	switch head.Type {
	case "hello_more":
		return read(c, data, func(f frame.HelloMore) []Event {
			return c.listLocked(l, f.Channels, l.again)
		})
	case "subscribed":
		return read(c, data, func(f frame.Subscribed) []Event { return c.subscribedLocked(l, f) })
	case "resync":
		return read(c, data, func(f frame.Resync) []Event { return c.resyncLocked(l, f) })
	case "ack":
		return read(c, data, func(f frame.Ack) []Event { return c.ackLocked(l, f) })
	case "membership":
		return read(c, data, func(f frame.Membership) []Event { return c.membershipLocked(l, f) })
	case "failed":
		if head.ClientID != nil {
			return read(c, data, func(f frame.FailedEvent) []Event { return c.notStoredLocked(f) })
		}
	}
	return c.handleNews(l, head.Type, data)
}

// handleNews processes ephemeral frames and all events that are not messages.
func (c *Client) handleNews(l *conn, kind string, data []byte) ([]Event, error) {
	switch kind {
	case "typing":
		return read(c, data, func(f frame.TypingNotice) []Event { return []Event{Typing{f}} })
	case "presence":
		return read(c, data, func(f frame.PresenceNotice) []Event {
			return c.presenceLocked(l, f)
		})
	case "receipt":
		return read(c, data, func(f frame.Receipt) []Event {
			news := []Event{Receipt{f}}
			if f.UserID != c.me {
				news = append(news, c.sent.reached(f.ChannelID, max(f.DeliveredSeq, f.ReadSeq), f.ReadSeq)...)
			}
			return news
		})
	case "receipt_counts":
		return read(c, data, func(f frame.ReceiptCounts) []Event {
			news := c.sent.reached(f.ChannelID, f.Seq*int64(min(f.DeliveredCount, 1)), f.Seq*int64(min(f.ReadCount, 1)))
			return append([]Event{ReceiptCounts{f}}, news...)
		})
	}
	if k := event.Kind(kind); k.Known() || k == event.Failed || k == event.Lost || k == event.Noop {
		return c.handleEvent(l, data)
	}
	return nil, nil // from a newer version of the protocol
}

// read decodes a frame and calls the given function with it while holding c.mu.
func read[F any](c *Client, data []byte, apply func(F) []Event) ([]Event, error) {
	var f F
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("read a frame: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return apply(f), nil
}

// handleEvent processes a channel event.
func (c *Client) handleEvent(l *conn, data []byte) ([]Event, error) {
	e, err := frame.DecodeEvent(data)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := c.channels[e.ChannelID]
	if ch == nil || ch.phase != following || e.Seq <= ch.pos {
		return nil, nil // belongs to a subscription that has ended
	}
	if e.Seq > ch.pos+1 { // the server skipped a seq; subscribe again, so the caller sees no gap
		c.askLocked(l, ch)
		return nil, nil
	}
	news := c.advanceLocked(ch, &e)
	if ch.pos == ch.target {
		signal(l.wake) // the channel has caught up, so sends that waited for this can now be sent
	}
	return news, nil
}

// ackLocked handles an acknowledgement. c.mu must be held.
func (c *Client) ackLocked(l *conn, f frame.Ack) []Event {
	signal(l.wake)
	it := c.outbox.byID[f.ClientID]
	if it == nil {
		return nil
	}
	return c.ackedLocked(it, Ack{ClientID: f.ClientID, ChannelID: f.ChannelID, ID: f.ID, Seq: f.Seq, SentAt: f.SentAt})
}

// errorLocked handles an error frame. c.mu must be held.
func (c *Client) errorLocked(l *conn, f frame.Error) []Event {
	e := &Error{Code: f.Code, Message: f.Message, RetryAfter: time.Duration(f.RetryAfterMS) * time.Millisecond, Fields: f.Errors}
	if told, asked := c.askRefusedLocked(l, f, e); asked {
		return told
	}
	if answer := l.presence[f.Ref]; answer != nil {
		delete(l.presence, f.Ref)
		close(answer)
		return nil
	}
	signal(l.wake)
	id, err := chat.ParseClientID(f.Ref)
	if it := c.outbox.byID[id]; err == nil && it != nil && it.on == l {
		return c.refusedLocked(it, e)
	}
	c.log.Warn("refused", "ref", f.Ref, "code", string(f.Code), "err", f.Message)
	return nil
}

// membershipLocked handles the notice that this user was added to or removed from a channel. c.mu
// must be held.
func (c *Client) membershipLocked(l *conn, f frame.Membership) []Event {
	ch := c.channels[f.ChannelID]
	switch {
	case f.Change == "removed" && ch != nil:
		return c.leaveLocked(ch, f.By, nil)
	case f.Change == "added" && f.Channel != nil && ch == nil:
		return c.listLocked(l, []frame.ChannelSummary{*f.Channel}, true)
	}
	return nil
}

// notStoredLocked handles the notice that one of this user's acknowledged events was not stored.
// c.mu must be held.
func (c *Client) notStoredLocked(f frame.FailedEvent) []Event {
	err := &StoreError{Reason: f.Reason}
	if it := c.outbox.byID[f.ClientID]; it != nil { // its acknowledgement was lost
		return c.failedLocked(it, err)
	}
	return []Event{c.sent.failed(Status{
		ClientID: f.ClientID, ChannelID: f.ChannelID, Kind: event.Message, State: Failed, ID: f.ID, Seq: f.Seq, Err: err,
	})}
}

func (c *Client) presenceLocked(l *conn, f frame.PresenceNotice) []Event {
	if answer := l.presence[f.Ref]; f.Ref != "" && answer != nil {
		delete(l.presence, f.Ref)
		answer <- f // cannot block: a request has one reply, and its Go channel has capacity for it
		return nil
	}
	return []Event{Presence{f}}
}

// errNoPresence is returned for a presence request that the server did not answer.
var errNoPresence = errors.New("client: the server did not report who is online")
