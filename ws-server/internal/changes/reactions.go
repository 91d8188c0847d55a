package changes

import (
	"context"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/text"
)

// Limits on the reactions to one message. Reactions that are still being appended are not counted.
// A user who sends several reactions concurrently may therefore exceed a limit, but by no more than
// the rate limit allows.
const (
	maxEmojisPerMessage = 50 // maximum number of different emojis currently on a message
	maxEmojisPerUser    = 20 // maximum number of different emojis that a user has ever put on a message; this also limits the number of rows
)

// checkReactionLimits returns an error if the reaction would exceed one of the limits on a
// message's reactions.
func (r *Rules) checkReactionLimits(ctx context.Context, e *frame.Event) error {
	active, own := map[string]bool{}, map[string]bool{}
	items, err := r.Log.Tail(ctx, e.ChannelID, tailPageSize)
	if err != nil {
		return apierr.Wrap(err, apierr.Unavailable, "The event log is not available. Please try again.")
	}
	// The rows are read after the tail, because events are stored before they are cut from the
	// tail. While PostgreSQL is down, only the tail is counted, so that members can still react.
	// The limits may then be exceeded, but each history page also limits the number of reactions
	// that it contains.
	stored, err := r.Store.Reactions(ctx, e.ChannelID, *e.MessageID, e.SenderID)
	if err != nil && apierr.CodeOf(err) != apierr.Unavailable {
		return err
	}
	for _, s := range stored {
		emoji := s.Emoji
		if form, ok := text.Emoji(emoji); ok { // earlier releases stored emojis without normalizing them
			emoji = form
		}
		active[emoji], own[emoji] = active[emoji] || s.Active, own[emoji] || s.Own
	}
	for _, it := range items {
		if it.Kind != event.Reaction {
			continue
		}
		o, err := frame.DecodeEvent(it.Frame)
		if err != nil || o.MessageID == nil || *o.MessageID != *e.MessageID {
			continue
		}
		active[o.Emoji] = active[o.Emoji] || !o.Remove
		own[o.Emoji] = own[o.Emoji] || o.SenderID == e.SenderID
	}
	switch {
	case !active[e.Emoji] && countTrue(active) >= maxEmojisPerMessage:
		return apierr.New(apierr.Conflict, "This message already has %d different reactions.", maxEmojisPerMessage)
	case !own[e.Emoji] && countTrue(own) >= maxEmojisPerUser:
		return apierr.New(apierr.Conflict, "You have already added %d different reactions to this message.", maxEmojisPerUser)
	}
	return nil
}

func countTrue(set map[string]bool) (n int) {
	for _, in := range set {
		if in {
			n++
		}
	}
	return n
}
