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
	rdb       redis.UniversalClient
	partition int
	sink      Sink
	log       *slog.Logger

	mu      sync.Mutex
	topics  map[string]struct{} // what is wanted
	leaving map[string]int      // unsubscribes of this connection that are not confirmed yet
	pubsub  *redis.PubSub       // nil while not connected
	heard   atomic.Int64        // when something last came, in Unix nanoseconds
}

// NewSubscriber returns a Subscriber of the topics of one partition. It connects in Run.
func (l *Log) NewSubscriber(partition int, sink Sink, log *slog.Logger) *Subscriber {
	return &Subscriber{
		rdb: l.rdb, partition: partition, sink: sink, log: log.With("partition", partition),
		// A topic of the partition that nobody publishes to: with it the connection always has a node.
		topics: map[string]struct{}{rediskey.PartitionTopic(partition): {}},
	}
}

// Subscribe asks for a topic. Sink.Confirmed tells when it is heard. It does not block on Redis for
// longer than a write.
func (s *Subscriber) Subscribe(topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.topics[topic]; ok {
		return
	}
	s.topics[topic] = struct{}{}
	if s.pubsub != nil {
		if err := s.pubsub.SSubscribe(context.Background(), topic); err != nil {
			s.log.Debug("subscribe goes with the reconnect", "topic", topic, "err", err)
		}
	}
}

// Unsubscribe gives a topic up. A message that was under way may still arrive.
func (s *Subscriber) Unsubscribe(topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.topics[topic]; !ok {
		return
	}
	delete(s.topics, topic)
	if s.pubsub != nil {
		s.leaving[topic]++
		if err := s.pubsub.SUnsubscribe(context.Background(), topic); err != nil {
			s.log.Debug("unsubscribe goes with the reconnect", "topic", topic, "err", err)
		}
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
	s.mu.Lock()
	topics := make([]string, 0, len(s.topics))
	for t := range s.topics {
		topics = append(topics, t)
	}
	pubsub := s.rdb.SSubscribe(ctx, topics...)
	s.pubsub, s.leaving = pubsub, make(map[string]int)
	s.heard.Store(time.Now().UnixNano())
	s.mu.Unlock()

	closeOnce := sync.OnceValue(pubsub.Close)
	watched, stopWatch := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		s.watch(watched, pubsub)
		_ = closeOnce() // go-redis does not interrupt a blocked receive: closing does
	})
	defer func() {
		s.mu.Lock()
		s.pubsub = nil
		s.mu.Unlock()
		stopWatch()
		watch.Wait()
	}()
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
			if m.Kind == "ssubscribe" && m.Channel != rediskey.PartitionTopic(s.partition) {
				s.sink.Confirmed(m.Channel)
			} else if m.Kind == "sunsubscribe" && !s.left(m.Channel) {
				// A Cluster moves slots: the node unsubscribes us from what it no longer has.
				return heardSome, errors.New("the node gave up " + m.Channel)
			}
		}
	}
}

// left takes note of a confirmed unsubscribe and reports whether we asked for it.
func (s *Subscriber) left(topic string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.leaving[topic] > 0
	if s.leaving[topic]--; s.leaving[topic] <= 0 {
		delete(s.leaving, topic)
	}
	return asked
}

// watch pings a quiet connection and returns when it has been silent for too long, or ctx is done.
func (s *Subscriber) watch(ctx context.Context, pubsub *redis.PubSub) {
	tick := time.NewTicker(subscriberPing)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		quiet := time.Since(time.Unix(0, s.heard.Load()))
		if quiet > subscriberSilence {
			return
		}
		if quiet > subscriberPing/2 {
			if err := pubsub.Ping(ctx); err != nil {
				return
			}
		}
	}
}
