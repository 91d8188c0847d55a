// Package dnstest is a small DNS server for tests: it answers queries for IPv4 addresses, as the
// resolver of a container engine does.
package dnstest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// Server is a DNS server. It is safe for concurrent use.
type Server struct {
	conn net.PacketConn

	mu    sync.Mutex // guards names
	names map[string][]netip.Addr
}

// New starts a DNS server on conn. It stops the server and closes conn when the test ends.
func New(t testing.TB, conn net.PacketConn) *Server {
	s := &Server{conn: conn, names: map[string][]netip.Addr{}}
	var wg sync.WaitGroup
	wg.Go(s.serve)
	t.Cleanup(func() {
		_ = conn.Close()
		wg.Wait()
	})
	return s
}

// Local is like New, but listens on a free local port.
func Local(t testing.TB) *Server {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return New(t, conn)
}

// Set sets the IPv4 addresses of a name. Without addresses, the server answers that the name does
// not exist.
func (s *Server) Set(name string, addresses ...string) {
	parsed := make([]netip.Addr, len(addresses))
	for i, a := range addresses {
		parsed[i] = netip.MustParseAddr(a)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[name+"."] = parsed
}

// Resolver returns a resolver that queries only this server.
func (s *Server) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", s.conn.LocalAddr().String())
	}}
}

func (s *Server) serve() {
	for buf := make([]byte, 512); ; {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if reply, err := s.answer(buf[:n]); err == nil {
			// Ignore the error, because a client that gets no answer repeats its query.
			_, _ = s.conn.WriteTo(reply, from)
		}
	}
}

func (s *Server) answer(question []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil || len(m.Questions) != 1 {
		return nil, fmt.Errorf("not one question: %w", err)
	}
	q := m.Questions[0]
	s.mu.Lock()
	addresses := s.names[q.Name.String()]
	s.mu.Unlock()
	reply := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true}, Questions: m.Questions}
	if len(addresses) == 0 {
		reply.RCode = dnsmessage.RCodeNameError
	}
	if q.Type == dnsmessage.TypeA {
		for _, a := range addresses {
			reply.Answers = append(reply.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 600},
				Body:   &dnsmessage.AResource{A: a.As4()},
			})
		}
	}
	return reply.Pack()
}
