// Package presencefanout delivers published presence frames to the subscriptions of one gateway.
//
// If one of two users has blocked the other, neither may see the other's typing, receipts or
// presence. Typing and receipts frames skip these users during the fan-out (see
// hub.Channel.PublishEphemeral). That does not work for presence frames, because they contain a
// count of all online users. Users with blocks (users who have blocked somebody or are blocked by
// somebody) therefore get separate presence frames. These frames do not name or count the other
// users in those blocks.
//
// The package does not deal with WebSockets. It reaches connections through the hub and through the
// functions in Config.
package presencefanout

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/hub"
	"parley.chat/ws-server/internal/presence"
)

const (
	maxQueued          = 10_000           // maximum number of presence frames in the queue; further frames are dropped
	readTimeout        = 5 * time.Second  // timeout for reading the online users of one channel
	blockChangeTimeout = 30 * time.Second // timeout for updating all channels that two users share
)

// Blocks provides the blocks of users connected to this gateway.
type Blocks interface {
	// AnyBlocks reports whether any connected user has blocked somebody or is blocked by somebody.
	AnyBlocks() bool
	// HasBlocks reports whether the user is connected and has blocked somebody or is blocked by
	// somebody.
	HasBlocks(chat.UserID) bool
	// BlockedWith returns the connected users who have blocked the given user or are blocked by
	// that user.
	BlockedWith(chat.UserID) map[chat.UserID]struct{}
}

// Config holds the dependencies of a Fanout. All fields are required.
type Config struct {
	Hub    *hub.Hub
	Blocks Blocks
	Logger *slog.Logger

	// Online returns the users who are online in a channel; see presence.Presence.
	Online func(ctx context.Context, channel chat.ChannelID, cursor string) (presence.Online, error)
	// CommonChannels returns the channels that both users are members of.
	CommonChannels func(ctx context.Context, one, other chat.UserID) ([]chat.ChannelID, error)
	// Subscribed reports whether a connection of the user is subscribed to the channel through this
	// gateway.
	Subscribed func(chat.UserID, chat.ChannelID) bool
	// SendTo sends an ephemeral frame to those connections of the user that are subscribed to the
	// channel. It must not block.
	SendTo func(chat.UserID, chat.ChannelID, frame.Server)
}

// Fanout delivers presence frames, including those for users with blocks. While there are blocks,
// Run delivers the frames in a single goroutine, in the order in which they were published. A
// Fanout is safe for concurrent use.
type Fanout struct {
	cfg  Config
	wake chan struct{} // capacity 1; a token means that queue is not empty

	mu         sync.Mutex // guards the fields below; no I/O happens while it is held
	queue      []published
	delivering bool // Run is delivering frames that it has removed from queue
}

// published is a presence frame that was published to a channel.
type published struct {
	channel chat.ChannelID
	frame   []byte
}

// New returns a Fanout. It performs no I/O and starts no goroutine.
func New(cfg Config) *Fanout { return &Fanout{cfg: cfg, wake: make(chan struct{}, 1)} }

// Published handles a presence frame that was published to a channel. It does not block.
func (f *Fanout) Published(id chat.ChannelID, text []byte) {
	ch := f.cfg.Hub.Channel(id)
	if ch == nil {
		return
	}
	f.mu.Lock()
	if !f.cfg.Blocks.AnyBlocks() && !f.delivering && len(f.queue) == 0 { // the frame must not overtake queued ones
		f.mu.Unlock()
		ch.PublishEphemeral(text, chat.UserID{}, nil)
		return
	}
	if len(f.queue) < maxQueued {
		f.queue = append(f.queue, published{id, text})
	}
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Run delivers queued frames until ctx is done.
func (f *Fanout) Run(ctx context.Context) {
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
func (f *Fanout) dequeue() []published {
	f.mu.Lock()
	defer f.mu.Unlock()
	waiting := f.queue
	f.queue, f.delivering = nil, len(waiting) > 0
	return waiting
}

// deliver sends a presence frame to the subscriptions of a channel, except the subscriptions of
// users with blocks. Each of these users gets a separate frame. In a large channel every user gets
// the same frame, because it contains only a count and no names.
func (f *Fanout) deliver(ctx context.Context, p published) {
	ch := f.cfg.Hub.Channel(p.channel)
	if ch == nil {
		return
	}
	var all frame.PresenceNotice
	if err := json.Unmarshal(p.frame, &all); err != nil {
		f.cfg.Logger.Warn("malformed presence received", "channel_id", p.channel, "err", err)
		return
	}
	blocked := make(map[chat.UserID]struct{})
	if all.OnlineCount <= presence.LargeChannel {
		for _, u := range ch.Users() {
			if f.cfg.Blocks.HasBlocks(u) {
				blocked[u] = struct{}{}
			}
		}
	}
	ch.PublishEphemeral(p.frame, chat.UserID{}, blocked)
	if len(blocked) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	online, err := f.cfg.Online(ctx, p.channel, "")
	if err != nil {
		f.cfg.Logger.Debug("failed to send presence to users with blocks", "channel_id", p.channel, "err", err)
		return
	}
	for u := range blocked {
		joined, left := f.withoutBlocked(u, all.Joined), f.withoutBlocked(u, all.Left)
		if len(all.Joined)+len(all.Left) > 0 && len(joined)+len(left) == 0 {
			continue
		}
		visible := f.VisibleTo(u, online)
		f.cfg.SendTo(u, p.channel, frame.PresenceNotice{ChannelID: p.channel, OnlineCount: visible.Count, Joined: joined, Left: left})
	}
}

// VisibleTo returns the part of online that a user may see: all users except those whom the user
// has blocked or who have blocked the user. In a large channel, where presence contains no names,
// the count includes all online users.
func (f *Fanout) VisibleTo(user chat.UserID, online presence.Online) presence.Online {
	visible := f.withoutBlocked(user, online.Users)
	return presence.Online{Count: online.Count - len(online.Users) + len(visible), Users: visible, Next: online.Next}
}

// withoutBlocked returns the given users except those whom user has blocked or who have blocked
// user.
func (f *Fanout) withoutBlocked(user chat.UserID, users []chat.UserID) []chat.UserID {
	return slices.DeleteFunc(slices.Clone(users), func(other chat.UserID) bool {
		_, blocked := f.cfg.Blocks.BlockedWith(other)[user]
		return blocked
	})
}

// BlocksChanged updates the presence that a user sees after blocks were added or lifted. added and
// lifted contain the other user in each of these blocks. In each channel that both users share, the
// other user, if online, appears to go offline after a block was added, or to come online after a
// block was lifted.
func (f *Fanout) BlocksChanged(ctx context.Context, user chat.UserID, added, lifted []chat.UserID) {
	ctx, cancel := context.WithTimeout(ctx, blockChangeTimeout)
	defer cancel()
	for i, other := range slices.Concat(added, lifted) {
		channels, err := f.cfg.CommonChannels(ctx, user, other)
		if err != nil {
			f.cfg.Logger.Warn("failed to update presence after a block changed", "user_id", user, "err", err)
			return
		}
		for _, id := range channels {
			f.show(ctx, user, other, id, i < len(added))
		}
	}
}

// show informs a user that another user has gone offline in a channel, or is online there.
func (f *Fanout) show(ctx context.Context, user, other chat.UserID, id chat.ChannelID, gone bool) {
	if !f.cfg.Subscribed(user, id) {
		return
	}
	if gone { // the other user's later typing frames will not be delivered, so end the displayed typing state now
		f.cfg.SendTo(user, id, frame.TypingNotice{ChannelID: id, UserID: other})
	}
	online, err := f.cfg.Online(ctx, id, "")
	if err != nil || !slices.Contains(online.Users, other) {
		return // the other user is not online, or the channel is large and its presence contains no names
	}
	n := frame.PresenceNotice{ChannelID: id, OnlineCount: f.VisibleTo(user, online).Count}
	if gone {
		n.Left = []chat.UserID{other}
	} else {
		n.Joined = []chat.UserID{other}
	}
	f.cfg.SendTo(user, id, n)
}
