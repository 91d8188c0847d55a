// Package socket reads and writes sockets at the lowest cost that Go's netpoller allows.
//
// The sockets of package net are non-blocking, so reading or writing one is a short system call.
// Package syscall still announces it to the scheduler as one that may block. That wakes the
// runtime's monitor thread whenever the process was idle before. For a server that does a little
// work a thousand times a second, this is a sixth of its CPU time. The calls made here are not
// announced. Where that is not possible (not Linux, or TLS), reads and writes use the net.Conn, and
// TryWrite writes nothing.
//
// The package starts no goroutines.
package socket

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// Side is one direction of a socket. Only one goroutine may use it at a time.
type Side struct {
	conn net.Conn
	raw  syscall.RawConn // nil: use conn

	b   []byte
	n   int
	err syscall.Errno
	try func(fd uintptr) bool // created once: a closure per call would be an allocation per call
}

func newSide(c net.Conn) Side {
	s := Side{conn: c}
	if sc, ok := c.(syscall.Conn); ok && direct {
		if raw, err := sc.SyscallConn(); err == nil {
			s.raw = raw
		}
	}
	return s
}

// Reader reads a socket.
type Reader struct{ side Side }

// NewReader returns the reading side of c.
func NewReader(c net.Conn) *Reader { return &Reader{newSide(c)} }

// Read implements io.Reader. It observes the deadlines and the Close of the net.Conn.
func (r *Reader) Read(b []byte) (int, error) {
	s := &r.side
	if s.raw == nil || len(b) == 0 {
		return s.conn.Read(b)
	}
	if s.try == nil {
		s.try = func(fd uintptr) bool {
			s.n, s.err = read(fd, s.b)
			return s.err != syscall.EAGAIN // otherwise wait until data arrives
		}
	}
	s.b = b
	err := s.raw.Read(s.try)
	s.b = nil
	switch {
	case err != nil:
		return 0, err
	case s.err != 0:
		return 0, &net.OpError{Op: "read", Net: "tcp", Err: s.err}
	case s.n == 0:
		return 0, io.EOF
	}
	return s.n, nil
}

// Writer writes a socket.
type Writer struct{ side Side }

// NewWriter returns the writing side of c. It is a value, to avoid an allocation per connection.
func NewWriter(c net.Conn) Writer { return Writer{newSide(c)} }

// TryWrite writes as much as the socket accepts without blocking, possibly nothing.
func (w *Writer) TryWrite(b []byte) (int, error) {
	s := &w.side
	if s.raw == nil {
		return 0, nil
	}
	if s.try == nil {
		s.try = func(fd uintptr) bool {
			s.n, s.err = write(fd, s.b)
			return true // never wait
		}
	}
	s.b = b
	err := s.raw.Write(s.try)
	s.b = nil
	switch {
	case err != nil:
		return 0, err
	case errors.Is(s.err, syscall.EAGAIN):
		return 0, nil
	case s.err != 0:
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: s.err}
	}
	return s.n, nil
}

// Write implements io.Writer. It blocks for what the socket does not accept immediately.
func (w *Writer) Write(b []byte) (int, error) {
	n, err := w.TryWrite(b)
	if err != nil || n == len(b) {
		return n, err
	}
	m, err := w.side.conn.Write(b[n:])
	return n + m, err
}

// Sender writes to a socket that only its user closes, and must not be used after that. It holds
// the descriptor and so bypasses the locks that protect a net.Conn against a concurrent Close. With
// thousands of connections that are rarely written to, each lock would be a cache miss.
//
// The owner of a Sender must keep the net.Conn as well: an unreachable net.Conn is closed by the
// garbage collector.
type Sender struct{ after int } // descriptor plus one; 0 means none

// NewSender returns the writing side of c. It is a value, to avoid an allocation per connection.
func NewSender(c net.Conn) Sender {
	var s Sender
	if sc, ok := c.(syscall.Conn); ok && direct {
		if raw, err := sc.SyscallConn(); err == nil {
			// Fails for a closed connection, which leaves the Sender empty.
			_ = raw.Control(func(fd uintptr) { s.after = int(fd) + 1 })
		}
	}
	return s
}

// TryWrite is like Writer.TryWrite. It must have returned before the socket is closed.
func (s Sender) TryWrite(b []byte) (int, error) {
	if s.after == 0 {
		return 0, nil
	}
	n, err := write(uintptr(s.after-1), b)
	switch {
	case err == syscall.EAGAIN:
		return 0, nil
	case err != 0:
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: err}
	}
	return n, nil
}
