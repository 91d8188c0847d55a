// Package feed brings what Redis publishes to the hub: the events of the channels that this gateway is
// live in, and the notices of its users. It looks after what pub/sub may lose: a gap is healed from the
// tail, then PostgreSQL; a lost last event is found by looking at the counters.
//
// It knows no sockets.
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
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/notice"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/ws-server/internal/hub"
)

// History reads events that have left Redis.
type History interface {
	// Range returns the stored events with from ≤ seq ≤ to, ascending; those that there are.
	Range(ctx context.Context, channel chat.ChannelID, from, to int64) ([]frame.Event, error)
	// MaxSeq returns the highest stored seq, 0 for none.
	MaxSeq(ctx context.Context, channel chat.ChannelID) (int64, error)
}

// Config says what the feed works with. All fields are required, except that without Stored nothing is compared.
type Config struct {
	Log         *eventlog.Log
	Connections *eventlog.Connections // to subscribe over; somebody else runs them
	History     History
	Stored      eventlog.Stored // what Redis is compared with when the gateway goes live in a channel, or does so anew
	Hub         hub.Config      // Heal and Idle are the feed's own
	Notice      func(notice.Notice)
	// Receipts takes the frame of an item of event.KindReceipts, and Presence that of one of
	// event.KindPresence. They must not block.
	Receipts, Presence func(chat.ChannelID, []byte)
	// Lost, if set, is told how many seqs of a channel were found to be in no store.
	Lost func(seqs int64)
	// BlockedWith returns the users to whom ephemeral frames of a sender do not go.
	BlockedWith func(sender chat.UserID) map[chat.UserID]struct{}
	// Erased returns the users whose names are left out of what is read again.
	Erased func(context.Context) map[chat.UserID]struct{}
	Logger *slog.Logger
}

// Feed is the way from Redis to the hub. Construct it, then Run it.
type Feed struct {
	cfg  Config
	Hub  *hub.Hub
	subs []*eventlog.Subscriber // by connection
	// flights makes many needs for one range one read.
	flights singleflight.Group

	heads chan struct{} // a token: look at toCheck
	mu    sync.Mutex
	// toCheck holds channels whose counter must be looked at: newly confirmed, or confirmed again.
	toCheck map[chat.ChannelID]struct{}
	// uncompared holds channels that PostgreSQL gave no answer about, which is not asked before askAgain.
	uncompared map[chat.ChannelID]struct{}
	askAgain   time.Time
	missed     map[place]time.Time       // when a seq was first found to be in no store
	holes      map[chat.ChannelID][]hole // that were found
	holesCount int
	users      map[string]*watched         // by topic
	seeding    map[chat.ChannelID]struct{} // channels whose counter is being made

	heals sync.WaitGroup
	ctx   context.Context // of Run: what the background work of the hub's calls lives under
	end   context.CancelFunc
}

// watched is a user whose topic this gateway follows.
type watched struct {
	count     int
	confirmed chan struct{}
	once      sync.Once
}

// New returns a feed and its hub.
func New(cfg Config) *Feed {
	f := &Feed{
		cfg: cfg, heads: make(chan struct{}, 1),
		toCheck: make(map[chat.ChannelID]struct{}), uncompared: make(map[chat.ChannelID]struct{}),
		missed: make(map[place]time.Time), holes: make(map[chat.ChannelID][]hole), users: make(map[string]*watched), seeding: make(map[chat.ChannelID]struct{}),
	}
	f.ctx, f.end = context.WithCancel(context.Background())
	cfg.Hub.Heal, cfg.Hub.Idle = f.heal, f.idle
	f.Hub = hub.New(cfg.Hub)
	f.subs = cfg.Connections.Subscribers(func() eventlog.Sink { return &sink{Feed: f} })
	return f
}

// sub returns the Subscriber of a partition's topics.
func (f *Feed) sub(p int) *eventlog.Subscriber { return f.subs[f.cfg.Connections.Of(p)] }

// Run feeds the hub until ctx is done.
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

// Join returns the channel, live: this gateway hears its topic and knows its head. It waits for Redis,
// and for PostgreSQL where the channel has no counter.
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

// idleFor is how long a channel without subscriptions stays live: people reload pages.
const idleFor = 30 * time.Second

// idle gives up a channel that stays without subscriptions.
func (f *Feed) idle(ch *hub.Channel) {
	time.AfterFunc(idleFor, func() {
		if f.Hub.Forget(ch) {
			p := f.cfg.Log.Partition(ch.ID().UUID)
			f.sub(p).Unsubscribe(rediskey.Topic(p, ch.ID()))
			if f.Hub.Channel(ch.ID()) != nil { // somebody opened it again in between
				f.sub(p).Subscribe(rediskey.Topic(p, ch.ID()))
			}
		}
	})
}

// Watch follows a user's topic; when it returns nil, no later notice is missed. Each Watch needs an
// Unwatch, whatever it returned.
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

// sink is the feed as one Subscriber sees it, and what of the Subscriber's last read is not fanned out
// yet.
type sink struct {
	*Feed
	owed []*hub.Channel
}

// Received hands on what was published. Its payload is never changed, only cut into frames.
func (s *sink) Received(topic string, payload []byte) {
	if id, ok := channelOf(topic); ok {
		s.received(id, payload)
		return
	}
	n, err := notice.Decode(payload)
	if err != nil {
		s.cfg.Logger.Warn("notice not understood", "topic", topic, "err", err)
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
		// What is lost by this is a gap, which heals from the stores.
		s.cfg.Logger.Warn("published item not understood", "channel_id", id, "err", err)
	}
	if len(events) > 0 && ch.Add(events) {
		s.owed = append(s.owed, ch)
	}
}

// Flush fans out what came together.
func (s *sink) Flush() {
	if len(s.owed) > 0 {
		s.Hub.FanOut(s.owed)
		clear(s.owed)
		s.owed = s.owed[:0]
	}
}

// Confirmed notes that a topic is heard from here on.
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
		f.wakeHeads()
	}
}

// channelOf returns the channel of a channel's topic.
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
