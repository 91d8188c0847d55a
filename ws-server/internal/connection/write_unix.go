//go:build unix

package connection

import (
	"errors"
	"syscall"
)

const canWriteRaw = true

// writeAttempt is one try to write without blocking. Its function is made once per connection.
type writeAttempt struct {
	b   []byte
	n   int
	err error
	fn  func(fd uintptr) bool
}

// write writes as much as the socket takes right now. Called with mu held.
func (c *Conn) write(b []byte) (int, error) {
	if c.raw == nil {
		return 0, nil // the writer goroutine may block, we may not
	}
	a := &c.attempt
	if a.fn == nil {
		a.fn = func(fd uintptr) bool {
			for {
				a.n, a.err = syscall.Write(int(fd), a.b)
				if !errors.Is(a.err, syscall.EINTR) {
					return true // never wait: sockets of package net are non-blocking
				}
			}
		}
	}
	a.b, a.n, a.err = b, 0, nil
	err := c.raw.Write(a.fn)
	a.b = nil
	switch {
	case err != nil:
		return 0, err
	case errors.Is(a.err, syscall.EAGAIN):
		return 0, nil
	case a.err != nil:
		return 0, a.err
	}
	return a.n, nil
}
