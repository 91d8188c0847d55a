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
	maxSilences    = 10_000           // presence frames that wait for their count; more are dropped
	silenceTimeout = 5 * time.Second  // for the stores, per channel
	silenceTotal   = 30 * time.Second // for all common channels of two users
)

// BlockedWith returns the users connected here who learn nothing of what a user does; nil for nearly everybody.
func (g *Gateway) BlockedWith(to chat.UserID) map[chat.UserID]struct{} {
	return g.authority.BlockedWith(to)
}

// silences hands on presence to users with blocks. One goroutine, run, does so, in the order in which it was
// published.
type silences struct {
	g    *Gateway
	wake chan struct{} // holds at most one token: waiting is not empty

	mu      sync.Mutex // held for work on the queue only
	waiting []published
	handing bool // run hands on what it has taken from waiting
}

// published is a presence frame as it was published in a channel.
type published struct {
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
	s := g.silences
	s.mu.Lock()
	if !g.authority.AnyBlocks() && !s.handing && len(s.waiting) == 0 { // else it would overtake what waits
		s.mu.Unlock()
		ch.PublishEphemeral(text, chat.UserID{}, nil)
		return
	}
	if len(s.waiting) < maxSilences {
		s.waiting = append(s.waiting, published{id, text})
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run hands on until ctx is done.
func (s *silences) run(ctx context.Context) {
	for {
		select {
		case <-s.wake:
		case <-ctx.Done():
			return
		}
		for waiting := s.take(); len(waiting) > 0; waiting = s.take() {
			for _, p := range waiting {
				if ctx.Err() != nil {
					return
				}
				s.hand(ctx, p)
			}
		}
	}
}

// take returns what waits. When that is nothing, frames need not wait any more.
func (s *silences) take() []published {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := s.waiting
	s.waiting, s.handing = nil, len(waiting) > 0
	return waiting
}

// hand hands a presence frame to the subscriptions of a channel, and to those of users with blocks one of
// their own. In a large channel the frame is a count of strangers, the same for all.
func (s *silences) hand(ctx context.Context, p published) {
	ch := s.g.cfg.Feed.Hub.Channel(p.channel)
	if ch == nil {
		return
	}
	var all frame.PresenceNotice
	if err := json.Unmarshal(p.frame, &all); err != nil {
		s.g.cfg.Logger.Warn("published presence not understood", "channel_id", p.channel, "err", err)
		return
	}
	deaf := make(map[chat.UserID]struct{})
	if all.OnlineCount <= presence.LargeChannel {
		for _, u := range ch.Users() {
			if s.g.authority.HasBlocks(u) {
				deaf[u] = struct{}{}
			}
		}
	}
	ch.PublishEphemeral(p.frame, chat.UserID{}, deaf)
	if len(deaf) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, silenceTimeout)
	defer cancel()
	online, err := s.g.cfg.Presence.Online(ctx, p.channel, "")
	if err != nil {
		s.g.cfg.Logger.Debug("presence not handed to users with blocks", "channel_id", p.channel, "err", err)
		return
	}
	for u := range deaf {
		joined, left := s.g.heard(u, all.Joined), s.g.heard(u, all.Left)
		if len(all.Joined)+len(all.Left) > 0 && len(joined)+len(left) == 0 {
			continue
		}
		s.g.offerTo(u, p.channel, frame.PresenceNotice{
			ChannelID: p.channel, OnlineCount: s.g.countFor(u, online), Joined: joined, Left: left,
		})
	}
}

// heard returns the users of a list with whom a user has no block.
func (g *Gateway) heard(user chat.UserID, of []chat.UserID) []chat.UserID {
	return slices.DeleteFunc(slices.Clone(of), func(other chat.UserID) bool {
		_, deaf := g.authority.BlockedWith(other)[user]
		return deaf
	})
}

// countFor returns how many people a user sees online: all but those with whom the user has a block. In a large
// channel, where nobody is named, it is everybody.
func (g *Gateway) countFor(user chat.UserID, online presence.Online) int {
	return online.Count - len(online.Users) + len(g.heard(user, online.Users))
}

// offerTo offers an ephemeral frame to the connections of a user that are subscribed to a channel.
func (g *Gateway) offerTo(user chat.UserID, channel chat.ChannelID, f frame.Server) {
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
	ctx, cancel := context.WithTimeout(g.ctx, silenceTotal)
	defer cancel()
	for i, other := range slices.Concat(added, lifted) {
		channels, err := g.cfg.Store.Common(ctx, user, other)
		if err != nil {
			g.cfg.Logger.Warn("presence not changed after a block", "user_id", user, "err", err)
			return
		}
		for _, id := range channels {
			g.showTo(ctx, user, other, id, i < len(added))
		}
	}
}

// showTo shows a user that another one is gone from a channel, or is there.
func (g *Gateway) showTo(ctx context.Context, user, other chat.UserID, id chat.ChannelID, gone bool) {
	if !slices.ContainsFunc(g.clientsOf(user), func(c *client) bool { return c.subscription(id) != nil }) {
		return
	}
	if gone { // the end of what they type will not be told
		g.offerTo(user, id, frame.TypingNotice{ChannelID: id, UserID: other})
	}
	online, err := g.cfg.Presence.Online(ctx, id, "")
	if err != nil || !slices.Contains(online.Users, other) {
		return // not online, or in a large channel, where nobody is named
	}
	n := frame.PresenceNotice{ChannelID: id, OnlineCount: g.countFor(user, online)}
	if gone {
		n.Left = []chat.UserID{other}
	} else {
		n.Joined = []chat.UserID{other}
	}
	g.offerTo(user, id, n)
}
