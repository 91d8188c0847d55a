// Package feed receives the messages that Redis publishes. It passes the events of the gateway's
// live channels to the hub, and notices for the gateway's users to the gateway. Pub/sub may lose
// messages, so the feed recovers lost events. It fills a gap from the tail or from PostgreSQL. It
// reads a channel's counter to detect that the channel's newest event was lost.
//
// The package does not deal with sockets.
package feed

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/logconn"
	"parley.chat/internal/eventlog/replay"
	"parley.chat/internal/eventlog/subscriber"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/notice"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/ws-server/internal/hub"
)

// History reads events that have left Redis.
type History interface {
	// Range returns the stored events with from ≤ seq ≤ to, in ascending order. The result may have
	// holes.
	Range(ctx context.Context, channel chat.ChannelID, from, to int64) ([]frame.Event, error)
	// MaxSeq returns the highest stored seq, or 0 if there is none.
	MaxSeq(ctx context.Context, channel chat.ChannelID) (int64, error)
}

// Config configures a Feed. Every field is required except Stored and Lost.
type Config struct {
	Log         *eventlog.Log
	Connections *logconn.Connections // carry the subscriptions; the caller runs them
	History     History
	// Stored, if set, reads the highest stored seq of each channel. The feed compares it with the
	// channel's counter in Redis when a subscription is confirmed.
	Stored eventlog.Stored
	Hub    hub.Config // New sets Heal and Idle
	Notice func(notice.Notice)
	// Receipts is called with each published receipts frame (event.KindReceipts), and Presence with
	// each published presence frame (event.KindPresence). They must not block.
	Receipts, Presence func(chat.ChannelID, []byte)
	// Lost, if set, is called with the number of seqs in a channel that neither Redis nor
	// PostgreSQL holds.
	Lost func(seqs int64)
	// BlockedWith returns the users who must not receive a sender's ephemeral frames.
	BlockedWith func(sender chat.UserID) map[chat.UserID]struct{}
	// Erased returns the users whose names the feed removes from the events that it reads.
	Erased func(context.Context) map[chat.UserID]struct{}
	Logger *slog.Logger
}

// Feed receives the messages that Redis publishes and passes their events to its hub. Construct it,
// then Run it.
type Feed struct {
	cfg  Config
	Hub  *hub.Hub
	subs []*subscriber.Subscriber // indexed by connection
	// reads coalesces concurrent reads of the same range (singleflight).
	reads singleflight.Group

	wakeCheck chan struct{} // capacity 1; a token means that toCheck may contain channels
	mu        sync.Mutex
	// toCheck holds channels whose counter must be read, because their subscription was confirmed.
	toCheck map[chat.ChannelID]struct{}
	// uncompared holds channels whose counters could not be compared because PostgreSQL did not
	// respond. PostgreSQL is not queried again before askStoredAt.
	uncompared  map[chat.ChannelID]struct{}
	askStoredAt time.Time
	missed      map[channelSeq]time.Time         // time at which a seq was first found to be missing from both Redis and PostgreSQL
	holes       map[chat.ChannelID][]replay.Loss // the holes found so far
	holesCount  int
	users       map[string]*watched         // by topic
	seeding     map[chat.ChannelID]struct{} // channels whose counters are being created

	heals sync.WaitGroup
	ctx   context.Context // canceled when Run returns; used for the background work that the hub requests
	end   context.CancelFunc
}

// watched is the state of this gateway's subscription to a user's topic.
type watched struct {
	count     int
	confirmed chan struct{}
	once      sync.Once
}

// New returns a feed and its hub.
func New(cfg Config) *Feed {
	f := &Feed{
		cfg: cfg, wakeCheck: make(chan struct{}, 1),
		toCheck: make(map[chat.ChannelID]struct{}), uncompared: make(map[chat.ChannelID]struct{}),
		missed: make(map[channelSeq]time.Time), holes: make(map[chat.ChannelID][]replay.Loss), users: make(map[string]*watched), seeding: make(map[chat.ChannelID]struct{}),
	}
	f.ctx, f.end = context.WithCancel(context.Background())
	cfg.Hub.Heal, cfg.Hub.Idle = f.heal, f.idle
	f.Hub = hub.New(cfg.Hub)
	f.subs = subscriber.Over(cfg.Connections, func() subscriber.Sink { return &sink{Feed: f} })
	return f
}

// sub returns the Subscriber for the topics of a partition.
func (f *Feed) sub(p int) *subscriber.Subscriber { return f.subs[f.cfg.Connections.Of(p)] }

// Run passes messages from Redis to the hub until ctx is done.
func (f *Feed) Run(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, s := range f.subs {
		g.Go(func() error { return s.Run(gctx) })
	}
	g.Go(func() error { return f.checkHeads(gctx) })
	g.Go(func() error { return f.checkQuiet(gctx) })
	err := g.Wait()
	f.end()
	f.heals.Wait()
	f.Hub.Wait()
	return err
}

// Join returns a channel in which this gateway is live: the gateway is subscribed to the channel's
// topic and knows the channel's head. Join waits for Redis, and for PostgreSQL if the channel has
// no counter in Redis.
func (f *Feed) Join(ctx context.Context, id chat.ChannelID) (*hub.Channel, error) {
	ch, made := f.Hub.Open(id)
	if made {
		p := f.cfg.Log.Partition(id.UUID)
		f.sub(p).Subscribe(rediskey.Topic(p, id))
	}
	select {
	case <-ch.Ready():
		return ch, nil
	default:
	}
	select {
	case <-ch.Ready():
		return ch, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("go live in channel %s: %w", id, ctx.Err())
	}
}

// idleTimeout is how long a channel without subscriptions stays live. Users often reload the page
// and subscribe again.
const idleTimeout = 30 * time.Second

// idle unsubscribes from a channel if it still has no subscriptions after idleTimeout.
func (f *Feed) idle(ch *hub.Channel) {
	time.AfterFunc(idleTimeout, func() {
		if f.Hub.Forget(ch) {
			p := f.cfg.Log.Partition(ch.ID().UUID)
			f.sub(p).Unsubscribe(rediskey.Topic(p, ch.ID()))
			if f.Hub.Channel(ch.ID()) != nil { // it was opened again in the meantime
				f.sub(p).Subscribe(rediskey.Topic(p, ch.ID()))
			}
		}
	})
}

// Watch subscribes to a user's topic. Once it has returned nil, the gateway misses none of the
// user's notices while the subscription lasts. Each Watch must be paired with an Unwatch, even if
// it returned an error.
func (f *Feed) Watch(ctx context.Context, user chat.UserID) error {
	p := f.cfg.Log.Partition(user.UUID)
	topic := rediskey.UserTopic(p, user)
	f.mu.Lock()
	w := f.users[topic]
	if w == nil {
		w = &watched{confirmed: make(chan struct{})}
		f.users[topic] = w
		f.sub(p).Subscribe(topic)
	}
	w.count++
	f.mu.Unlock()
	select {
	case <-w.confirmed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("follow user %s: %w", user, ctx.Err())
	}
}

// Unwatch undoes a Watch.
func (f *Feed) Unwatch(user chat.UserID) {
	p := f.cfg.Log.Partition(user.UUID)
	topic := rediskey.UserTopic(p, user)
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.users[topic]
	if w.count--; w.count == 0 {
		delete(f.users, topic)
		f.sub(p).Unsubscribe(topic)
	}
}

// sink receives the messages of one Subscriber. It holds the channels with events that have not
// been fanned out yet.
type sink struct {
	*Feed
	pending []*hub.Channel
}

// Received handles a published message. It never changes the payload, because frames are slices of
// it.
func (s *sink) Received(topic string, payload []byte) {
	if id, ok := channelOf(topic); ok {
		s.received(id, payload)
		return
	}
	n, err := notice.Decode(payload)
	if err != nil {
		s.cfg.Logger.Warn("invalid notice received", "topic", topic, "err", err)
		return
	}
	s.cfg.Notice(n)
}

func (s *sink) received(id chat.ChannelID, payload []byte) {
	ch := s.Hub.Channel(id)
	if ch == nil {
		return
	}
	var room [1]hub.Event
	events := room[:0]
	err := event.DecodeItems(payload, func(it event.Item) {
		if it.Kind == event.KindReceipts {
			s.cfg.Receipts(id, it.Frame)
			return
		}
		if it.Ephemeral() {
			if it.Kind == event.KindPresence {
				s.cfg.Presence(id, it.Frame)
				return
			}
			ch.PublishEphemeral(it.Frame, it.Sender, s.cfg.BlockedWith(it.Sender))
			return
		}
		events = append(events, fromItem(it))
	})
	if err != nil {
		// The events that were not decoded leave a gap, which is filled from Redis or PostgreSQL.
		s.cfg.Logger.Warn("invalid item received", "channel_id", id, "err", err)
	}
	if len(events) > 0 && ch.Add(events) {
		s.pending = append(s.pending, ch)
	}
}

// Flush fans out the events that were received in one read from Redis.
func (s *sink) Flush() {
	if len(s.pending) > 0 {
		s.Hub.FanOut(s.pending)
		clear(s.pending)
		s.pending = s.pending[:0]
	}
}

// Confirmed records that the subscription to a topic is established.
func (s *sink) Confirmed(topic string) {
	f := s.Feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if w := f.users[topic]; w != nil {
		w.once.Do(func() { close(w.confirmed) })
		return
	}
	if id, ok := channelOf(topic); ok {
		f.toCheck[id] = struct{}{}
		f.wakeChecker()
	}
}

// channelOf returns the channel that a topic belongs to. It returns false if the topic belongs to
// no channel.
func channelOf(topic string) (chat.ChannelID, bool) {
	const id = 36
	if len(topic) < id || !strings.Contains(topic, "}:topic:") {
		return chat.ChannelID{}, false
	}
	c, err := chat.ParseChannelID(topic[len(topic)-id:])
	return c, err == nil
}

func fromItem(it event.Item) hub.Event {
	e := hub.Event{Seq: it.Seq, Epoch: it.Epoch, Kind: it.Kind, Frame: it.Frame}
	if it.Kind == event.MemberLeft {
		if full, err := frame.DecodeEvent(it.Frame); err == nil && full.UserID != nil {
			e.Left = *full.UserID
		}
	}
	return e
}
