// Package connection is one WebSocket: what it still has to send, and how that reaches the socket.
//
// Who has something to send hands over whole WebSocket frames (see Text) and goes on: Send and SendEphemeral
// never wait for the socket. While the socket takes everything at once, the caller's own goroutine
// writes, without blocking. Only when the socket is full do frames queue, and a writer goroutine runs
// until the queue is empty again. A connection that cannot keep up is closed alone, as a slow consumer.
//
// The reading side is gorilla/websocket's. Its own replies (pong, close) go through the same queue,
// since it writes to the Gate that it was upgraded on; so there is one writer at a time.
package connection

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"parley.chat/internal/socket"
)

// Bounds of what a connection may have queued.
const (
	MaxQueuedBytes  = 1 << 20
	MaxQueuedFrames = 1024 // events, where a frame holds several
)

// writeWait bounds how long a full socket may take nothing before the connection is given up.
var writeWait = 20 * time.Second

// Conn is the sending side of a WebSocket, from Begin on. It is safe for concurrent use.
type Conn struct {
	// What a frame needs that the socket takes at once lies together, in 64 bytes: a fan-out to thousands of
	// connections finds none of them in a cache.
	out      socket.Sender // of net. Used with mu held and closed not set; net is closed with mu held, too
	mu       sync.Mutex
	lastRead atomic.Int64 // when the client last sent something, Unix seconds
	bytes    int32        // of queue
	events   int32        // of queue
	writing  bool         // the writer goroutine runs, and alone may write
	closing  bool         // a close frame is queued or sent: nothing follows it
	slow     bool         // closing as a slow consumer: the writer drops what it has not begun
	closed   bool         // the socket is closed
	holding  bool         // held has something
	queue    []chunk      // what the socket has not taken yet

	net     net.Conn
	held    []byte        // frames that wait for the next, or for Flush
	until   time.Time     // when a closing connection is given up, whatever it still takes
	drained chan struct{} // closed when the queue has fallen below half; nil while nobody waits
	writers *sync.WaitGroup
}

// chunk is bytes to send and the number of events in them.
type chunk struct {
	b      []byte
	events int32
}

// Begin makes c the sending side of a socket, which from now on c alone closes. writers counts its writer
// goroutines, so that their owner can wait for them. Whoever reads the socket learns of its end by the read
// that fails.
func (c *Conn) Begin(conn net.Conn, writers *sync.WaitGroup) {
	c.net, c.out, c.writers = conn, socket.NewSender(conn), writers
	c.Touch(time.Now())
}

// Touch notes that the client was heard.
func (c *Conn) Touch(now time.Time) { c.lastRead.Store(now.Unix()) }

// Prefetch reads what Send and SendEphemeral begin with. Of connections that are sent to one after the other the
// processor can have many on their way at once, if it is let know before the first system call.
func (c *Conn) Prefetch() { c.lastRead.Load() }

// SilentSince returns when the client was last heard, to the second.
func (c *Conn) SilentSince() time.Time { return time.Unix(c.lastRead.Load(), 0) }

// Send queues a frame that carries so many events (1 for any other frame that must arrive). Its bytes
// must not change any more. A connection over its bounds is closed as a slow consumer.
func (c *Conn) Send(frame []byte, events int) {
	c.mu.Lock()
	full := c.bytes > 0 && int(c.bytes)+len(frame) > MaxQueuedBytes || c.events > 0 && int(c.events)+events > MaxQueuedFrames
	if full && !c.closing {
		c.mu.Unlock()
		c.Close(CloseSlowConsumer, "")
		return
	}
	c.put(frame, events)
	c.mu.Unlock()
}

// Hold is Send of a frame that may wait a moment for company, to leave in one write with it: held
// reports that the caller owes the connection a Flush. frame is the connection's own from here on.
func (c *Conn) Hold(frame []byte) (held bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.closed {
		return false
	}
	if len(c.queue) > 0 || c.writing {
		c.put(frame, 1)
		return false
	}
	held = !c.holding // else who was told so before still owes it
	c.holding = true
	c.held = append(c.held, frame...)
	return held
}

// Flush sends what is held.
func (c *Conn) Flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holding {
		c.put(nil, 0)
	}
}

// SendEphemeral queues a frame that may be shed: it is dropped when the queue is half full.
func (c *Conn) SendEphemeral(frame []byte) {
	c.mu.Lock()
	if c.bytes <= MaxQueuedBytes/2 && c.events <= MaxQueuedFrames/2 {
		c.put(frame, 1)
	}
	c.mu.Unlock()
}

// Ping queues a ping, whatever else waits: a client that is slow must not seem silent.
func (c *Conn) Ping() {
	c.mu.Lock()
	c.put(pingFrame, 0)
	c.mu.Unlock()
}

// Close sends a close frame behind what is queued, and then closes the socket. For a slow consumer
// the queue is dropped first, except a frame that was begun. It does not wait. Only the first counts.
func (c *Conn) Close(code int, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.closed {
		return
	}
	if code == CloseSlowConsumer {
		c.dropQueued()
		c.slow = true
	}
	c.until = time.Now().Add(writeWait)
	c.put(closeFrame(code, reason), 0)
	c.closing = true
	if len(c.queue) == 0 && !c.writing {
		c.finish()
	}
}

// Abort closes the socket at once.
func (c *Conn) Abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut()
}

// Closing reports whether the connection is about to end.
func (c *Conn) Closing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing || c.closed
}

// Drained returns a channel that is closed when the queue is below half of its bounds, or the
// connection is closed. A replay waits for it before it fetches the next page.
func (c *Conn) Drained() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drained == nil {
		c.drained = make(chan struct{})
		c.signalDrained()
		if c.drained == nil {
			return alreadyClosed
		}
	}
	return c.drained
}

var alreadyClosed = func() chan struct{} { ch := make(chan struct{}); close(ch); return ch }()

// signalDrained wakes who waits in Drained if the queue allows it. Called with mu held.
func (c *Conn) signalDrained() {
	if c.drained != nil && (c.closed || c.closing || c.bytes <= MaxQueuedBytes/2 && c.events <= MaxQueuedFrames/2) {
		close(c.drained)
		c.drained = nil
	}
}

// put sends a frame or queues it. Called with mu held.
func (c *Conn) put(frame []byte, events int) {
	if c.closing || c.closed {
		return
	}
	if c.holding {
		frame, events = append(c.held, frame...), events+1
		c.holding, c.held = false, nil
	}
	if len(c.queue) == 0 && !c.writing {
		n, err := c.out.TryWrite(frame)
		if err != nil {
			c.shut()
			return
		}
		if n == len(frame) {
			return
		}
		frame = frame[n:]
	}
	c.queue = append(c.queue, chunk{frame, int32(events)})
	c.bytes += int32(len(frame))
	c.events += int32(events)
	if !c.writing {
		c.writing = true
		c.writers.Go(c.drain)
	}
}

// drain is the writer goroutine: it writes until the queue is empty.
func (c *Conn) drain() {
	for {
		c.mu.Lock()
		if c.closed || len(c.queue) == 0 {
			c.writing = false
			if c.closing {
				c.finish()
			}
			c.mu.Unlock()
			return
		}
		batch, last := c.queue, c.closing
		c.queue = nil
		c.mu.Unlock()

		err := c.writeAll(batch, last)

		c.mu.Lock()
		if err != nil {
			c.shut()
		}
		c.mu.Unlock()
	}
}

// writeAll writes chunks, blocking, and takes each off the count when it has gone. last says that the close
// frame is among them.
func (c *Conn) writeAll(batch []chunk, last bool) error {
	for i, ch := range batch {
		c.mu.Lock()
		until := time.Now().Add(writeWait)
		if c.closing && c.until.Before(until) {
			until = c.until
		}
		if c.slow && !last && i > 0 { // the first may be the rest of a frame that was begun
			for _, rest := range batch[i:] {
				c.bytes -= int32(len(rest.b))
				c.events -= rest.events
			}
			c.mu.Unlock()
			return nil
		}
		c.mu.Unlock()
		if err := c.net.SetWriteDeadline(until); err != nil {
			return err
		}
		if _, err := c.net.Write(ch.b); err != nil {
			return err
		}
		c.mu.Lock()
		c.bytes -= int32(len(ch.b))
		c.events -= ch.events
		c.signalDrained()
		c.mu.Unlock()
	}
	return nil
}

// dropQueued forgets what is queued. The first chunk may be the rest of a frame that was begun: then
// it stays, or the client could not read the close frame. Called with mu held.
func (c *Conn) dropQueued() {
	if len(c.queue) > 1 {
		for _, ch := range c.queue[1:] {
			c.bytes -= int32(len(ch.b))
			c.events -= ch.events
		}
		c.queue = c.queue[:1]
	}
}

// finish closes the socket after the close frame has gone: first the sending half, so that the client
// reads the frame before it learns of the end; the reader closes the rest when the client answers.
// Called with mu held.
func (c *Conn) finish() {
	if tcp, ok := c.net.(interface{ CloseWrite() error }); ok {
		_ = tcp.CloseWrite()
		_ = c.net.SetReadDeadline(time.Now().Add(closeWait))
		c.signalDrained()
		return
	}
	c.shut()
}

// closeWait is how long a client may take to answer a close frame.
const closeWait = 2 * time.Second

// shut closes the socket. Called with mu held.
func (c *Conn) shut() {
	if c.closed {
		return
	}
	c.closed = true
	c.queue, c.bytes, c.events, c.holding, c.held = nil, 0, 0, false, nil
	_ = c.net.Close()
	c.signalDrained()
}
