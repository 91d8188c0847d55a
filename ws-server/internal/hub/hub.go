// Package hub fans the events of channels out to the connections of one gateway.
//
// Each channel keeps its newest events in a ring and knows the seq that must come next. Publish puts
// events into the ring, in order and once each; a fan-out goroutine per channel, alive only while there
// is something to deliver, hands what has gathered to every subscription as one frame, the same bytes
// to each. So a batch is as large as what arrived during the last fan-out: one event when it is quiet,
// ever more under load, and never a timer. Ephemeral frames are another matter, see Channel.PublishEphemeral.
//
// A subscription has a cursor: the next seq it must see. A live one stands where the fan-out is; one
// that lags (a resume, a slow page) is replaying, and its connection pulls what it lacks with Read until
// it has caught up. So nobody sees a seq twice or misses one, whatever happens in between.
//
// The hub knows no WebSocket and no Redis. When a seq is missing it asks its Healer.
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
	// Prefetch reads what Deliver and Offer will need, so that it is in the cache then. It changes nothing.
	Prefetch()
	// Deliver takes a frame, as Config.Join made it, that carries so many events.
	Deliver(frame []byte, events int)
	// DeliverEphemeral takes a frame, as Config.Join made it, that may be dropped.
	DeliverEphemeral(frame []byte)
	// Replay asks the connection to pull what a subscription lacks, see Subscription.Read.
	Replay(*Subscription)
	// Ended tells that a subscription is over: the user has left the channel, or it is gone.
	Ended(*Subscription)
	// Resume closes the connection so that its client comes again: a gap could not be healed.
	Resume()
}

// Config says what the hub needs of its surroundings.
type Config struct {
	// Join makes one frame of events; the same bytes go to every connection.
	Join func(frames [][]byte) []byte
	// Resync makes the frame that tells of a new epoch.
	Resync func(c chat.ChannelID, epoch event.Epoch, lastSeq int64) []byte
	// Heal fetches the events after and up to, and publishes them, in the background. The hub asks
	// once and again only after Publish or HealFailed.
	Heal func(ch *Channel, after, upTo int64)
	// Idle tells that a channel has lost its last subscription.
	Idle func(ch *Channel)
	// Delivered, if set, is told of a batch that went to so many live subscriptions, and when that began. It
	// must not block.
	Delivered func(ch *Channel, batch []Event, to int, began time.Time)
	// Count, if set, is told how many events, and resyncs, were handed to connections, those of a batch to all
	// of them at once. It is called with a channel's lock held: it must not block, nor call the hub.
	Count func(deliveries int)
}

// Bounds of a channel's ring and of one frame.
const (
	ringEvents  = 512
	ringBytes   = 512 << 10
	batchEvents = 256
	batchBytes  = 64 << 10
)

// Hub holds the channels that this gateway is live in. It is safe for concurrent use.
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

// Wait returns when no fan-out is under way. Nothing may be published meanwhile. Ephemeral frames that wait
// for company are not waited for.
func (h *Hub) Wait() {
	for _, ch := range h.Channels() {
		ch.stopOffers()
	}
	h.fanouts.Wait()
}

// Channel returns a channel that the gateway is live in, or nil.
func (h *Hub) Channel(id chat.ChannelID) *Channel {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.channels[id]
}

// Open returns the channel, made if need be; made reports so. Until Begin it takes no subscriptions.
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

// Forget drops a channel that still has no subscriptions and reports whether it did.
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
