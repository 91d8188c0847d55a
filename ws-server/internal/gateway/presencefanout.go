package gateway

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/presence"
)

// Two users with a block between them must not see each other's typing, receipts or presence.
// Typing and receipts skip such users during the fan-out (see hub.Channel.PublishEphemeral). That
// does not work for presence frames, because they contain a count of all online users. Users with
// blocks therefore get presence frames of their own, which neither name nor count the users with
// whom they have a block.

const (
	maxQueuedPresence   = 10_000           // presence frames in the queue; further frames are dropped
	presenceReadTimeout = 5 * time.Second  // for reading the online users of one channel
	blockChangeTimeout  = 30 * time.Second // for updating all channels that two users share
)

// BlockedWith returns the users connected to this gateway who have a block with a user. It is nil
// for nearly every user.
func (g *Gateway) BlockedWith(to chat.UserID) map[chat.UserID]struct{} {
	return g.authority.BlockedWith(to)
}

// presenceFanout delivers presence frames, including those for users with blocks. While there are
// blocks, a single goroutine, run, delivers the frames in the order in which they were published.
type presenceFanout struct {
	g    *Gateway
	wake chan struct{} // holds at most one token, which means that queue is not empty

	mu         sync.Mutex // guards the fields below; no I/O happens while it is held
	queue      []publishedPresence
	delivering bool // run is delivering frames that it has removed from queue
}

// publishedPresence is a presence frame that was published in a channel.
type publishedPresence struct {
	channel chat.ChannelID
	frame   []byte
}

// Presence handles a published presence frame of a channel. The feed calls it; it does not block.
func (g *Gateway) Presence(id chat.ChannelID, text []byte) {
	ch := g.cfg.Feed.Hub.Channel(id)
	if ch == nil {
		return
	}
	f := g.presenceFanout
	f.mu.Lock()
	if !g.authority.AnyBlocks() && !f.delivering && len(f.queue) == 0 { // otherwise the frame would overtake queued ones
		f.mu.Unlock()
		ch.PublishEphemeral(text, chat.UserID{}, nil)
		return
	}
	if len(f.queue) < maxQueuedPresence {
		f.queue = append(f.queue, publishedPresence{id, text})
	}
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// run delivers queued frames until ctx is done.
func (f *presenceFanout) run(ctx context.Context) {
	for {
		select {
		case <-f.wake:
		case <-ctx.Done():
			return
		}
		for waiting := f.dequeue(); len(waiting) > 0; waiting = f.dequeue() {
			for _, p := range waiting {
				if ctx.Err() != nil {
					return
				}
				f.deliver(ctx, p)
			}
		}
	}
}

// dequeue removes and returns all queued frames. If there are none, later frames may bypass the
// queue.
func (f *presenceFanout) dequeue() []publishedPresence {
	f.mu.Lock()
	defer f.mu.Unlock()
	waiting := f.queue
	f.queue, f.delivering = nil, len(waiting) > 0
	return waiting
}

// deliver sends a presence frame to the subscriptions of a channel, except those of users with
// blocks, who get a frame of their own. In a large channel every user gets the same frame, because
// it names nobody and only counts.
func (f *presenceFanout) deliver(ctx context.Context, p publishedPresence) {
	ch := f.g.cfg.Feed.Hub.Channel(p.channel)
	if ch == nil {
		return
	}
	var all frame.PresenceNotice
	if err := json.Unmarshal(p.frame, &all); err != nil {
		f.g.cfg.Logger.Warn("malformed published presence", "channel_id", p.channel, "err", err)
		return
	}
	blocked := make(map[chat.UserID]struct{})
	if all.OnlineCount <= presence.LargeChannel {
		for _, u := range ch.Users() {
			if f.g.authority.HasBlocks(u) {
				blocked[u] = struct{}{}
			}
		}
	}
	ch.PublishEphemeral(p.frame, chat.UserID{}, blocked)
	if len(blocked) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, presenceReadTimeout)
	defer cancel()
	online, err := f.g.cfg.Presence.Online(ctx, p.channel, "")
	if err != nil {
		f.g.cfg.Logger.Debug("failed to send presence to users with blocks", "channel_id", p.channel, "err", err)
		return
	}
	for u := range blocked {
		joined, left := f.g.withoutBlocked(u, all.Joined), f.g.withoutBlocked(u, all.Left)
		if len(all.Joined)+len(all.Left) > 0 && len(joined)+len(left) == 0 {
			continue
		}
		f.g.sendEphemeral(u, p.channel, frame.PresenceNotice{
			ChannelID: p.channel, OnlineCount: f.g.visibleCount(u, online), Joined: joined, Left: left,
		})
	}
}

// withoutBlocked returns the given users except those with whom user has a block.
func (g *Gateway) withoutBlocked(user chat.UserID, users []chat.UserID) []chat.UserID {
	return slices.DeleteFunc(slices.Clone(users), func(other chat.UserID) bool {
		_, blocked := g.authority.BlockedWith(other)[user]
		return blocked
	})
}

// visibleCount returns how many online users a user may see: all except those with whom the user
// has a block. In a large channel, where presence names nobody, it counts all online users.
func (g *Gateway) visibleCount(user chat.UserID, online presence.Online) int {
	return online.Count - len(online.Users) + len(g.withoutBlocked(user, online.Users))
}

// blocksChanged updates the presence that a user sees in the channels shared with the other users
// of added and lifted blocks. For an added block, the other user appears to go offline. For a
// lifted block, the other user appears if online.
func (g *Gateway) blocksChanged(user chat.UserID, added, lifted []chat.UserID) {
	ctx, cancel := context.WithTimeout(g.ctx, blockChangeTimeout)
	defer cancel()
	for i, other := range slices.Concat(added, lifted) {
		channels, err := g.cfg.Store.Common(ctx, user, other)
		if err != nil {
			g.cfg.Logger.Warn("failed to update presence after a block changed", "user_id", user, "err", err)
			return
		}
		for _, id := range channels {
			g.showPresence(ctx, user, other, id, i < len(added))
		}
	}
}

// showPresence shows a user that another user has gone offline in a channel, or is online there.
func (g *Gateway) showPresence(ctx context.Context, user, other chat.UserID, id chat.ChannelID, gone bool) {
	if !g.isSubscribed(user, id) {
		return
	}
	if gone { // later typing frames of the other user are not delivered, so end the typing state now
		g.sendEphemeral(user, id, frame.TypingNotice{ChannelID: id, UserID: other})
	}
	online, err := g.cfg.Presence.Online(ctx, id, "")
	if err != nil || !slices.Contains(online.Users, other) {
		return // not online, or the channel is large and its presence names nobody
	}
	n := frame.PresenceNotice{ChannelID: id, OnlineCount: g.visibleCount(user, online)}
	if gone {
		n.Left = []chat.UserID{other}
	} else {
		n.Joined = []chat.UserID{other}
	}
	g.sendEphemeral(user, id, n)
}
