// Package presence is who is online in which channel, over all gateways.
//
// Redis holds, per channel and gateway, the set of users who are connected there. It is written when the
// first connection of a user in a channel comes or the last goes, and by nothing else: neither heartbeats
// nor further connections cost anything. Who is online is the union over the gateways whose lease is
// live, so a gateway that dies takes its users along when its lease ends. The others then clear its
// sets away and publish who has left.
//
// A connection that ends still counts for some seconds: most come again at once, and nobody needs to hear of it.
//
// Join and Leave do map work under a lock. What has changed is gathered for some milliseconds and then
// written, many users per call and many channels per round trip; a channel that changes all the time is
// written a few times a second. Redis being away delays this and stops nobody.
//
// Goroutines: one that keeps the lease and writes, one that publishes, and one for each dead gateway
// that is being cleared away. Run starts them and waits for them.
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

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
)

// LargeChannel is the number of users online above which a channel's changes are told as a count alone, and
// publications (typing) are not made. The scripts have the same number.
const LargeChannel = 200

const (
	gather     = 25 * time.Millisecond  // how long a first change waits for company
	spacing    = 250 * time.Millisecond // between two writes of one channel
	clearAgain = 15 * time.Second       // after which another gateway takes over clearing a dead one away
	patience   = 3 * time.Second        // for one round trip
	tryAgain   = time.Second            // after Redis did not answer
)

// Config configures a Presence. A zero optional field means its default.
type Config struct {
	Redis      redis.UniversalClient // required
	Partitions int                   // required
	Lease      time.Duration         // default 15s; renewed three times in that time
	Grace      time.Duration         // default 5s; for so long a connection that has ended counts
	Logger     *slog.Logger          // default slog.Default()
}

// Presence is this gateway's part of it. It is safe for concurrent use. Construct it, then Run it.
type Presence struct {
	cfg Config

	// mu guards what follows, and is held for map work alone. Callers may hold locks of their own.
	mu       sync.Mutex
	channels map[chat.ChannelID]*channel
	dirty    []*channel // those that are queued
	parted   []parting  // the first to end first
	news     []item     // to be published
	clock    clock
	id       string // of this gateway as long as its lease lasts; a new one after that. Written by the keeper.

	wake, wakeNews chan struct{} // each holds at most one token

	// The keeper goroutine's own.
	leased  bool
	renewAt time.Time
	failing bool // Redis does not answer, and that was logged

	clearing sync.WaitGroup
}

// channel is a channel in which this gateway has users, or had a moment ago.
type channel struct {
	id      chat.ChannelID
	users   map[chat.UserID]place
	changed map[chat.UserID]struct{} // whose place may not be what Redis has
	written int                      // how many places are
	tell    bool                     // the count must be told
	queued  bool                     // in dirty
	due     time.Time                // when it may be written; after the last write, when it may be again
}

// place is a user in a channel on this gateway.
type place struct {
	connections int32
	written     bool // Redis has it
}

// parting is a connection that has ended and still counts.
type parting struct {
	until    time.Time
	user     chat.UserID
	channels []chat.ChannelID
}

// item is an ephemeral item on its way to a channel's topic.
type item struct {
	channel chat.ChannelID
	bytes   []byte
}

// clock tells Redis' time, by which leases end.
type clock struct {
	redis int64 // ms, at local
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
		wake: make(chan struct{}, 1), wakeNews: make(chan struct{}, 1),
	}
}

// newID returns a gateway id: no two incarnations share one.
func newID() string { return strings.ToLower(rand.Text()[:16]) }

// Join counts a connection of user in a channel.
func (p *Presence) Join(id chat.ChannelID, user chat.UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
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

// Disconnect undoes the Joins of a connection that has ended, after the grace. It keeps channels.
func (p *Presence) Disconnect(user chat.UserID, channels []chat.ChannelID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parted = append(p.parted, parting{time.Now().Add(p.cfg.Grace), user, channels})
	if len(p.parted) == 1 {
		poke(p.wake)
	}
}

// release undoes the Joins of connections whose grace is over by then. It lets others at the map between
// one connection and the next: after an outage thousands are due together.
func (p *Presence) release(by time.Time) {
	one := func() (more bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.parted) == 0 || p.parted[0].until.After(by) {
			return false
		}
		next := p.parted[0]
		p.parted[0] = parting{}
		p.parted = p.parted[1:]
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
		ch = &channel{id: id, users: make(map[chat.UserID]place, 1)}
		p.channels[id] = ch
	}
	return ch
}

func (p *Presence) changedLocked(ch *channel, user chat.UserID) {
	if ch.changed == nil {
		ch.changed = make(map[chat.UserID]struct{}, 1)
	}
	ch.changed[user] = struct{}{}
	p.queueLocked(ch, gather)
}

// queueLocked has a channel written after the given time, or when it may be written again if that is
// later.
func (p *Presence) queueLocked(ch *channel, after time.Duration) {
	if ch.queued {
		return
	}
	if due := time.Now().Add(after); due.After(ch.due) {
		ch.due = due
	}
	ch.queued = true
	p.dirty = append(p.dirty, ch)
	poke(p.wake)
}

func poke(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// maxNews bounds the queue of publications. What is over it is dropped: it is news of the moment.
const maxNews = 10_000

// Publish publishes an ephemeral frame to the subscribers of a channel on all gateways, those of sender
// excepted, unless the channel is large. It does not wait; frames are published in order, and may be lost.
func (p *Presence) Publish(id chat.ChannelID, kind event.Kind, sender chat.UserID, frame []byte) {
	b := event.Item{Kind: kind, Sender: sender, Frame: frame}.Encode()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.news) < maxNews {
		p.news = append(p.news, item{id, b})
		poke(p.wakeNews)
	}
}

// Run keeps this gateway's part until ctx is done, and then takes it away.
func (p *Presence) Run(ctx context.Context) error {
	var publisher sync.WaitGroup
	publisher.Go(func() { p.publish(ctx) })
	p.keep(ctx)
	publisher.Wait()
	p.leave(context.WithoutCancel(ctx))
	p.clearing.Wait()
	return nil
}

// keep renews the lease and writes what is due until ctx is done.
func (p *Presence) keep(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-timer.C:
		}
		p.release(time.Now())
		for more := true; more && ctx.Err() == nil; {
			if !time.Now().Before(p.renewAt) {
				p.renew(ctx)
			}
			more = p.leased && p.flush(ctx)
		}
		timer.Reset(max(0, min(time.Until(p.renewAt), p.nextDue())))
	}
}

// nextDue returns how long until a channel is due, or a connection's grace is over.
func (p *Presence) nextDue() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := time.Hour
	if len(p.parted) > 0 {
		next = time.Until(p.parted[0].until)
	}
	if !p.leased {
		return next // the renewal comes first
	}
	for _, ch := range p.dirty {
		next = min(next, time.Until(ch.due))
	}
	return next
}

// publish makes the publications, all that wait in one round trip.
func (p *Presence) publish(ctx context.Context) {
	for {
		select {
		case <-p.wakeNews:
		case <-ctx.Done():
		}
		p.mu.Lock()
		news := p.news
		p.news = nil
		p.mu.Unlock()
		for len(news) > 0 {
			page := news[:min(len(news), callsAtOnce)]
			news = news[len(page):]
			calls := make([]*call, len(page))
			for i, n := range page {
				part := p.partition(n.channel)
				calls[i] = &call{
					script: publishScript, args: []any{n.bytes},
					keys: []string{rediskey.Topic(part, n.channel), rediskey.OnlineCount(part, n.channel)},
				}
			}
			if err := p.run(ctx, calls); err != nil {
				p.cfg.Logger.Debug("ephemeral frames not published", "frames", len(page), "err", err)
			}
		}
		if ctx.Err() != nil {
			return
		}
	}
}

func (p *Presence) partition(id chat.ChannelID) int { return rediskey.Of(id.UUID, p.cfg.Partitions) }
