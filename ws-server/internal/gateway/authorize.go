package gateway

import (
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// authorize returns an error if the user is not allowed to append the event, or if the state of the
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
	return c.g.changes.Check(ctx, e, c.access.Role)
}

// answerRefused answers a frame whose event e was refused; err is the reason. If the frame is a
// retry of an event that was appended earlier, the client gets the first ack again. The reason may
// have arisen after that append: the sender may have left, the message may have been deleted, the
// edit window may have closed, or PostgreSQL may have become unavailable. Only refused frames need
// this lookup, because the append itself recognizes retries.
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
