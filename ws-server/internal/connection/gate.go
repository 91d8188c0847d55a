package connection

import (
	"net"
	"sync"
	"time"

	"parley.chat/internal/socket"
)

// Gate is the net.Conn that gorilla/websocket is upgraded on. Until Open it writes the handshake
// straight to the socket; after it, whatever gorilla writes by itself, always one whole frame, goes
// through the queue of the Conn.
type Gate struct {
	net.Conn
	in *socket.Reader

	mu  sync.Mutex
	out *Conn
}

// NewGate returns the gate of a socket.
func NewGate(c net.Conn) *Gate { return &Gate{Conn: c, in: socket.NewReader(c)} }

// Read reads the socket.
func (g *Gate) Read(b []byte) (int, error) { return g.in.Read(b) }

// Open routes writes to c from now on.
func (g *Gate) Open(c *Conn) {
	g.mu.Lock()
	g.out = c
	g.mu.Unlock()
}

// Write queues b as one frame, or writes it to the socket before Open.
func (g *Gate) Write(b []byte) (int, error) {
	g.mu.Lock()
	out := g.out
	g.mu.Unlock()
	if out == nil {
		return g.Conn.Write(b)
	}
	out.Send(append([]byte(nil), b...), 0)
	return len(b), nil
}

// Close closes the socket: after Open through its Conn, which must know of it before it writes again.
func (g *Gate) Close() error {
	g.mu.Lock()
	out := g.out
	g.mu.Unlock()
	if out == nil {
		return g.Conn.Close()
	}
	out.Abort()
	return nil
}

// SetWriteDeadline does nothing after Open: the queue has its own.
func (g *Gate) SetWriteDeadline(t time.Time) error {
	g.mu.Lock()
	opened := g.out != nil
	g.mu.Unlock()
	if opened {
		return nil
	}
	return g.Conn.SetWriteDeadline(t)
}
