package eventlog

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"

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
	// Flush says that what came together has been handed on: nothing more is there right now.
	Flush()
}

// Subscriber holds the subscriptions to topics over a connection. On a Cluster a connection is bound to
// one node, so there partitions never share one.
type Subscriber struct {
	link *link
	own  bool // the link has no other user, and runs in Run
	home string
	sink Sink

	// calling is held while the sink is called, and by who makes an end of that.
	calling sync.Mutex
	over    bool

	// mu guards what follows. It is held for map work alone, never across a write or a dial.
	mu      sync.Mutex
	topics  map[string]string   // what is wanted; a topic is its own value, for who has its bytes alone
	changed map[string]struct{} // wanted anew or no longer, and the connection has not been told
	asked   map[string]int      // what this connection was told and has not answered, by topic
}

// NewSubscriber returns a Subscriber of the topics of one partition, over a connection of its own.
func (l *Log) NewSubscriber(partition int, sink Sink, log *slog.Logger) *Subscriber {
	s := newSubscriber(newLink(l.rdb, partition, log), sink)
	s.own = true
	return s
}

// Subscribers returns a Subscriber for each connection, each with a sink of its own. Call it once,
// before anything runs. See Of.
func (c *Connections) Subscribers(newSink func() Sink) (all []*Subscriber) {
	for _, k := range c.links {
		all = append(all, newSubscriber(k, newSink()))
	}
	return all
}

// Of returns which of the Subscribers has the topics of a partition.
func (c *Connections) Of(partition int) int { return partition % len(c.links) }

func newSubscriber(k *link, sink Sink) *Subscriber {
	// A topic of the partition that nobody publishes to: with it a connection always has one.
	home := rediskey.PartitionTopic(k.partition)
	s := &Subscriber{
		link: k, sink: sink, home: home, topics: map[string]string{home: home},
		changed: make(map[string]struct{}), asked: make(map[string]int),
	}
	k.sub = s
	return s
}

// Subscribe asks for a topic. Sink.Confirmed tells when it is heard. It never waits for Redis.
func (s *Subscriber) Subscribe(topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.topics[topic]; !ok {
		s.topics[topic] = topic
		s.changed[topic] = struct{}{}
		s.link.poke()
	}
}

// Unsubscribe gives a topic up. A message that was under way may still arrive.
func (s *Subscriber) Unsubscribe(topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.topics[topic]; ok {
		delete(s.topics, topic)
		s.changed[topic] = struct{}{}
		s.link.poke()
	}
}

// Run listens until ctx is done; the sink is not called any more when it returns. A connection that is
// lost is made again.
func (s *Subscriber) Run(ctx context.Context) error {
	if s.own {
		s.link.run(ctx)
		return nil
	}
	<-ctx.Done()
	s.calling.Lock()
	s.over = true
	s.calling.Unlock()
	return nil
}

// pushed hands on what the connection has pushed: a message, or the answer to a subscription.
func (s *Subscriber) pushed(fields [][]byte) error {
	s.calling.Lock()
	defer s.calling.Unlock()
	switch string(fields[0]) {
	case "smessage":
		s.mu.Lock()
		topic, wanted := s.topics[string(fields[1])]
		s.mu.Unlock()
		if wanted && !s.over {
			s.sink.Received(topic, bytes.Clone(fields[2]))
		}
	case "ssubscribe":
		topic := string(fields[1])
		s.link.confirmed()
		// An answer to an earlier Subscribe says nothing about the one after an Unsubscribe.
		if _, last := s.answered(topic); last && topic != s.home && !s.over {
			s.sink.Confirmed(topic)
		}
	case "sunsubscribe":
		if asked, _ := s.answered(string(fields[1])); !asked {
			// A Cluster moves slots: the node unsubscribes us from what it no longer has.
			return fmt.Errorf("the node gave up %s", fields[1])
		}
		s.link.confirmed()
	}
	return nil
}

// flush tells the sink that it has all of what came together.
func (s *Subscriber) flush() {
	s.calling.Lock()
	defer s.calling.Unlock()
	if !s.over {
		s.sink.Flush()
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
