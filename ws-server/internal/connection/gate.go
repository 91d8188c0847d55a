package connection

import (
	"net"
	"sync"
	"time"

	"parley.chat/internal/platform/socket"
)

// Gate is the net.Conn that gorilla/websocket uses. Before Open is called, it writes the handshake
// directly to the socket. After that, frames that gorilla writes on its own go through the Conn's
// queue. Each of these writes is one whole frame.
type Gate struct {
	net.Conn
	in *socket.Reader

	mu  sync.Mutex
	out *Conn
}

// NewGate returns a gate for a socket.
func NewGate(c net.Conn) *Gate { return &Gate{Conn: c, in: socket.NewReader(c)} }

// Read reads from the socket.
func (g *Gate) Read(b []byte) (int, error) { return g.in.Read(b) }

// Open routes later writes to c.
func (g *Gate) Open(c *Conn) {
	g.mu.Lock()
	g.out = c
	g.mu.Unlock()
}

// Write queues b as one frame. Before Open is called, it writes b to the socket.
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

// Close closes the socket. After Open, it does so through the Conn, which must not write to a
// closed socket.
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

// SetWriteDeadline does nothing after Open, because the queue sets its own deadlines.
func (g *Gate) SetWriteDeadline(t time.Time) error {
	g.mu.Lock()
	opened := g.out != nil
	g.mu.Unlock()
	if opened {
		return nil
	}
	return g.Conn.SetWriteDeadline(t)
}
