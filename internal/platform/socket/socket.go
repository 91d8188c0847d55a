// Package socket reads and writes sockets at the lowest cost that Go's netpoller allows.
//
// The sockets of package net are non-blocking, so reading or writing one is a short system call.
// However, package syscall announces each call to the scheduler as one that may block. If the
// process was idle, the announcement wakes the runtime's monitor thread. A server that does a
// little work a thousand times a second spends a sixth of its CPU time on this. This package does
// not announce its system calls. Where that is not possible (on systems other than Linux, or with
// TLS), reads and writes use the net.Conn, and TryWrite writes nothing.
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
	raw  syscall.RawConn // if nil, conn is used instead

	b   []byte
	n   int
	err syscall.Errno
	try func(fd uintptr) bool // callback for raw, reused because a new closure per call would allocate
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

// Read implements io.Reader. It respects the deadlines of the net.Conn and returns when the
// net.Conn is closed.
func (r *Reader) Read(b []byte) (int, error) {
	s := &r.side
	if s.raw == nil || len(b) == 0 {
		return s.conn.Read(b)
	}
	if s.try == nil {
		s.try = func(fd uintptr) bool {
			s.n, s.err = read(fd, s.b)
			return s.err != syscall.EAGAIN // if there is no data yet, wait for it
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

// NewWriter returns the writing side of c. It returns a value, not a pointer, to avoid an
// allocation per connection.
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

// Write implements io.Writer. It blocks if the socket does not accept all of b immediately.
func (w *Writer) Write(b []byte) (int, error) {
	n, err := w.TryWrite(b)
	if err != nil || n == len(b) {
		return n, err
	}
	m, err := w.side.conn.Write(b[n:])
	return n + m, err
}

// Sender writes to a socket without locking. It uses the file descriptor directly, without the
// locks that protect a net.Conn against a concurrent Close. So only the user of the Sender may
// close the socket, and must not use the Sender afterwards. With thousands of connections that are
// rarely written to, each lock would be a cache miss.
//
// The owner of a Sender must also keep a reference to the net.Conn, because the garbage collector
// closes an unreachable net.Conn.
type Sender struct{ after int } // file descriptor plus one; 0 means none

// NewSender returns the writing side of c. It returns a value, not a pointer, to avoid an
// allocation per connection.
func NewSender(c net.Conn) Sender {
	var s Sender
	if sc, ok := c.(syscall.Conn); ok && direct {
		if raw, err := sc.SyscallConn(); err == nil {
			// Control fails if the connection is closed. The Sender then writes nothing.
			_ = raw.Control(func(fd uintptr) { s.after = int(fd) + 1 })
		}
	}
	return s
}

// TryWrite is like Writer.TryWrite. The socket must not be closed before TryWrite has returned.
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
