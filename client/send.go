package client

import (
	"context"
	"time"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// To is where a message goes: ToChannel or ToUser.
type To struct {
	channel chat.ChannelID
	user    chat.UserID
}

// ToChannel addresses a channel.
func ToChannel(id chat.ChannelID) To { return To{channel: id} }

// ToUser addresses the direct channel with a user, which is made if there is none.
func ToUser(id chat.UserID) To { return To{user: id} }

// Draft is a message to be sent.
type Draft struct {
	To       To
	Body     string
	ReplyTo  chat.EventID  // zero: to none
	ClientID chat.ClientID // zero: a fresh one. The same one is said once, whoever sends it again within ten minutes
}

// Send sends a message and returns when it is acknowledged, over however many connections that takes; or
// with the server's *Error when it is refused for good. ctx bounds the waiting alone: after it has ended
// the message is still on its way, and its Status will say how it went.
func (c *Client) Send(ctx context.Context, to To, body string) (Ack, error) {
	return c.wait(ctx, c.draft(Draft{To: to, Body: body}))
}

// SendDraft is Send with all that a message may have.
func (c *Client) SendDraft(ctx context.Context, d Draft) (Ack, error) {
	return c.wait(ctx, c.draft(d))
}

// Post is Send that does not wait: Status events with the client id that it returns say how it goes. It
// is refused with ErrFull or ErrClosed alone.
func (c *Client) Post(to To, body string) (chat.ClientID, error) {
	it, err := c.post(c.draft(Draft{To: to, Body: body}))
	return it.ClientID, err
}

// PostDraft is Post with all that a message may have. A draft that is to be told apart needs a ClientID.
func (c *Client) PostDraft(d Draft) error {
	_, err := c.post(c.draft(d))
	return err
}

// Edit gives a message of the user's another body.
func (c *Client) Edit(ctx context.Context, channel chat.ChannelID, message chat.EventID, body string) (Ack, error) {
	return c.wait(ctx, newItem(outbound{Type: frame.Edit, ChannelID: &channel, MessageID: &message, Body: new(chat.NormalizeBody(body))}))
}

// Delete takes a message away.
func (c *Client) Delete(ctx context.Context, channel chat.ChannelID, message chat.EventID) (Ack, error) {
	return c.wait(ctx, newItem(outbound{Type: frame.Delete, ChannelID: &channel, MessageID: &message}))
}

// React puts an emoji on a message, or takes it back.
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

// post puts an item into the outbox, and returns it or the one that is there under its client id.
func (c *Client) post(it *item) (*item, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.outbox.closed:
		return it, ErrClosed
	case len(c.outbox.items) >= c.cfg.MaxPending || len(c.notes) >= 2*c.cfg.MaxPending:
		return it, ErrFull
	case c.outbox.byID[it.ClientID] != nil:
		return c.outbox.byID[it.ClientID], nil
	}
	c.outbox.add(it)
	c.noteLocked(statusOf(it, Pending))
	if c.link != nil {
		signal(c.link.wake)
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

// ackedLocked settles an item as done and returns what the caller is told. c.mu is held.
func (c *Client) ackedLocked(it *item, ack Ack) []Event {
	c.outbox.settle(it, ack, nil)
	s := Status{
		ClientID: ack.ClientID, ChannelID: ack.ChannelID, Kind: it.kind(), State: Sent,
		ID: ack.ID, Seq: ack.Seq, SentAt: ack.SentAt,
	}
	c.sent.add(s)
	return []Event{s}
}

// failedLocked settles an item as not done, or not known. c.mu is held.
func (c *Client) failedLocked(it *item, err error) []Event {
	c.outbox.settle(it, Ack{ClientID: it.ClientID}, err)
	s := statusOf(it, Failed)
	s.Err = err
	return []Event{s}
}

// refusedLocked takes an error that answers an item. c.mu is held.
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
