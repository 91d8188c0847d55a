package gateway

import (
	"context"
	"time"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// authorize returns an error if the user is not allowed to append the event, or the state of the
// channel does not permit it.
func (c *client) authorize(e *frame.Event) error {
	admit := c.access.AdmitPoster
	if e.Type == event.Delete { // a block between the two users of a direct channel does not prevent deletions
		admit = c.access.AdmitWriter
	}
	if err := admit(e.ChannelID); err != nil || e.Type == event.Message && e.ReplyTo == nil {
		return err
	}
	ctx, cancel := c.requestContext()
	defer cancel()
	switch e.Type {
	case event.Message:
		return c.authorizeReply(ctx, e)
	case event.Edit:
		return c.authorizeEdit(ctx, e)
	case event.Delete:
		return c.authorizeDelete(ctx, e)
	}
	return c.authorizeReaction(ctx, e)
}

// authorizeReply allows a reply to a message in the same channel. The message may have been
// deleted, possibly while the reply was being written. If PostgreSQL is down and the message is in
// neither the ring nor the tail, the error is Unavailable, and the client retries.
func (c *client) authorizeReply(ctx context.Context, e *frame.Event) error {
	_, err := c.g.findMessage(ctx, e.ChannelID, *e.ReplyTo)
	if apierr.CodeOf(err) == apierr.NotFound {
		return apierr.InvalidField(apierr.InvalidBody, "reply_to", "must be a message in this channel")
	}
	return err
}

// authorizeEdit allows the sender to edit a message while the edit window is open and the message
// is not deleted. If an edit and a deletion arrive at the same time, both may be accepted. Readers
// then ignore the edit, because a deletion overrides any edit that follows it.
func (c *client) authorizeEdit(ctx context.Context, e *frame.Event) error {
	t, err := c.g.findMessage(ctx, e.ChannelID, *e.MessageID)
	switch window := c.g.cfg.EditWindow; {
	case err != nil:
		return err
	case t.sender != c.user:
		return apierr.New(apierr.Forbidden, "Only the sender of a message may edit it.")
	case window > 0 && time.Since(t.sentAt) > window:
		return apierr.New(apierr.Forbidden, "A message can be edited only within %s of being sent.", apierr.Duration(window))
	}
	switch deleted, err := c.g.isDeleted(ctx, e.ChannelID, *e.MessageID, t); {
	case err != nil:
		return err
	case deleted:
		return apierr.New(apierr.Conflict, "This message has been deleted.")
	}
	return nil
}

// authorizeDelete allows the sender, owners and admins to delete a message. Deleting a message
// again has no effect.
func (c *client) authorizeDelete(ctx context.Context, e *frame.Event) error {
	t, err := c.g.findMessage(ctx, e.ChannelID, *e.MessageID)
	if err != nil || t.sender == c.user {
		return err
	}
	role, err := c.access.Role(e.ChannelID)
	if err != nil {
		return err
	}
	if role != chat.Owner && role != chat.Admin {
		return apierr.New(apierr.Forbidden, "Only the sender of a message, or an owner or admin of the channel, may delete it.")
	}
	return nil
}

// authorizeReaction allows any member to react, within the limits on reactions.
func (c *client) authorizeReaction(ctx context.Context, e *frame.Event) error {
	if _, err := c.g.findMessage(ctx, e.ChannelID, *e.MessageID); err != nil || e.Remove {
		return err
	}
	return c.g.checkReactionLimits(ctx, e)
}

// answerRefused answers a frame whose event e was refused with err. If the frame is a retry of an
// event that was appended earlier, the client gets the first ack again. The refusal may be newer
// than the event: since then, its sender may have left, its message may have been deleted, the edit
// window may have closed, or PostgreSQL may have become unavailable. Only refused frames need this
// lookup, because the append itself recognizes retries.
func (c *client) answerRefused(f *frame.Client, e *frame.Event, refusal error) error {
	ctx, cancel := c.requestContext()
	defer cancel()
	ack, found, err := c.g.cfg.Sender.Recorded(ctx, e)
	switch {
	case found:
		c.send(frame.Ack{
			Ref: f.Ref, ChannelID: e.ChannelID, ClientID: *f.ClientID,
			ID: ack.ID, Seq: ack.Seq, SentAt: ack.SentAt, Duplicate: true,
		})
		return nil
	case apierr.CodeOf(err) == apierr.Conflict: // the client_id was used for different content
		return err
	}
	return refusal
}
