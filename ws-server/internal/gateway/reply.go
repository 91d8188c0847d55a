package gateway

import (
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/frame"
)

// checkReplyTarget checks that a message replies to a message of its own channel. A deleted one will do: it may have been
// deleted while the reply was being written, which is no reason to lose the reply. While PostgreSQL does not answer, a
// reply to a message that is neither in the ring nor in the tail is Unavailable, and the client sends it again.
func (c *client) checkReplyTarget(e *frame.Event) error {
	ctx, cancel := c.requestContext()
	defer cancel()
	_, err := c.g.findMessage(ctx, e.ChannelID, *e.ReplyTo)
	if apierr.CodeOf(err) == apierr.NotFound {
		return apierr.InvalidContent("reply_to", "must be a message of this channel")
	}
	return err
}
