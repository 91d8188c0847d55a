// Package socket reads and writes sockets at the least cost that Go's netpoller allows.
//
// The sockets of package net never block, so a read or a write of one is a short system call. Package
// syscall announces it to the scheduler all the same, as one that may take long, which wakes the runtime's
// monitor thread whenever the process was idle before: for a server that does a little a thousand times a
// second that is a sixth of its CPU. The calls made here are not announced. Where that is not to be had
// (not Linux, TLS), reads and writes are those of the net.Conn, and TryWrite takes nothing.
//
// The package starts no goroutines.
package socket

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// Side is one direction of a socket. It is used by one goroutine at a time.
type Side struct {
	conn net.Conn
	raw  syscall.RawConn // nil: use conn

	b   []byte
	n   int
	err syscall.Errno
	try func(fd uintptr) bool // made once: a closure per call would be an allocation per call
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

// Read implements io.Reader. Deadlines and Close of the net.Conn hold for it.
func (r *Reader) Read(b []byte) (int, error) {
	s := &r.side
	if s.raw == nil || len(b) == 0 {
		return s.conn.Read(b)
	}
	if s.try == nil {
		s.try = func(fd uintptr) bool {
			s.n, s.err = read(fd, s.b)
			return s.err != syscall.EAGAIN // else wait until there is something
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

// NewWriter returns the writing side of c. It is a value: there is one per connection.
func NewWriter(c net.Conn) Writer { return Writer{newSide(c)} }

// TryWrite writes as much as the socket takes right now, which may be nothing. It never waits.
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

// Write implements io.Writer: what the socket does not take at once is waited for.
func (w *Writer) Write(b []byte) (int, error) {
	n, err := w.TryWrite(b)
	if err != nil || n == len(b) {
		return n, err
	}
	m, err := w.side.conn.Write(b[n:])
	return n + m, err
}

// Sender writes a socket that its user alone closes, and is not used after that: it keeps the descriptor, and
// passes by the locks with which the net.Conn guards it against being closed meanwhile. With thousands of
// connections that are written to now and then, each lock is memory that is in no cache.
//
// Whoever has a Sender keeps the net.Conn as well: one that nobody has is closed when it is collected.
type Sender struct{ after int } // the descriptor and one: the zero Sender has none

// NewSender returns the writing side of c. It is a value: there is one per connection.
func NewSender(c net.Conn) Sender {
	var s Sender
	if sc, ok := c.(syscall.Conn); ok && direct {
		if raw, err := sc.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { s.after = int(fd) + 1 }) // of one that is closed there is none
		}
	}
	return s
}

// TryWrite is that of Writer. It must be over before the socket is closed.
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
