package gateway

import (
	"context"
	"time"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/ws-server/internal/store"
)

// blockPatience is how long a message waits to learn whether it may be sent into a direct channel.
const blockPatience = time.Second

// note takes note of what a membership that was read says besides: a direct channel is one where a block
// stands against writing.
func (c *client) note(list ...store.Membership) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range list {
		if m.Kind == chat.Direct {
			c.noteDirectLocked(m.ChannelID)
		}
	}
}

func (c *client) noteDirectLocked(id chat.ChannelID) {
	if c.open == nil {
		c.open = make(map[chat.ChannelID]time.Time, 1)
	}
	if _, known := c.open[id]; !known {
		c.open[id] = time.Time{}
	}
}

// unblocked returns an error if the channel is a direct one of whose two users one has blocked the other.
// That neither has is believed as long as a membership, unless told otherwise. While PostgreSQL does not
// answer, nobody can have blocked anybody, and the two go on.
func (c *client) unblocked(id chat.ChannelID) error {
	c.mu.Lock()
	until, direct := c.open[id]
	told := c.blocksTold
	c.mu.Unlock()
	if !direct || time.Now().Before(until) {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.g.ctx, blockPatience)
	defer cancel()
	blocked, err := c.g.reads.blocked.Ask(ctx, id)
	if blocked {
		return apierr.New(apierr.Forbidden, "you cannot send direct messages to this user")
	}
	until = time.Now().Add(admittedFor)
	if err != nil {
		until = time.Now().Add(storeAgain)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.blocksTold == told {
		c.open[id] = until
	}
	return nil
}

// blocked forgets what is believed of blocks: one of the user's was told of.
func (c *client) blocked() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocksTold++
	for id := range c.open {
		c.open[id] = time.Time{}
	}
}
