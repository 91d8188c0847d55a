package gateway

import (
	"time"

	"parley.chat/internal/eventlog/appender"
	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/connection"
)

// frameType describes a type of frame that this server supports.
type frameType struct {
	limit frameLimit // limit for this type only; FRAME_RATE also limits all frames
	// handle carries out the frame's request. If it returns an error, the client is sent an error
	// frame.
	handle func(*client, *frame.Client) error
}

// frameLimit describes the limit on frames of one type.
type frameLimit string

const (
	// A send that opens a direct channel is also subject to the limit on opening direct channels.
	limitedByMessageRate frameLimit = "the message rate limit"
	limitedByMerging     frameLimit = "merged: however many arrive, at most one is passed on per interval"
	limitedByFrameRate   frameLimit = "only FRAME_RATE: the frame changes nothing that other users see"
)

// frameTypes holds every type of frame that this server supports. All other types are refused.
var frameTypes = map[frame.Type]frameType{
	frame.Send:        {limitedByMessageRate, (*client).appendEvent},
	frame.Edit:        {limitedByMessageRate, (*client).appendEvent},
	frame.Delete:      {limitedByMessageRate, (*client).appendEvent},
	frame.React:       {limitedByMessageRate, (*client).appendEvent},
	frame.Typing:      {limitedByMerging, (*client).handleTyping},
	frame.Delivered:   {limitedByMerging, (*client).handleReceipt},
	frame.Read:        {limitedByMerging, (*client).handleReceipt},
	frame.Subscribe:   {limitedByFrameRate, (*client).handleSubscribe},
	frame.Unsubscribe: {limitedByFrameRate, (*client).handleUnsubscribe},
	frame.Presence:    {limitedByFrameRate, (*client).handlePresence},
	frame.Auth:        {limitedByFrameRate, (*client).renewToken},
	frame.Ping:        {limitedByFrameRate, (*client).answerPing},
}

// handle processes one decoded frame. err is the error from decoding the frame.
func (c *client) handle(f *frame.Client, err error) {
	c.pace()
	if c.out.Closing() {
		return
	}
	if err != nil {
		c.rejectFrame(f.Ref, err)
		return
	}
	c.badFrames = 0
	if t, supported := frameTypes[f.Type]; supported {
		err = t.handle(c, f)
	} else {
		err = apierr.New(apierr.BadFrame, "This server does not support %s frames.", f.Type)
	}
	if err != nil {
		c.sendError(f.Ref, nil, err)
	}
}

func (c *client) answerPing(f *frame.Client) error {
	c.send(frame.Pong{Ref: f.Ref})
	return nil
}

// maxInflight limits the number of sends on one connection that are waiting for an ack. At the
// limit the reader blocks, and further frames wait in the client's socket buffer.
const maxInflight = 64

// appendEvent handles a send, edit, delete or react frame. It submits the event to the log. The
// client is answered when the event has been appended.
func (c *client) appendEvent(f *frame.Client) error {
	e, err := c.newEvent(f)
	if err != nil {
		return err
	}
	if err := c.authorize(e); err != nil {
		return c.answerRefused(f, e, err)
	}
	e.Mentions = c.g.mentions.find(c.g.ctx, e, c.access)
	if c.inflight == nil {
		c.inflight = make(chan struct{}, maxInflight)
	}
	select {
	case c.inflight <- struct{}{}:
	case <-c.g.ctx.Done():
		return apierr.New(apierr.Unavailable, "The server is shutting down. Reconnect and retry with the same client_id.")
	}
	if !c.g.inflight.enter() {
		<-c.inflight
		return apierr.New(apierr.Unavailable, "The server is shutting down. Reconnect and retry with the same client_id.")
	}
	began, ref := time.Now(), f.Ref
	c.g.cfg.Sender.Submit(e, func(ack appender.Ack, err error) {
		defer func() {
			<-c.inflight
			c.g.inflight.leave()
		}()
		if err != nil {
			c.sendError(ref, nil, err)
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

// newEvent creates the event that a frame asks the gateway to append. It checks the body, but not
// whether the user may append the event; see authorize.
func (c *client) newEvent(f *frame.Client) (*frame.Event, error) {
	e := &frame.Event{ID: chat.NewEventID(), ClientID: f.ClientID, SenderID: c.user, SentAt: chat.Now()}
	switch f.Type {
	case frame.Send:
		e.Type, e.SenderName, e.ReplyTo = event.Message, c.username, f.ReplyTo
	case frame.Edit:
		e.Type, e.MessageID = event.Edit, f.MessageID
	case frame.Delete:
		e.Type, e.MessageID = event.Delete, f.MessageID
	case frame.React:
		e.Type, e.MessageID, e.Emoji, e.Remove = event.Reaction, f.MessageID, *f.Emoji, f.Remove
	}
	if f.Type == frame.Send || f.Type == frame.Edit {
		e.Body = chat.NormalizeBody(*f.Body)
		if err := chat.CheckBody(e.Body, c.g.cfg.Limits.MaxBodyBytes); err != nil {
			return nil, apierr.InvalidField(chat.BodyCode(err), "body", err)
		}
	}
	if f.Type != frame.Send || f.ToUserID == nil {
		e.ChannelID = *f.ChannelID
		return e, nil
	}
	var err error
	e.ChannelID, err = c.directChannel(f)
	return e, err
}

// maxDirectChannels limits how many direct channel ids a connection caches.
const maxDirectChannels = 1000

// directChannel returns the direct channel with the recipient of a send frame. It opens the channel
// if needed.
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

// renewToken replaces the connection's token with a newer one for the same session.
func (c *client) renewToken(f *frame.Client) error {
	next := &client{}
	if err := c.g.authenticate(c.g.ctx, next, *f.Token); err != nil {
		if e := apierr.Of(err); e.Code != apierr.Unavailable {
			return apierr.New(apierr.Unauthenticated, "%s", e.Message)
		}
		return err
	}
	if next.user != c.user || next.session != c.session {
		return apierr.New(apierr.Forbidden, "The access token belongs to another session. Open another connection for it.")
	}
	c.extendToken(next.expiresAt.Load())
	c.send(frame.Pong{Ref: f.Ref})
	return nil
}

// extendToken moves the expiry of the connection's token forward, never back.
func (c *client) extendToken(until int64) {
	for at := c.expiresAt.Load(); until > at; at = c.expiresAt.Load() {
		if c.expiresAt.CompareAndSwap(at, until) {
			return
		}
	}
}
