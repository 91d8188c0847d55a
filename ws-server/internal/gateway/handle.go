package gateway

import (
	"errors"
	"time"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/connection"
)

// maxInflight limits the sends of one connection that wait for their ack. Beyond it the reader
// blocks, and further frames wait in the client's socket.
const maxInflight = 64

// handle performs what a frame requests. The caller answers a returned error with an error frame.
func (c *client) handle(f *frame.Client) error {
	if _, bounded := frameLimits[f.Type]; !bounded {
		return apierr.New(apierr.BadFrame, "this server does not support %s frames", f.Type)
	}
	switch f.Type {
	case frame.Send, frame.Edit, frame.Delete, frame.React:
		return c.answerRefused(f, c.appendEvent(f))
	case frame.Subscribe:
		return c.handleSubscribe(f)
	case frame.Unsubscribe:
		return c.unsubscribe(f.Ref, *f.ChannelID)
	case frame.Auth:
		return c.renewToken(f)
	case frame.Typing:
		return c.handleTyping(f)
	case frame.Delivered, frame.Read:
		return c.handleReceipt(f)
	case frame.Presence:
		return c.handlePresence(f)
	case frame.Ping:
		c.send(frame.Pong{Ref: f.Ref})
		return nil
	}
	return apierr.New(apierr.BadFrame, "this server does not support %s frames", f.Type)
}

// appendEvent submits an event to the log. The client is answered when the event has been appended.
func (c *client) appendEvent(f *frame.Client) error {
	e, err := c.buildEvent(f)
	if err != nil {
		return err
	}
	if c.inflight == nil {
		c.inflight = make(chan struct{}, maxInflight)
	}
	select {
	case c.inflight <- struct{}{}:
	case <-c.g.ctx.Done():
		return apierr.New(apierr.Unavailable, "shutting down")
	}
	if !c.g.inflight.enter() {
		<-c.inflight
		return apierr.New(apierr.Unavailable, "shutting down: reconnect and retry with the same client_id")
	}
	began, ref := time.Now(), f.Ref
	c.g.cfg.Sender.Submit(&e, func(ack eventlog.Ack, err error) {
		defer func() {
			<-c.inflight
			c.g.inflight.leave()
		}()
		if err != nil {
			c.sendError(ref, err)
			return
		}
		c.g.cfg.Metrics.acked(began, ack.Duplicate)
		c.acknowledge(&frame.Ack{
			Ref: ref, ChannelID: e.ChannelID, ClientID: *e.ClientID,
			ID: ack.ID, Seq: ack.Seq, SentAt: ack.SentAt, Duplicate: ack.Duplicate,
		})
	})
	return nil
}

// acknowledge queues an ack until FlushAcks. The message itself usually follows immediately, and a
// single write then sends both.
func (c *client) acknowledge(a *frame.Ack) {
	if c.out.Hold(connection.EndText(a.AppendTo(connection.BeginText(ackBufferSize)))) {
		c.g.acks.mu.Lock()
		c.g.acks.held = append(c.g.acks.held, &c.out)
		c.g.acks.mu.Unlock()
	}
}

// ackBufferSize is the initial buffer size in bytes: enough for an ack and usually the message that
// follows it.
const ackBufferSize = 1 << 10

// FlushAcks sends the queued acks. The appender calls it after each batch of results.
func (g *Gateway) FlushAcks() {
	g.acks.mu.Lock()
	held := g.acks.held
	g.acks.held, g.acks.spare = g.acks.spare, nil
	g.acks.mu.Unlock()
	for i, c := range held {
		c.Flush()
		held[i] = nil
	}
	g.acks.mu.Lock()
	g.acks.spare = held[:0]
	g.acks.mu.Unlock()
}

// checkBody returns an error if the body that a client sent is not valid.
func (c *client) checkBody(body string) error {
	switch err := chat.CheckBody(body, c.g.cfg.Limits.MaxBodyBytes); {
	case errors.Is(err, chat.ErrBodyTooLarge):
		return apierr.New(apierr.TooLarge, "field body %v", err)
	case err != nil:
		return apierr.InvalidContent("body", "%v", err)
	}
	return nil
}

// buildEvent validates a frame and returns the event that it requests.
func (c *client) buildEvent(f *frame.Client) (frame.Event, error) {
	if f.Type != frame.Send {
		return c.buildChange(f)
	}
	e := frame.Event{
		Type: event.Message, ID: chat.NewEventID(), ClientID: f.ClientID, SenderID: c.user, SenderName: c.username,
		Body: chat.NormalizeBody(*f.Body), ReplyTo: f.ReplyTo, SentAt: chat.Now(),
	}
	if err := c.checkBody(e.Body); err != nil {
		return e, err
	}
	if f.ToUserID != nil {
		id, err := c.directChannel(f)
		if err != nil {
			return e, err
		}
		e.ChannelID = id
	} else {
		e.ChannelID = *f.ChannelID
	}
	if err := c.access.AdmitPoster(e.ChannelID); err != nil {
		return e, &refusal{e, err}
	}
	if e.ReplyTo != nil {
		if err := c.checkReplyTarget(&e); err != nil {
			return e, &refusal{e, err}
		}
	}
	e.Mentions = c.mentions(c.g.ctx, &e)
	return e, nil
}

// maxDirectChannels limits how many ids of direct channels a connection caches.
const maxDirectChannels = 1000

// directChannel returns the direct channel with the user that a send frame names. It opens the
// channel if needed.
func (c *client) directChannel(f *frame.Client) (chat.ChannelID, error) {
	c.mu.Lock()
	id, known := c.directChannels[*f.ToUserID]
	c.mu.Unlock()
	if known {
		return id, nil
	}
	ctx, cancel := c.requestContext()
	defer cancel()
	if _, err := c.g.cfg.Limiter.Take(ctx, ratelimit.By(ratelimit.Direct, c.user)); err != nil {
		return id, err
	}
	id, err := c.g.cfg.Store.OpenDirect(ctx, c.user, *f.ToUserID)
	if err != nil {
		return id, err
	}
	c.mu.Lock()
	if c.directChannels == nil {
		c.directChannels = make(map[chat.UserID]chat.ChannelID)
	}
	if len(c.directChannels) >= maxDirectChannels {
		clear(c.directChannels)
	}
	c.directChannels[*f.ToUserID] = id
	c.mu.Unlock()
	return id, nil
}

// renewToken replaces the connection's token with a newer one of the same session.
func (c *client) renewToken(f *frame.Client) error {
	next := &client{}
	if err := c.g.authenticate(c.g.ctx, next, *f.Token); err != nil {
		if e := apierr.Of(err); e.Code != apierr.Unavailable {
			return apierr.New(apierr.Unauthenticated, "%s", e.Message)
		}
		return err
	}
	if next.user != c.user || next.session != c.session {
		return apierr.New(apierr.Forbidden, "the token belongs to another session: open another connection for it")
	}
	c.extendToken(next.expiresAt.Load())
	c.send(frame.Pong{Ref: f.Ref})
	return nil
}

// extendToken raises the expiry of the connection's token; it never lowers it.
func (c *client) extendToken(until int64) {
	for at := c.expiresAt.Load(); until > at; at = c.expiresAt.Load() {
		if c.expiresAt.CompareAndSwap(at, until) {
			return
		}
	}
}
