// Package subscriber subscribes to topics in Redis over the connections to the log. Channel topics
// carry events; user topics carry notices.
package subscriber

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"parley.chat/internal/eventlog/logconn"
	"parley.chat/shared-contracts/rediskey"
)

// Sink receives the messages that a Subscriber reads. Its methods are called from one goroutine,
// which reads nothing else while they run.
type Sink interface {
	// Received handles a message. It must not modify the payload.
	Received(topic string, payload []byte)
	// Confirmed is called when a subscription is in effect: after Subscribe and after each
	// reconnect. All later messages for topic will arrive; earlier ones may have been missed.
	Confirmed(topic string)
	// Flush is called when all messages from one read have been passed to Received.
	Flush()
}

// Subscriber manages subscriptions to topics over a connection. Each partition has a connection of
// its own, because in Redis Cluster a connection is bound to one node.
type Subscriber struct {
	conn *logconn.Conn
	home string
	sink Sink

	// calling is held while a method of the sink runs. Run locks it to wait for that method and to
	// prevent further calls.
	calling sync.Mutex
	stopped bool

	// mu guards the fields below. It is held for map operations only, never during a write or a
	// dial.
	mu sync.Mutex
	// topics maps each wanted topic to itself, so that a lookup by bytes returns the existing
	// string without an allocation.
	topics  map[string]string
	changed map[string]struct{} // topics to add or remove that have not yet been sent over the connection
	asked   map[string]int      // number of unanswered commands on this connection, by topic
}

// Over returns one Subscriber for each connection, with a sink of its own. It must be called once,
// before conns.Run. The index of a partition's Subscriber is conns.Of(partition).
func Over(conns *logconn.Connections, newSink func() Sink) (all []*Subscriber) {
	for partition, conn := range conns.All() {
		s := newSubscriber(conn, partition, newSink())
		conn.SetListener((*listener)(s))
		all = append(all, s)
	}
	return all
}

// newSubscriber returns a Subscriber over the connection to the node of a partition.
func newSubscriber(conn *logconn.Conn, partition int, sink Sink) *Subscriber {
	// No messages are published to this topic. It ensures that every connection is subscribed to at
	// least one topic.
	home := rediskey.PartitionTopic(partition)
	return &Subscriber{
		conn: conn, sink: sink, home: home, topics: map[string]string{home: home},
		changed: make(map[string]struct{}), asked: make(map[string]int),
	}
}

// Subscribe subscribes to a topic without waiting for Redis. Sink.Confirmed is called when the
// subscription is in effect.
func (s *Subscriber) Subscribe(topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.topics[topic]; !ok {
		s.topics[topic] = topic
		s.changed[topic] = struct{}{}
		s.conn.TopicsChanged()
	}
}

// Unsubscribe ends the subscription to a topic. Messages in flight may still arrive.
func (s *Subscriber) Unsubscribe(topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.topics[topic]; ok {
		delete(s.topics, topic)
		s.changed[topic] = struct{}{}
		s.conn.TopicsChanged()
	}
}

// Run waits until ctx is done. Once it has returned, the sink is not called again.
func (s *Subscriber) Run(ctx context.Context) error {
	<-ctx.Done()
	s.calling.Lock()
	s.stopped = true
	s.calling.Unlock()
	return nil
}

// listener implements logconn.Listener for a Subscriber, without adding these methods to the
// Subscriber's own API.
type listener Subscriber

// Pushed handles a push: a message, or the answer to a subscription command.
func (s *listener) Pushed(fields [][]byte) (answered bool, err error) {
	s.calling.Lock()
	defer s.calling.Unlock()
	switch string(fields[0]) {
	case "smessage":
		s.mu.Lock()
		topic, wanted := s.topics[string(fields[1])]
		s.mu.Unlock()
		if wanted && !s.stopped {
			s.sink.Received(topic, bytes.Clone(fields[2]))
		}
	case "ssubscribe":
		topic := string(fields[1])
		// If the topic was unsubscribed and subscribed again, only the answer to the last command
		// confirms the subscription.
		if _, last := s.answered(topic); last && topic != s.home && !s.stopped {
			s.sink.Confirmed(topic)
		}
		return true, nil
	case "sunsubscribe":
		if asked, _ := s.answered(string(fields[1])); !asked {
			// When a hash slot moves to another node, the old node ends our subscriptions in that
			// slot.
			return false, fmt.Errorf("the node ended the subscription to %s", fields[1])
		}
		return true, nil
	}
	return false, nil
}

// Flush calls Sink.Flush. It is called when all messages from one read have been passed to the
// sink.
func (s *listener) Flush() {
	s.calling.Lock()
	defer s.calling.Unlock()
	if !s.stopped {
		s.sink.Flush()
	}
}

// Topics returns the topics to subscribe to on a new connection.
func (s *listener) Topics() []string {
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

// Changes returns the topics that were added and removed since the last call to Topics or Changes.
func (s *listener) Changes() (join, leave []string) {
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

// answered records an answer to a subscription command. asked reports whether a command for the
// topic was outstanding. last reports whether this was the last outstanding answer for the topic.
func (s *listener) answered(topic string) (asked, last bool) {
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
