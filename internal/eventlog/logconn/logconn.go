// Package logconn connects a process to the log in Redis. Appends and subscriptions share a
// connection. So a process receives its own publications in the same read as the replies to its
// appends. A Lane encodes the appends and handles their replies. A Listener supplies the topics and
// handles the pushes. Other packages implement both interfaces.
package logconn

import (
	"context"
	"log/slog"
	"sync"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/platform/resp"
)

// Lane appends over a connection. The connection's reader calls all methods, one at a time, and
// handles nothing else while they run.
type Lane interface {
	// Up is called when the connection has been opened. gen is the generation of the connection,
	// which is never 0.
	Up(gen uint64)
	// Down is called when the connection is lost. Calls that have not been answered by then are
	// never answered.
	Down()
	// Replied handles the reply to the oldest unanswered call. v is valid until Replied returns. An
	// error closes the connection.
	Replied(v resp.Value) error
	// Settle reports the outcomes of the calls whose replies arrived in the last read. It is called
	// before the Listener's Flush.
	Settle()
	// Flushed is called when all values from the last read have been handled, after the Listener's
	// Flush.
	Flushed()
}

// Listener subscribes to topics over a connection. Topics, Pushed and Flush are called by the
// connection's reader, one at a time; it handles nothing else while they run.
type Listener interface {
	// Topics returns the topics to subscribe to on a new connection. There is at least one.
	Topics() []string
	// Changes returns the topics that were added and removed since the last call to Topics or
	// Changes.
	Changes() (join, leave []string)
	// Pushed handles a push. answered reports whether the push answers a subscription command. The
	// fields are valid until Pushed returns. An error closes the connection.
	Pushed(fields [][]byte) (answered bool, err error)
	// Flush is called when all pushes from the last read have been passed to Pushed.
	Flush()
}

// Connections holds a process's connections to the log. With a single Redis server, there is one
// connection. In Redis Cluster, where a connection is bound to a node, there is one per partition.
type Connections struct{ conns []*Conn }

// New returns the connections to the log stored in rdb. partitions is the log's number of
// partitions. Run opens the connections.
func New(rdb redis.UniversalClient, partitions int, log *slog.Logger) *Connections {
	n := 1
	if _, cluster := rdb.(*redis.ClusterClient); cluster {
		n = partitions
	}
	c := &Connections{}
	for p := range n {
		c.conns = append(c.conns, newConn(rdb, p, log))
	}
	return c
}

// All returns the connections, in the order of the indexes that Of returns.
func (c *Connections) All() []*Conn { return c.conns }

// Of returns the index of the connection that serves a partition.
func (c *Connections) Of(partition int) int { return partition % len(c.conns) }

// Run maintains the connections until ctx is done. Calls that are still unanswered at that point
// are never answered.
func (c *Connections) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, k := range c.conns {
		all.Go(func() { k.run(ctx) })
	}
	all.Wait()
	return nil
}
