package gateway

import (
	"context"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/text"
)

// Limits of the reactions to one message. What is on its way to the log at the same time is not counted, so a user who
// sends many at once may get a few more through, as many as the rate limit lets pass.
const (
	maxEmojisPerMessage = 50 // different ones that stand
	maxEmojisPerUser    = 20 // different ones that a user has ever put on it, so that rows are bounded too
)

// checkReactionLimits refuses a reaction that would be one too many on its message.
func (g *Gateway) checkReactionLimits(ctx context.Context, e *frame.Event) error {
	active, own := map[string]bool{}, map[string]bool{}
	items, err := g.cfg.Log.Tail(ctx, e.ChannelID, tailPageSize)
	if err != nil {
		return apierr.Wrap(err, apierr.Unavailable, "the event log does not answer right now")
	}
	// The rows come second: what is cut from the tail is stored. Without PostgreSQL the tail is all that counts, since
	// members go on chatting, and reading a page bounds what is shown.
	stored, err := g.cfg.Store.Reactions(ctx, e.ChannelID, *e.MessageID, e.SenderID)
	if err != nil && apierr.CodeOf(err) != apierr.Unavailable {
		return err
	}
	for _, r := range stored {
		emoji := r.Emoji
		if form, ok := text.Emoji(emoji); ok { // earlier releases stored it as it came
			emoji = form
		}
		active[emoji], own[emoji] = active[emoji] || r.Active, own[emoji] || r.Own
	}
	for _, it := range items {
		if it.Kind != event.Reaction {
			continue
		}
		r, err := frame.DecodeEvent(it.Frame)
		if err != nil || r.MessageID == nil || *r.MessageID != *e.MessageID {
			continue
		}
		active[r.Emoji] = active[r.Emoji] || !r.Remove
		own[r.Emoji] = own[r.Emoji] || r.SenderID == e.SenderID
	}
	switch {
	case !active[e.Emoji] && countTrue(active) >= maxEmojisPerMessage:
		return apierr.New(apierr.Conflict, "this message already has %d different reactions", maxEmojisPerMessage)
	case !own[e.Emoji] && countTrue(own) >= maxEmojisPerUser:
		return apierr.New(apierr.Conflict, "you have already put %d different reactions on this message", maxEmojisPerUser)
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
