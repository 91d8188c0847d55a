package client

import (
	"context"
	"time"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// To is the destination of a message: ToChannel or ToUser.
type To struct {
	channel chat.ChannelID
	user    chat.UserID
}

// ToChannel addresses a channel.
func ToChannel(id chat.ChannelID) To { return To{channel: id} }

// ToUser addresses the direct channel with a user. The server creates the channel if there is none.
func ToUser(id chat.UserID) To { return To{user: id} }

// Draft is a message to be sent.
type Draft struct {
	To       To
	Body     string
	ReplyTo  chat.EventID  // zero if the message is not a reply
	ClientID chat.ClientID // zero for a new id; within ten minutes, a message with the same id is posted only once
}

// Send sends a message and returns when it is acknowledged, even if that takes several connections.
// If the message is refused permanently, Send returns the server's *Error. ctx limits only the
// wait: the message is still sent after ctx is done, and a Status reports the result.
func (c *Client) Send(ctx context.Context, to To, body string) (Ack, error) {
	return c.wait(ctx, c.draft(Draft{To: to, Body: body}))
}

// SendDraft is like Send but accepts all fields of a message.
func (c *Client) SendDraft(ctx context.Context, d Draft) (Ack, error) {
	return c.wait(ctx, c.draft(d))
}

// Post is like Send but does not wait. Status events with the returned client id report the
// progress. Post fails only with ErrFull or ErrClosed.
func (c *Client) Post(to To, body string) (chat.ClientID, error) {
	it, err := c.post(c.draft(Draft{To: to, Body: body}))
	return it.ClientID, err
}

// PostDraft is like Post but accepts all fields of a message. Set ClientID to identify the draft in
// Status events.
func (c *Client) PostDraft(d Draft) error {
	_, err := c.post(c.draft(d))
	return err
}

// Edit replaces the body of one of the user's messages.
func (c *Client) Edit(ctx context.Context, channel chat.ChannelID, message chat.EventID, body string) (Ack, error) {
	return c.wait(ctx, newItem(outbound{Type: frame.Edit, ChannelID: &channel, MessageID: &message, Body: new(chat.NormalizeBody(body))}))
}

// Delete deletes a message.
func (c *Client) Delete(ctx context.Context, channel chat.ChannelID, message chat.EventID) (Ack, error) {
	return c.wait(ctx, newItem(outbound{Type: frame.Delete, ChannelID: &channel, MessageID: &message}))
}

// React adds the user's reaction to a message or, if remove is set, removes it.
func (c *Client) React(ctx context.Context, channel chat.ChannelID, message chat.EventID, emoji string, remove bool) (Ack, error) {
	return c.wait(ctx, newItem(outbound{Type: frame.React, ChannelID: &channel, MessageID: &message, Emoji: emoji, Remove: remove}))
}

func (c *Client) draft(d Draft) *item {
	o := outbound{Type: frame.Send, ClientID: d.ClientID, Body: new(chat.NormalizeBody(d.Body))}
	if d.To.user.IsZero() {
		o.ChannelID = &d.To.channel
	} else {
		o.ToUserID = &d.To.user
	}
	if !d.ReplyTo.IsZero() {
		o.ReplyTo = &d.ReplyTo
	}
	return newItem(o)
}

func newItem(o outbound) *item {
	if o.ClientID.IsZero() {
		o.ClientID = chat.NewClientID()
	}
	o.Ref = o.ClientID.String()
	return &item{outbound: o, settled: make(chan struct{})}
}

// post adds an item to the outbox and returns it. If the outbox already has an item with the same
// client id, post returns that item.
func (c *Client) post(it *item) (*item, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.outbox.closed:
		return it, ErrClosed
	case c.outbox.byID[it.ClientID] != nil:
		return c.outbox.byID[it.ClientID], nil
	case len(c.outbox.items) >= c.cfg.MaxPending || len(c.notes) >= 2*c.cfg.MaxPending:
		return it, ErrFull
	}
	c.outbox.add(it)
	c.noteLocked(statusOf(it, Pending))
	if c.conn != nil {
		signal(c.conn.wake)
	}
	return it, nil
}

func (c *Client) wait(ctx context.Context, it *item) (Ack, error) {
	it, err := c.post(it)
	if err != nil {
		return Ack{ClientID: it.ClientID}, err
	}
	select {
	case <-it.settled:
		return it.ack, it.err
	case <-ctx.Done():
		return Ack{ClientID: it.ClientID}, context.Cause(ctx)
	}
}

func statusOf(it *item, state State) Status {
	s := Status{ClientID: it.ClientID, Kind: it.kind(), State: state}
	if it.ChannelID != nil {
		s.ChannelID = *it.ChannelID
	}
	return s
}

// ackedLocked settles an item as sent and returns the events for the caller. c.mu must be held.
func (c *Client) ackedLocked(it *item, ack Ack) []Event {
	c.outbox.settle(it, ack, nil)
	s := Status{
		ClientID: ack.ClientID, ChannelID: ack.ChannelID, Kind: it.kind(), State: Sent,
		ID: ack.ID, Seq: ack.Seq, SentAt: ack.SentAt,
	}
	c.sent.add(s)
	return []Event{s}
}

// failedLocked settles an item as failed with err and returns the events for the caller. c.mu must
// be held.
func (c *Client) failedLocked(it *item, err error) []Event {
	c.outbox.settle(it, Ack{ClientID: it.ClientID}, err)
	s := statusOf(it, Failed)
	s.Err = err
	return []Event{s}
}

// refusedLocked handles the server's error reply to an item. c.mu must be held.
func (c *Client) refusedLocked(it *item, e *Error) []Event {
	if !retryable(e.Code) {
		return c.failedLocked(it, e)
	}
	wait := e.RetryAfter
	if wait <= 0 {
		wait = c.cfg.jitter(firstWait)
	}
	c.outbox.refused(it, e.Code == apierr.RateLimited, c.cfg.now().Add(max(wait, 10*time.Millisecond)))
	return nil
}
