package redistest

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
)

// Switch forwards connections to one of several servers, as a load balancer does. An open
// connection stays connected to the same server.
type Switch struct {
	listener net.Listener
	all      sync.WaitGroup

	mu    sync.Mutex // guards the fields below
	to    string
	conns map[net.Conn]struct{}
}

// NewSwitch returns a Switch that forwards connections to the server at addr. It is closed when the
// test ends.
func NewSwitch(t testing.TB, addr string) *Switch {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	s := &Switch{listener: l, to: addr, conns: map[net.Conn]struct{}{}}
	s.all.Go(s.accept)
	t.Cleanup(func() {
		_ = l.Close()
		s.mu.Lock()
		for c := range s.conns {
			_ = c.Close()
		}
		s.conns = nil
		s.mu.Unlock()
		s.all.Wait()
	})
	return s
}

// Addr returns the address of the Switch.
func (s *Switch) Addr() string { return s.listener.Addr().String() }

// Lead forwards new connections to the server at addr. Open connections are not affected.
func (s *Switch) Lead(addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to = addr
}

func (s *Switch) accept() {
	for {
		client, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		to := s.to
		s.mu.Unlock()
		server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", to)
		if err != nil {
			_ = client.Close()
			continue
		}
		if s.keep(client) && s.keep(server) {
			s.all.Go(func() { s.copy(client, server) })
			s.all.Go(func() { s.copy(server, client) })
		}
	}
}

// keep registers connection c, so that it is closed when the test ends. If the test has already
// ended, keep closes c immediately and returns false.
func (s *Switch) keep(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		_ = c.Close()
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Switch) copy(to, from net.Conn) {
	_, _ = io.Copy(to, from) // an error only means that the connection has ended
	_ = to.Close()
	_ = from.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, from)
	delete(s.conns, to)
}
