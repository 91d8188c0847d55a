package gateway

import (
	"context"
	"errors"
	"time"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// refusal is the error for an event that was refused. It holds the event, so that answerRefused can
// tell whether the frame is a retry of an event that was appended earlier.
type refusal struct {
	event frame.Event
	err   error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// buildChange validates an edit, a deletion or a reaction and returns the event that it requests.
// It returns a *refusal if the user or the state of the message does not permit the change.
func (c *client) buildChange(f *frame.Client) (frame.Event, error) {
	e := frame.Event{
		ID: chat.NewEventID(), ChannelID: *f.ChannelID, ClientID: f.ClientID, MessageID: f.MessageID,
		SenderID: c.user, SentAt: chat.Now(),
	}
	var authorize func(context.Context, *frame.Event) error
	switch f.Type {
	case frame.Edit:
		e.Type, e.Body, authorize = event.Edit, chat.NormalizeBody(*f.Body), c.authorizeEdit
		if err := c.checkBody(e.Body); err != nil {
			return e, err
		}
	case frame.Delete:
		e.Type, authorize = event.Delete, c.authorizeDelete
	case frame.React:
		e.Type, e.Emoji, e.Remove, authorize = event.Reaction, *f.Emoji, f.Remove, c.authorizeReaction
	default:
		return e, apierr.New(apierr.BadFrame, "this server does not support %s frames", f.Type)
	}
	admit := c.access.AdmitPoster
	if f.Type == frame.Delete { // a block between the users of a direct channel does not prevent deletion
		admit = c.access.AdmitWriter
	}
	if err := admit(e.ChannelID); err != nil {
		return e, &refusal{e, err}
	}
	ctx, cancel := c.requestContext()
	defer cancel()
	if err := authorize(ctx, &e); err != nil {
		return e, &refusal{e, err}
	}
	e.Mentions = c.mentions(ctx, &e)
	return e, nil
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
		return apierr.New(apierr.Forbidden, "only the sender of a message may edit it")
	case window > 0 && time.Since(t.sentAt) > window:
		return apierr.New(apierr.Forbidden, "a message may only be edited within %s after it was sent", window)
	}
	switch deleted, err := c.g.isDeleted(ctx, e.ChannelID, *e.MessageID, t); {
	case err != nil:
		return err
	case deleted:
		return apierr.New(apierr.Conflict, "the message is deleted")
	}
	return nil
}

// authorizeDelete allows the sender, owners and admins to delete a message. Deleting it again
// changes nothing.
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
		return apierr.New(apierr.Forbidden, "only the sender of a message, or an owner or admin of the channel, may delete it")
	}
	return nil
}

// authorizeReaction allows any member to react, within the limits of reactions.
func (c *client) authorizeReaction(ctx context.Context, e *frame.Event) error {
	if _, err := c.g.findMessage(ctx, e.ChannelID, *e.MessageID); err != nil || e.Remove {
		return err
	}
	return c.g.checkReactionLimits(ctx, e)
}

// answerRefused answers a frame that was refused. If the frame is a retry of an event that was
// appended earlier, the client gets the first ack again. The refusal may be newer than the event:
// since then, its sender may have left, its message may have been deleted, the edit window may have
// closed, or PostgreSQL may have become unavailable. Only refused frames need this lookup, because
// the append itself recognizes retries.
func (c *client) answerRefused(f *frame.Client, err error) error {
	r, refused := errors.AsType[*refusal](err)
	if !refused {
		return err
	}
	ctx, cancel := c.requestContext()
	defer cancel()
	ack, found, err := c.g.cfg.Sender.Recorded(ctx, &r.event)
	switch {
	case found:
		c.send(frame.Ack{
			Ref: f.Ref, ChannelID: r.event.ChannelID, ClientID: *f.ClientID,
			ID: ack.ID, Seq: ack.Seq, SentAt: ack.SentAt, Duplicate: true,
		})
		return nil
	case apierr.CodeOf(err) == apierr.Conflict: // the client_id was used for different content
		return err
	}
	return r.err
}
