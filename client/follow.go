package client

import (
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// Follow follows a channel whose summary has NotFollowed set, because the user has more channels
// than a connection can follow. If the limit is reached, the client stops following the channel
// that has been inactive for the longest time. Missed events are delivered, as after any other
// interruption. For any other channel, Follow does nothing.
func (c *Client) Follow(id chat.ChannelID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch := c.channels[id]; ch != nil {
		c.followLocked(ch)
	}
}

func (c *Client) followLocked(ch *channel) {
	if ch.unfollowed && c.conn != nil && c.conn.greeted {
		ch.unfollowed, ch.wanted = false, true
		c.askLocked(c.conn, ch)
		signal(c.conn.wake)
	}
}

// markUnfollowedLocked marks a channel as not followed because the limit of followed channels is
// reached. c.mu must be held.
func (ch *channel) markUnfollowedLocked() {
	ch.phase, ch.ref, ch.unfollowed, ch.wanted = idle, "", true, false
	ch.summary.NotFollowed = true
}

// makeRoomLocked ends the subscription to the channel that has been inactive for the longest time.
// It returns false if there is no subscription to end. c.mu must be held.
func (c *Client) makeRoomLocked(l *conn) bool {
	var oldest *channel
	for _, ch := range c.channels {
		if ch.phase == following && (oldest == nil || ch.moved.Before(oldest.moved)) {
			oldest = ch
		}
	}
	if oldest == nil {
		return false
	}
	oldest.markUnfollowedLocked()
	l.queueLocked(map[string]any{"type": frame.Unsubscribe, "channel_id": oldest.id})
	return true
}
