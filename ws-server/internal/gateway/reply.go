package gateway

import (
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/frame"
)

// checkReplyTarget checks that a message replies to a message of the same channel. The target may
// have been deleted, possibly while the reply was being written. If PostgreSQL is down and the
// target is in neither the ring nor the tail, the error is Unavailable, and the client retries.
func (c *client) checkReplyTarget(e *frame.Event) error {
	ctx, cancel := c.requestContext()
	defer cancel()
	_, err := c.g.findMessage(ctx, e.ChannelID, *e.ReplyTo)
	if apierr.CodeOf(err) == apierr.NotFound {
		return apierr.InvalidContent("reply_to", "must be a message of this channel")
	}
	return err
}
