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

// refusal is why an event was not appended, with the event that it would have
// been: a retry is known by its record, see settled.
type refusal struct {
	event frame.Event
	err   error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// buildChange checks an edit, a deletion or a reaction and returns the event that it asks for. Its error
// is a *refusal where the message stands in the way.
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
		return e, apierr.New(apierr.BadFrame, "this server does not take %s frames yet", f.Type)
	}
	admit := c.access.AdmitPoster
	if f.Type == frame.Delete { // what was said may be taken away
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

// authorizeEdit: the sender, while the edit window is open, as long as the message is not deleted. Two who
// edit and delete at the same time may both get through; a deletion absorbs the edit that follows it.
func (c *client) authorizeEdit(ctx context.Context, e *frame.Event) error {
	t, err := c.g.findMessage(ctx, e.ChannelID, *e.MessageID)
	switch window := c.g.cfg.EditWindow; {
	case err != nil:
		return err
	case t.sender != c.user:
		return apierr.New(apierr.Forbidden, "only the sender of a message may edit it")
	case window > 0 && time.Since(t.sentAt) > window:
		return apierr.New(apierr.Forbidden, "a message may be edited for %s", window)
	}
	switch deleted, err := c.g.isDeleted(ctx, e.ChannelID, *e.MessageID, t); {
	case err != nil:
		return err
	case deleted:
		return apierr.New(apierr.Conflict, "the message is deleted")
	}
	return nil
}

// authorizeDelete: the sender, and whoever runs the channel. A second deletion changes nothing.
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
		return apierr.New(apierr.Forbidden, "only the sender of a message and the channel's admins may delete it")
	}
	return nil
}

// authorizeReaction: any member, within the limits of reactions.
func (c *client) authorizeReaction(ctx context.Context, e *frame.Event) error {
	if _, err := c.g.findMessage(ctx, e.ChannelID, *e.MessageID); err != nil || e.Remove {
		return err
	}
	return c.g.checkReactionLimits(ctx, e)
}

// answerRefused answers what was refused. What went through before keeps its first ack: its sender may have
// left since, its message have been deleted, its window have closed, or PostgreSQL have gone away. So idempotency comes first, and what is not refused costs no read for it: the append itself
// knows its retries.
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
	case apierr.CodeOf(err) == apierr.Conflict: // the client id was used for something else
		return err
	}
	return r.err
}
