// Package hub fans out channel events to the connections of one gateway.
//
// Each channel keeps its newest events in a ring and knows the seq that must come next. Publish
// puts each event into the ring once, in order. Each channel has a fan-out goroutine, which runs
// only while there is something to deliver. It sends everything that has accumulated to each
// subscription as one frame, with the same bytes for all. So a batch holds the events that arrived
// during the previous fan-out: one event in a quiet channel, more under load. No timer is involved.
// Ephemeral frames are queued separately; see Channel.PublishEphemeral.
//
// A subscription has a position: the next seq that it must see. A live subscription is at the
// position of the fan-out. A subscription that lags (after a resume, or because its client is slow)
// is replaying: its connection reads the missing events and passes them to DeliverReplay until it
// has caught up. So no subscription sees a seq twice or misses one.
//
// The package depends on neither WebSockets nor Redis. When a seq is missing, it calls Config.Heal.
package hub

import (
	"sync"
	"time"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// Connection is the part of a connection that the hub needs. Its methods must not block.
type Connection interface {
	User() chat.UserID
	// Prefetch loads into the CPU cache the memory that Deliver and DeliverEphemeral access first.
	// It has no other effect.
	Prefetch()
	// Deliver sends a frame that Config.Join has returned. The frame carries the given number of
	// events.
	Deliver(frame []byte, events int)
	// DeliverEphemeral sends a frame that Config.Join has returned. The connection may drop the
	// frame.
	DeliverEphemeral(frame []byte)
	// Replay asks the connection to read the events that a subscription is missing, and to pass
	// them to Subscription.DeliverReplay.
	Replay(*Subscription)
	// Ended reports that a subscription has ended because the user has left the channel.
	Ended(*Subscription)
	// Resume closes the connection, because a gap could not be healed. Its client reconnects and
	// resumes.
	Resume()
}

// Config holds the functions that the hub calls.
type Config struct {
	// Join combines events into one frame. Every connection receives the same bytes.
	Join func(frames [][]byte) []byte
	// Resync returns the frame that announces a new epoch.
	Resync func(c chat.ChannelID, epoch event.Epoch, lastSeq int64) []byte
	// Heal starts a background task that fetches the events with after < seq ≤ upTo and publishes
	// them. The hub calls Heal again for the same channel only after Publish or HealFailed.
	Heal func(ch *Channel, after, upTo int64)
	// Idle is called when a channel's last subscription has ended.
	Idle func(ch *Channel)
	// Delivered, if set, is called after a batch was sent to live subscriptions. to is the number
	// of these subscriptions, and began is the time at which sending began. It must not block.
	Delivered func(ch *Channel, batch []Event, to int, began time.Time)
	// Count, if set, is called with the number of events and resyncs sent to connections, once per
	// batch for all connections together. The hub holds a channel's lock during the call, so Count
	// must not block or call the hub.
	Count func(deliveries int)
}

// Limits on a channel's ring (ringX) and on one frame (batchX).
const (
	ringEvents  = 512
	ringBytes   = 512 << 10
	batchEvents = 256
	batchBytes  = 64 << 10
)

// Hub holds the channels in which this gateway is live. It is safe for concurrent use.
type Hub struct {
	cfg Config

	mu       sync.RWMutex
	channels map[chat.ChannelID]*Channel

	fanouts sync.WaitGroup
}

func (h *Hub) count(deliveries int) {
	if h.cfg.Count != nil && deliveries > 0 {
		h.cfg.Count(deliveries)
	}
}

// New returns an empty hub.
func New(cfg Config) *Hub {
	return &Hub{cfg: cfg, channels: make(map[chat.ChannelID]*Channel)}
}

// Wait waits until no fan-out is running. The caller must not publish anything during the call.
// Wait does not wait for queued ephemeral frames.
func (h *Hub) Wait() {
	for _, ch := range h.Channels() {
		ch.stopEphemeral()
	}
	h.fanouts.Wait()
}

// Channel returns a channel in which this gateway is live, or nil.
func (h *Hub) Channel(id chat.ChannelID) *Channel {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.channels[id]
}

// Open returns the channel and creates it if necessary; made reports whether the channel was
// created. The channel accepts subscriptions only after Begin.
func (h *Hub) Open(id chat.ChannelID) (ch *Channel, made bool) {
	h.mu.RLock()
	ch = h.channels[id]
	h.mu.RUnlock()
	if ch != nil {
		return ch, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if ch = h.channels[id]; ch != nil {
		return ch, false
	}
	ch = &Channel{hub: h, id: id, ready: make(chan struct{}), lastEvent: time.Now()}
	h.channels[id] = ch
	return ch, true
}

// Forget removes a channel if it still has no subscriptions, and reports whether it has removed the
// channel.
func (h *Hub) Forget(ch *Channel) bool {
	ch.subsMu.Lock()
	defer ch.subsMu.Unlock()
	if len(ch.subs) > 0 || ch.gone {
		return false
	}
	ch.gone = true
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.channels, ch.id)
	return true
}

// Channels returns all channels.
func (h *Hub) Channels() []*Channel {
	h.mu.RLock()
	defer h.mu.RUnlock()
	all := make([]*Channel, 0, len(h.channels))
	for _, ch := range h.channels {
		all = append(all, ch)
	}
	return all
}
