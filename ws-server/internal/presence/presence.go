// Package presence tracks which users are online in which channels, across all gateways.
//
// For each channel and gateway, Redis holds the set of users who are connected there. A set is
// written only when a user's first connection joins the channel or the last one leaves it;
// heartbeats and additional connections cost nothing. The users online in a channel are the union
// of the sets of all gateways whose lease is live. If a gateway dies, its users therefore count as
// online only until its lease expires. Another gateway then removes its sets and publishes the
// users who have left.
//
// A connection that has ended still counts for a few seconds. Most clients reconnect within that
// time, and then nothing needs to be published.
//
// Join and Leave are map operations under a lock. Changes are collected for a few milliseconds and
// then written, many users per script call and many channels per round trip. A channel that changes
// constantly is written a few times a second. A Redis outage delays the writes but blocks no
// callers.
//
// Run starts one goroutine that renews the lease and writes the changes, one that publishes
// ephemeral frames, and one for each dead gateway whose sets are being removed. It waits for all of
// them.
package presence

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/platform/redisscript"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
)

// LargeChannel is the number of online users above which a channel is large. In a large channel
// only the count is published, and Publish does nothing. The scripts use the same number.
const LargeChannel = 200

const (
	batchDelay    = 25 * time.Millisecond  // how long the first change waits, so that later changes can share its round trip
	writeInterval = 250 * time.Millisecond // minimum time between two writes for the same channel
	// cleanupRetryAfter is the time after which another gateway repeats an unfinished removal of a
	// dead gateway.
	cleanupRetryAfter = 15 * time.Second
	redisTimeout      = 3 * time.Second // limits one round trip
	retryDelay        = time.Second     // delay before the next attempt if Redis did not respond
)

// Config configures a Presence. If an optional field is zero, its default is used.
type Config struct {
	Redis      redis.UniversalClient // required
	Partitions int                   // required
	Lease      time.Duration         // default 15s; renewed every Lease/3
	Grace      time.Duration         // how long an ended connection still counts as online; default 5s
	Logger     *slog.Logger          // default slog.Default()
}

// Presence tracks this gateway's online users and reads the online users of all gateways. It is
// safe for concurrent use. Construct it, then Run it.
type Presence struct {
	cfg Config

	// mu guards the fields below. It is held only for map operations, because callers of this
	// package may hold their own locks.
	mu         sync.Mutex
	channels   map[chat.ChannelID]*channel
	dirty      []*channel  // the queued channels
	departures []departure // ordered by time
	queue      []item      // items to be published
	clock      clock
	// id identifies this gateway. It is replaced when the lease has expired. Only the maintain
	// goroutine writes it.
	id string

	wake, wakePublisher chan struct{} // each holds at most one token

	// Used only by the maintain goroutine.
	leased  bool
	renewAt time.Time
	failing bool // Redis is not responding, and this has already been logged

	cleanups sync.WaitGroup
}

// channel is a channel in which this gateway has users or recently had users.
type channel struct {
	id           chat.ChannelID
	users        map[chat.UserID]userState
	changed      map[chat.UserID]struct{} // users whose state may differ from their state in Redis
	written      int                      // number of users with written set
	publishCount bool                     // the count must be published
	queued       bool                     // in dirty
	// due is the time of the next write. While the channel is not queued, it is the earliest time
	// at which a write may happen.
	due time.Time
}

// userState is the state of a user in a channel on this gateway.
type userState struct {
	connections int32
	written     bool // the user is in the channel's set in Redis
}

// departure is an ended connection that still counts as online because its grace period has not
// ended.
type departure struct {
	until    time.Time
	user     chat.UserID
	channels []chat.ChannelID
}

// item is an ephemeral item to be published to a channel's topic.
type item struct {
	channel chat.ChannelID
	bytes   []byte
}

// clock estimates the Redis server's time, which determines when leases expire.
type clock struct {
	redis int64 // Redis time in milliseconds at the local time in local
	local time.Time
}

func (c clock) now() int64 {
	if c.local.IsZero() {
		return time.Now().UnixMilli()
	}
	return c.redis + time.Since(c.local).Milliseconds()
}

// New returns a Presence. It does no I/O.
func New(cfg Config) *Presence {
	cfg.Lease, cfg.Grace = cmp.Or(cfg.Lease, 15*time.Second), cmp.Or(cfg.Grace, 5*time.Second)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	return &Presence{
		cfg: cfg, channels: make(map[chat.ChannelID]*channel), id: newID(),
		wake: make(chan struct{}, 1), wakePublisher: make(chan struct{}, 1),
	}
}

// newID returns a new random gateway id.
func newID() string { return strings.ToLower(rand.Text()[:16]) }

// Join records that one of the user's connections has joined a channel.
func (p *Presence) Join(id chat.ChannelID, user chat.UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.joinLocked(id, user)
}

func (p *Presence) joinLocked(id chat.ChannelID, user chat.UserID) {
	ch := p.channelLocked(id)
	pl := ch.users[user]
	pl.connections++
	ch.users[user] = pl
	if pl.connections == 1 {
		p.changedLocked(ch, user)
	}
}

// Leave undoes a Join.
func (p *Presence) Leave(id chat.ChannelID, user chat.UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaveLocked(id, user)
}

// Disconnect undoes the Joins of an ended connection after the grace period. It takes ownership of
// channels.
func (p *Presence) Disconnect(user chat.UserID, channels []chat.ChannelID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.departures = append(p.departures, departure{time.Now().Add(p.cfg.Grace), user, channels})
	if len(p.departures) == 1 {
		signal(p.wake)
	}
}

// endDepartures undoes the Joins of connections whose grace period has ended by the given time. It
// unlocks mu after each connection, because thousands may be due at the same time after an outage.
func (p *Presence) endDepartures(by time.Time) {
	one := func() (more bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.departures) == 0 || p.departures[0].until.After(by) {
			return false
		}
		next := p.departures[0]
		p.departures[0] = departure{}
		p.departures = p.departures[1:]
		for _, id := range next.channels {
			p.leaveLocked(id, next.user)
		}
		return true
	}
	for one() {
	}
}

func (p *Presence) leaveLocked(id chat.ChannelID, user chat.UserID) {
	ch := p.channels[id]
	if ch == nil || ch.users[user].connections == 0 {
		return
	}
	pl := ch.users[user]
	pl.connections--
	ch.users[user] = pl
	if pl.connections == 0 {
		p.changedLocked(ch, user)
	}
}

func (p *Presence) channelLocked(id chat.ChannelID) *channel {
	ch := p.channels[id]
	if ch == nil {
		ch = &channel{id: id, users: make(map[chat.UserID]userState, 1)}
		p.channels[id] = ch
	}
	return ch
}

func (p *Presence) changedLocked(ch *channel, user chat.UserID) {
	if ch.changed == nil {
		ch.changed = make(map[chat.UserID]struct{}, 1)
	}
	ch.changed[user] = struct{}{}
	p.queueLocked(ch, batchDelay)
}

// queueLocked schedules a write of the channel's presence to Redis after the given delay. If the
// minimum interval since the last write has not passed by then, the write waits until it has.
func (p *Presence) queueLocked(ch *channel, after time.Duration) {
	if ch.queued {
		return
	}
	if due := time.Now().Add(after); due.After(ch.due) {
		ch.due = due
	}
	ch.queued = true
	p.dirty = append(p.dirty, ch)
	signal(p.wake)
}

func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// maxQueuedItems limits the number of items waiting to be published. Items beyond the limit are
// dropped, since they lose their value within seconds.
const maxQueuedItems = 10_000

// Publish publishes an ephemeral frame to the subscribers of a channel on all gateways, except to
// the sender's own connections. It queues the frame and does not wait. Frames for a large channel
// are discarded. Frames are published in order and may be lost.
func (p *Presence) Publish(id chat.ChannelID, kind event.Kind, sender chat.UserID, frame []byte) {
	b := event.Item{Kind: kind, Sender: sender, Frame: frame}.Encode()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) < maxQueuedItems {
		p.queue = append(p.queue, item{id, b})
		signal(p.wakePublisher)
	}
}

// Run tracks this gateway's users until ctx is done, and then removes them from Redis.
func (p *Presence) Run(ctx context.Context) error {
	var publisher sync.WaitGroup
	publisher.Go(func() { p.publish(ctx) })
	p.maintain(ctx)
	publisher.Wait()
	p.leave(context.WithoutCancel(ctx))
	p.cleanups.Wait()
	return nil
}

// maintain renews the lease and writes the channels that are due, until ctx is done.
func (p *Presence) maintain(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-timer.C:
		}
		p.endDepartures(time.Now())
		for more := true; more && ctx.Err() == nil; {
			if !time.Now().Before(p.renewAt) {
				p.renew(ctx)
			}
			more = p.leased && p.flush(ctx)
		}
		timer.Reset(max(0, min(time.Until(p.renewAt), p.nextDue())))
	}
}

// nextDue returns the time until the next channel is due or the next grace period ends.
func (p *Presence) nextDue() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := time.Hour
	if len(p.departures) > 0 {
		next = time.Until(p.departures[0].until)
	}
	if !p.leased {
		return next // nothing can be written before the lease is renewed
	}
	for _, ch := range p.dirty {
		next = min(next, time.Until(ch.due))
	}
	return next
}

// publish publishes the queued items. Each round trip sends up to maxCallsPerTrip items.
func (p *Presence) publish(ctx context.Context) {
	for {
		select {
		case <-p.wakePublisher:
		case <-ctx.Done():
		}
		p.mu.Lock()
		queue := p.queue
		p.queue = nil
		p.mu.Unlock()
		for len(queue) > 0 {
			page := queue[:min(len(queue), maxCallsPerTrip)]
			queue = queue[len(page):]
			calls := make([]*redisscript.Call, len(page))
			for i, n := range page {
				part := p.partition(n.channel)
				calls[i] = &redisscript.Call{
					Script: publishScript, Args: []any{n.bytes},
					Keys: []string{rediskey.Topic(part, n.channel), rediskey.OnlineCount(part, n.channel)},
				}
			}
			if err := p.run(ctx, calls); err != nil {
				p.cfg.Logger.Debug("failed to publish ephemeral frames", "frames", len(page), "err", err)
			}
		}
		if ctx.Err() != nil {
			return
		}
	}
}

func (p *Presence) partition(id chat.ChannelID) int { return rediskey.Of(id.UUID, p.cfg.Partitions) }
