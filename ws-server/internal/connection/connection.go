// Package connection implements the sending side of a WebSocket: it queues frames and writes them
// to the socket.
//
// Callers pass whole WebSocket frames (see Text). Send and SendEphemeral never wait for the socket.
// While the socket accepts data, the caller's goroutine writes to it directly, without blocking.
// Frames are queued only when the socket's buffer is full; a writer goroutine then runs until the
// queue is empty. A connection that cannot keep up is closed as a slow consumer, so that it does
// not delay other connections.
//
// gorilla/websocket reads from the socket. Its own replies (pong, close) go through the same queue,
// because gorilla writes to a Gate instead of the socket. So there is only one writer at a time.
package connection

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"parley.chat/internal/platform/socket"
)

// Limits on a connection's queue.
const (
	MaxQueuedBytes  = 1 << 20
	MaxQueuedFrames = 1024 // maximum number of queued events; one frame may hold several events
)

// writeTimeout is how long a full socket may go without accepting data before the connection is
// closed.
var writeTimeout = 20 * time.Second

// Conn is the sending side of a WebSocket. Begin must be called before any other method. Conn is
// safe for concurrent use.
type Conn struct {
	// If the socket accepts a frame without blocking, sending the frame uses only the fields up to
	// queue. These fields share a cache line of 64 bytes, because none of the connections' memory
	// is in the CPU cache during a fan-out to thousands of connections.

	// out writes to the socket, net. It is used only while mu is held and closed is false. The
	// socket is closed only while mu is held.
	out      socket.Sender
	mu       sync.Mutex
	lastRead atomic.Int64 // when the client last sent something, in Unix seconds
	bytes    int32        // bytes in queue
	events   int32        // events in queue
	writing  bool         // the writer goroutine is running; only it may write to the socket
	closing  bool         // a close frame is queued or sent; no other frame may follow it
	slow     bool         // closing as a slow consumer: the writer drops the frames that it has not begun to write
	closed   bool         // the socket is closed
	holding  bool         // held is not empty
	queue    []chunk      // data that the socket has not accepted yet

	net     net.Conn
	held    []byte        // frames to send with the next frame or when Flush is called
	until   time.Time     // time at which a closing connection is aborted, even if the socket still accepts data
	drained chan struct{} // closed when the queue is at most half full; nil if nobody is waiting for that
	owner   *Owner
}

// Owner owns the writer goroutines of a gateway's connections.
type Owner struct {
	OnSlow  func() // called when a connection is closed as a slow consumer; must not block
	writers sync.WaitGroup
}

// Wait waits until all writer goroutines have ended.
func (o *Owner) Wait() { o.writers.Wait() }

// chunk holds bytes to send and the number of events in them.
type chunk struct {
	b      []byte
	events int32
}

// Begin makes c the sending side of a socket. From then on, only c may close the socket. After the
// socket is closed, reading from it returns an error.
func (c *Conn) Begin(conn net.Conn, owner *Owner) {
	c.net, c.out, c.owner = conn, socket.NewSender(conn), owner
	c.Touch(time.Now())
}

// Touch records that the client has sent something.
func (c *Conn) Touch(now time.Time) { c.lastRead.Store(now.Unix()) }

// Prefetch reads the first field that Send and SendEphemeral use. Calling it for several
// connections before the first system call lets their cache misses overlap.
func (c *Conn) Prefetch() { c.lastRead.Load() }

// SilentSince returns the time at which the client last sent something, with a precision of one
// second.
func (c *Conn) SilentSince() time.Time { return time.Unix(c.lastRead.Load(), 0) }

// Send queues a frame that carries the given number of events. For a frame that carries no events
// but must not be dropped, events is 1. The caller must not change the frame afterward. A
// connection that exceeds its limits is closed as a slow consumer.
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

// Hold queues a frame like Send, but may delay it so that several frames are sent in one write. If
// held is true, the caller must call Flush. The connection owns the frame afterward.
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
	held = !c.holding // if frames were already held, an earlier caller will call Flush
	c.holding = true
	c.held = append(c.held, frame...)
	return held
}

// Flush sends the held frames.
func (c *Conn) Flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holding {
		c.put(nil, 0)
	}
}

// SendEphemeral queues a frame that may be dropped. It drops the frame if the queue is more than
// half full.
func (c *Conn) SendEphemeral(frame []byte) {
	c.mu.Lock()
	if c.bytes <= MaxQueuedBytes/2 && c.events <= MaxQueuedFrames/2 {
		c.put(frame, 1)
	}
	c.mu.Unlock()
}

// Ping queues a ping even if the queue is full, so that a slow client is not mistaken for a silent
// one.
func (c *Conn) Ping() {
	c.mu.Lock()
	c.put(pingFrame, 0)
	c.mu.Unlock()
}

// Close queues a close frame and closes the socket after sending it. For a slow consumer, Close
// first drops the queue, except for a partly written frame. Close does not wait. Only the first
// call has an effect.
func (c *Conn) Close(code int, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.closed {
		return
	}
	if code == CloseSlowConsumer {
		c.dropQueued()
		c.slow = true
		c.owner.OnSlow()
	}
	c.until = time.Now().Add(writeTimeout)
	c.put(closeFrame(code, reason), 0)
	c.closing = true
	if len(c.queue) == 0 && !c.writing {
		c.finish()
	}
}

// Abort closes the socket immediately.
func (c *Conn) Abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut()
}

// Closing reports whether the connection is closing or closed.
func (c *Conn) Closing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing || c.closed
}

// Drained returns a channel that is closed when the queue is at most half full, or when the
// connection is closed. A replay waits for it before it reads the next page.
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

// signalDrained wakes the callers waiting on Drained if the queue is short enough. Called with mu
// held.
func (c *Conn) signalDrained() {
	if c.drained != nil && (c.closed || c.closing || c.bytes <= MaxQueuedBytes/2 && c.events <= MaxQueuedFrames/2) {
		close(c.drained)
		c.drained = nil
	}
}

// put writes a frame to the socket or queues it. Called with mu held.
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
		c.owner.writers.Go(c.drain)
	}
}

// drain runs as the writer goroutine. It writes until the queue is empty.
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

// writeAll writes batch with blocking writes. Once a chunk is written, it subtracts the chunk's
// bytes and events from the queue's totals. last is true if the batch contains the close frame.
func (c *Conn) writeAll(batch []chunk, last bool) error {
	for i, ch := range batch {
		c.mu.Lock()
		until := time.Now().Add(writeTimeout)
		if c.closing && c.until.Before(until) {
			until = c.until
		}
		// The first chunk may be the rest of a partly written frame, so it is never dropped.
		if c.slow && !last && i > 0 {
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

// dropQueued drops the queue, except for the rest of a partly written frame. Without that rest, the
// client could not parse the close frame. Called with mu held.
func (c *Conn) dropQueued() {
	if len(c.queue) > 1 {
		for _, ch := range c.queue[1:] {
			c.bytes -= int32(len(ch.b))
			c.events -= ch.events
		}
		c.queue = c.queue[:1]
	}
}

// finish closes the sending half of the socket after the close frame has been written, so that the
// client reads the frame before the end of the stream. The reader closes the socket when the client
// answers. Called with mu held.
func (c *Conn) finish() {
	if tcp, ok := c.net.(interface{ CloseWrite() error }); ok {
		_ = tcp.CloseWrite()
		_ = c.net.SetReadDeadline(time.Now().Add(closeTimeout))
		c.signalDrained()
		return
	}
	c.shut()
}

// closeTimeout is how long a client may take to answer a close frame.
const closeTimeout = 2 * time.Second

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
