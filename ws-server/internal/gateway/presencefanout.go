package gateway

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/connection"
	"parley.chat/ws-server/internal/presence"
)

// Between two users with a block there is silence: neither learns when the other types, reads, comes online or
// goes. Typing and receipts are left out of what a fan-out hands to such a user (hub.Channel.Offer). Presence
// cannot be: its count has everybody. So users with blocks get a presence of their own, counted without those
// whom they may not hear of.

const (
	maxQueuedPresence   = 10_000           // presence frames that wait for their count; more are dropped
	presenceReadTimeout = 5 * time.Second  // for the stores, per channel
	blockChangeTimeout  = 30 * time.Second // for all common channels of two users
)

// BlockedWith returns the users connected here who learn nothing of what a user does; nil for nearly everybody.
func (g *Gateway) BlockedWith(to chat.UserID) map[chat.UserID]struct{} {
	return g.authority.BlockedWith(to)
}

// presenceFanout hands on presence to users with blocks. One goroutine, run, does so, in the order in which it was
// published.
type presenceFanout struct {
	g    *Gateway
	wake chan struct{} // holds at most one token: waiting is not empty

	mu         sync.Mutex // held for work on the queue only
	queue      []publishedPresence
	delivering bool // run hands on what it has taken from waiting
}

// publishedPresence is a presence frame as it was published in a channel.
type publishedPresence struct {
	channel chat.ChannelID
	frame   []byte
}

// Presence takes what was published of who has come online and gone. It is called by the feed and does not
// block.
func (g *Gateway) Presence(id chat.ChannelID, text []byte) {
	ch := g.cfg.Feed.Hub.Channel(id)
	if ch == nil {
		return
	}
	f := g.presenceFanout
	f.mu.Lock()
	if !g.authority.AnyBlocks() && !f.delivering && len(f.queue) == 0 { // else it would overtake what waits
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

// run hands on until ctx is done.
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

// dequeue returns what waits. When that is nothing, frames need not wait any more.
func (f *presenceFanout) dequeue() []publishedPresence {
	f.mu.Lock()
	defer f.mu.Unlock()
	waiting := f.queue
	f.queue, f.delivering = nil, len(waiting) > 0
	return waiting
}

// deliver hands a presence frame to the subscriptions of a channel, and to those of users with blocks one of
// their own. In a large channel the frame is a count of strangers, the same for all.
func (f *presenceFanout) deliver(ctx context.Context, p publishedPresence) {
	ch := f.g.cfg.Feed.Hub.Channel(p.channel)
	if ch == nil {
		return
	}
	var all frame.PresenceNotice
	if err := json.Unmarshal(p.frame, &all); err != nil {
		f.g.cfg.Logger.Warn("published presence not understood", "channel_id", p.channel, "err", err)
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
		f.g.cfg.Logger.Debug("presence not handed to users with blocks", "channel_id", p.channel, "err", err)
		return
	}
	for u := range blocked {
		joined, left := f.g.withoutBlocked(u, all.Joined), f.g.withoutBlocked(u, all.Left)
		if len(all.Joined)+len(all.Left) > 0 && len(joined)+len(left) == 0 {
			continue
		}
		f.g.offerToUser(u, p.channel, frame.PresenceNotice{
			ChannelID: p.channel, OnlineCount: f.g.visibleCount(u, online), Joined: joined, Left: left,
		})
	}
}

// withoutBlocked returns the users of a list with whom a user has no block.
func (g *Gateway) withoutBlocked(user chat.UserID, users []chat.UserID) []chat.UserID {
	return slices.DeleteFunc(slices.Clone(users), func(other chat.UserID) bool {
		_, blocked := g.authority.BlockedWith(other)[user]
		return blocked
	})
}

// visibleCount returns how many people a user sees online: all but those with whom the user has a block. In a large
// channel, where nobody is named, it is everybody.
func (g *Gateway) visibleCount(user chat.UserID, online presence.Online) int {
	return online.Count - len(online.Users) + len(g.withoutBlocked(user, online.Users))
}

// offerToUser offers an ephemeral frame to the connections of a user that are subscribed to a channel.
func (g *Gateway) offerToUser(user chat.UserID, channel chat.ChannelID, f frame.Server) {
	text := connection.Text(frame.Encode(f))
	for _, c := range g.clientsOf(user) {
		if c.subscription(channel) != nil {
			c.out.SendEphemeral(text)
		}
	}
}

// blocksChanged corrects the presence that a user sees in the channels shared with others: users of a new block
// appear as gone, and users of a lifted block appear if they are online.
func (g *Gateway) blocksChanged(user chat.UserID, added, lifted []chat.UserID) {
	ctx, cancel := context.WithTimeout(g.ctx, blockChangeTimeout)
	defer cancel()
	for i, other := range slices.Concat(added, lifted) {
		channels, err := g.cfg.Store.Common(ctx, user, other)
		if err != nil {
			g.cfg.Logger.Warn("presence not changed after a block", "user_id", user, "err", err)
			return
		}
		for _, id := range channels {
			g.showPresence(ctx, user, other, id, i < len(added))
		}
	}
}

// showPresence shows a user that another one is gone from a channel, or is there.
func (g *Gateway) showPresence(ctx context.Context, user, other chat.UserID, id chat.ChannelID, gone bool) {
	if !slices.ContainsFunc(g.clientsOf(user), func(c *client) bool { return c.subscription(id) != nil }) {
		return
	}
	if gone { // the end of what they type will not be told
		g.offerToUser(user, id, frame.TypingNotice{ChannelID: id, UserID: other})
	}
	online, err := g.cfg.Presence.Online(ctx, id, "")
	if err != nil || !slices.Contains(online.Users, other) {
		return // not online, or in a large channel, where nobody is named
	}
	n := frame.PresenceNotice{ChannelID: id, OnlineCount: g.visibleCount(user, online)}
	if gone {
		n.Left = []chat.UserID{other}
	} else {
		n.Joined = []chat.UserID{other}
	}
	g.offerToUser(user, id, n)
}
