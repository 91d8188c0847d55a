package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/rediskey"
)

// Sink takes what a Subscriber hears. Its methods are called from one goroutine and hold up the
// subscription while they run.
type Sink interface {
	// Received hands on a message. The payload must not be changed.
	Received(topic string, payload []byte)
	// Confirmed reports that messages of topic arrive from here on: after Subscribe, and again after
	// each reconnect, when some may have been missed.
	Confirmed(topic string)
}

const (
	subscriberPing    = 3 * time.Second // a connection that says nothing for this long is asked
	subscriberSilence = 8 * time.Second // and given up after this long
)

// Subscriber holds the subscriptions of one partition's topics over one connection: on a Cluster a
// subscription connection is bound to one node, so partitions never share one.
type Subscriber struct {
	rdb           redis.UniversalClient
	partition     int
	sink          Sink
	log           *slog.Logger
	ping, silence time.Duration

	wake  chan struct{} // holds at most one token: there may be something in changed
	heard atomic.Int64  // when something last came, in Unix nanoseconds

	// mu guards what follows. It is held for map work alone, never across a write or a dial.
	mu      sync.Mutex
	topics  map[string]struct{} // what is wanted
	changed map[string]struct{} // wanted anew or no longer, and the connection has not been told
	asked   map[string]int      // what this connection was told and has not answered, by topic
}

// NewSubscriber returns a Subscriber of the topics of one partition. It connects in Run.
func (l *Log) NewSubscriber(partition int, sink Sink, log *slog.Logger) *Subscriber {
	return &Subscriber{
		rdb: l.rdb, partition: partition, sink: sink, log: log.With("partition", partition),
		ping: subscriberPing, silence: subscriberSilence, wake: make(chan struct{}, 1),
		// A topic of the partition that nobody publishes to: with it the connection always has a node.
		topics:  map[string]struct{}{rediskey.PartitionTopic(partition): {}},
		changed: make(map[string]struct{}), asked: make(map[string]int),
	}
}

// Subscribe asks for a topic. Sink.Confirmed tells when it is heard. It never waits for Redis.
func (s *Subscriber) Subscribe(topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.topics[topic]; !ok {
		s.topics[topic] = struct{}{}
		s.changeLocked(topic)
	}
}

// Unsubscribe gives a topic up. A message that was under way may still arrive.
func (s *Subscriber) Unsubscribe(topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.topics[topic]; ok {
		delete(s.topics, topic)
		s.changeLocked(topic)
	}
}

func (s *Subscriber) changeLocked(topic string) {
	s.changed[topic] = struct{}{}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run keeps the subscriptions until ctx is done. A connection that is lost is made again.
func (s *Subscriber) Run(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		heardSome, err := s.listen(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if heardSome {
			attempt = 0
		}
		s.log.Warn("subscription lost, connecting again", "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(backoff(attempt)):
		}
	}
}

// listen subscribes to all wanted topics over a new connection and hands on what comes, until the
// connection fails or ctx is done.
func (s *Subscriber) listen(ctx context.Context) (heardSome bool, err error) {
	pubsub := s.rdb.SSubscribe(ctx) // of nothing: not connected yet
	var helpers sync.WaitGroup
	helping, stop := context.WithCancel(ctx)
	closeOnce := sync.OnceValue(pubsub.Close)
	defer func() {
		stop()
		helpers.Wait()
		_ = closeOnce()
	}()
	s.heard.Store(time.Now().UnixNano())
	if err := pubsub.SSubscribe(ctx, s.all()...); err != nil {
		return false, fmt.Errorf("subscribe: %w", err)
	}
	// go-redis does not interrupt a blocked receive: closing does.
	helpers.Go(func() {
		s.watch(helping, pubsub)
		_ = closeOnce()
	})
	helpers.Go(func() {
		s.tell(helping, pubsub)
		_ = closeOnce()
	})
	for {
		m, err := pubsub.Receive(ctx)
		if err != nil {
			// Receive would reconnect by itself, but then it is not known what was missed when: a new
			// connection, whose confirmations say so, is simpler to be right about.
			return heardSome, fmt.Errorf("receive: %w", err)
		}
		heardSome = true
		s.heard.Store(time.Now().UnixNano())
		switch m := m.(type) {
		case *redis.Message:
			s.sink.Received(m.Channel, []byte(m.Payload))
		case *redis.Subscription:
			asked, last := s.answered(m.Channel)
			if m.Kind == "sunsubscribe" && !asked {
				// A Cluster moves slots: the node unsubscribes us from what it no longer has.
				return heardSome, errors.New("the node gave up " + m.Channel)
			}
			// An answer to an earlier Subscribe says nothing about the one after an Unsubscribe.
			if m.Kind == "ssubscribe" && last && m.Channel != rediskey.PartitionTopic(s.partition) {
				s.sink.Confirmed(m.Channel)
			}
		}
	}
}

// all returns what a new connection is asked for.
func (s *Subscriber) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.changed)
	clear(s.asked)
	topics := make([]string, 0, len(s.topics))
	for t := range s.topics {
		topics = append(topics, t)
		s.asked[t] = 1
	}
	return topics
}

// changes returns what the connection is to be told now.
func (s *Subscriber) changes() (join, leave []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.changed {
		s.asked[t]++
		if _, wanted := s.topics[t]; wanted {
			join = append(join, t)
		} else {
			leave = append(leave, t)
		}
	}
	clear(s.changed)
	return join, leave
}

// answered takes note of an answer, and reports whether we asked and whether this is the last word.
func (s *Subscriber) answered(topic string) (asked, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.asked[topic]
	if n > 1 {
		s.asked[topic] = n - 1
	} else {
		delete(s.asked, topic)
	}
	return n > 0, n <= 1
}

// tell writes changes to the connection as they come, until that fails or ctx is done. A failed write
// ends the connection: what it did not get goes with the next.
func (s *Subscriber) tell(ctx context.Context, pubsub *redis.PubSub) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		join, leave := s.changes()
		var errs []error
		if len(join) > 0 {
			errs = append(errs, pubsub.SSubscribe(ctx, join...))
		}
		if len(leave) > 0 {
			errs = append(errs, pubsub.SUnsubscribe(ctx, leave...))
		}
		if errors.Join(errs...) != nil {
			return
		}
	}
}

// watch pings a quiet connection and returns when it has been silent for too long, or ctx is done.
func (s *Subscriber) watch(ctx context.Context, pubsub *redis.PubSub) {
	tick := time.NewTicker(s.ping)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		quiet := time.Since(time.Unix(0, s.heard.Load()))
		if quiet > s.silence {
			return
		}
		if quiet > s.ping/2 {
			if err := pubsub.Ping(ctx); err != nil {
				return
			}
		}
	}
}
