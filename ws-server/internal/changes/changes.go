// Package changes decides whether an event that refers to a message (an edit, a deletion, a
// reaction or a reply) may be appended. It finds the message in the hub, in the tail or in
// PostgreSQL.
//
// The package starts no goroutines and caches nothing. It does not check whether the sender may
// write to the channel.
package changes

import (
	"context"
	"time"

	"parley.chat/internal/eventlog"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/hub"
	"parley.chat/ws-server/internal/store"
)

// Rules checks events. All fields except EditWindow are required. It is safe for concurrent use.
type Rules struct {
	Hub   *hub.Hub
	Log   *eventlog.Log
	Store Store
	// EditWindow is how long a message may be edited after it was sent. Zero means forever.
	EditWindow time.Duration
}

// Store reads from PostgreSQL.
type Store interface {
	Message(ctx context.Context, channel chat.ChannelID, id chat.EventID) (store.Message, error)
	Deleted(ctx context.Context, channel chat.ChannelID, id chat.EventID) (bool, error)
	Reactions(ctx context.Context, channel chat.ChannelID, message chat.EventID, user chat.UserID) ([]store.Reaction, error)
}

// RoleIn returns the role of the event's sender in a channel.
type RoleIn func(chat.ChannelID) (chat.Role, error)

// Check returns an error if the sender may not append e because of the state of the message that e
// refers to.
func (r *Rules) Check(ctx context.Context, e *frame.Event, roleIn RoleIn) error {
	switch e.Type {
	case event.Message:
		return r.checkReply(ctx, e)
	case event.Edit:
		return r.checkEdit(ctx, e)
	case event.Delete:
		return r.checkDelete(ctx, e, roleIn)
	}
	return r.checkReaction(ctx, e)
}

// checkReply allows a reply to a message in the same channel, even if that message has been
// deleted. If PostgreSQL is down and the message is neither in this gateway's memory nor in Redis,
// the error is Unavailable, and the client retries.
func (r *Rules) checkReply(ctx context.Context, e *frame.Event) error {
	_, err := r.findMessage(ctx, e.ChannelID, *e.ReplyTo)
	if apierr.CodeOf(err) == apierr.NotFound {
		return apierr.InvalidField(apierr.InvalidBody, "reply_to", apierr.Violates(apierr.FieldMessage, "must be a message in this channel"))
	}
	return err
}

// checkEdit allows the sender to edit a message while the edit window is open and the message is
// not deleted. If an edit and a deletion arrive at the same time, both may be accepted. Readers
// then ignore the edit, because a deletion overrides any edit that follows it.
func (r *Rules) checkEdit(ctx context.Context, e *frame.Event) error {
	t, err := r.findMessage(ctx, e.ChannelID, *e.MessageID)
	switch window := r.EditWindow; {
	case err != nil:
		return err
	case t.sender != e.SenderID:
		return apierr.New(apierr.Forbidden, "Only the sender of a message may edit it.")
	case window > 0 && time.Since(t.sentAt) > window:
		return apierr.New(apierr.Forbidden, "A message can be edited only within %s of being sent.", apierr.Duration(window))
	}
	switch deleted, err := r.isDeleted(ctx, e.ChannelID, *e.MessageID, t); {
	case err != nil:
		return err
	case deleted:
		return apierr.New(apierr.Conflict, "This message has been deleted.")
	}
	return nil
}

// checkDelete allows the sender, owners and admins to delete a message. Deleting a message again
// has no effect.
func (r *Rules) checkDelete(ctx context.Context, e *frame.Event, roleIn RoleIn) error {
	t, err := r.findMessage(ctx, e.ChannelID, *e.MessageID)
	if err != nil || t.sender == e.SenderID {
		return err
	}
	role, err := roleIn(e.ChannelID)
	if err != nil {
		return err
	}
	if role != chat.Owner && role != chat.Admin {
		return apierr.New(apierr.Forbidden, "Only the sender of a message, or an owner or admin of the channel, may delete it.")
	}
	return nil
}

// checkReaction allows any member to react, within the limits on reactions.
func (r *Rules) checkReaction(ctx context.Context, e *frame.Event) error {
	if _, err := r.findMessage(ctx, e.ChannelID, *e.MessageID); err != nil || e.Remove {
		return err
	}
	return r.checkReactionLimits(ctx, e)
}
