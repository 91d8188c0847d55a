package client

import (
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// Follow follows a channel whose summary says NotFollowed: its user has more channels than a connection follows.
// Where there is no room the channel in which nothing happened for the longest time is not followed any more. What
// happened meanwhile comes as events, as after any other pause. It does nothing for any other channel.
func (c *Client) Follow(id chat.ChannelID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch := c.channels[id]; ch != nil {
		c.followLocked(ch)
	}
}

func (c *Client) followLocked(ch *channel) {
	if ch.aside && c.link != nil && c.link.greeted {
		ch.aside, ch.wanted = false, true
		c.askLocked(c.link, ch)
		signal(c.link.wake)
	}
}

// setAsideLocked notes that a channel is not followed, for want of room. c.mu is held.
func (ch *channel) setAsideLocked() {
	ch.phase, ch.ref, ch.aside, ch.wanted = idle, "", true, false
	ch.summary.NotFollowed = true
}

// makeRoomLocked ends the subscription to the channel in which nothing happened for the longest time, and
// reports whether there was one. c.mu is held.
func (c *Client) makeRoomLocked(l *link) bool {
	var oldest *channel
	for _, ch := range c.channels {
		if ch.phase == following && (oldest == nil || ch.moved.Before(oldest.moved)) {
			oldest = ch
		}
	}
	if oldest == nil {
		return false
	}
	oldest.setAsideLocked()
	l.queueLocked(map[string]any{"type": frame.Unsubscribe, "channel_id": oldest.id})
	return true
}
