// Package descriptors budgets a process's file descriptors, so that a flood of connections leaves
// enough descriptors for health checks, metrics and the connections to Redis and PostgreSQL.
//
// A connection is called plain from the time it is accepted until a handler hijacks it (for a
// WebSocket) or it ends. A Listener limits the number of plain connections; the handler limits the
// connections that it hijacks. When the limit is reached, a new connection waits in the kernel's
// backlog until another one ends. To make room, the Listener closes a plain connection that has
// made no progress for a second, unless a handler is using it. Typically, the client of a closed
// connection has never sent a request.
package descriptors

import (
	"container/list"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

const (
	// idleGrace is the time without progress after which a plain connection may be closed to make
	// room.
	idleGrace = time.Second
	// retryPause is the pause between two attempts to accept a connection while the process or the
	// machine has no free file descriptors.
	retryPause = 100 * time.Millisecond
	// repeatInterval is the interval at which a continuing lack of descriptors is logged again.
	repeatInterval = time.Minute

	minPlain, maxPlain = 64, 4096
)

// Plain returns the number of plain connections that a server with the given descriptor limit may
// have: an eighth of the limit, but at least 64 and at most 4096. A limit of 0 means unknown.
func Plain(limit int) int {
	if limit == 0 {
		return maxPlain
	}
	return min(max(limit/8, minPlain), maxPlain)
}

// Listener limits the plain connections to an HTTP server. While file descriptors are exhausted, it
// logs at most one error per minute. State must be the server's ConnState, and Serving must wrap
// its handler. It is safe for concurrent use and starts no goroutine.
type Listener struct {
	net.Listener
	max    int
	log    *slog.Logger
	closed chan struct{}
	close  func() error

	// changed has capacity 1. It signals that a plain connection has ended or was hijacked.
	changed chan struct{}

	mu    sync.Mutex // guards the fields below; nothing blocks while it is held
	order *list.List // list of *plain; the connection that has gone longest without progress comes first
	at    map[net.Conn]*list.Element

	failing  time.Time // when Accept began to fail; like the two fields below, used only by Accept
	reminded time.Time
	failures int
}

// plain is a plain connection.
type plain struct {
	conn    net.Conn
	moved   time.Time // when it last made progress
	serving bool      // a handler is using it
}

// Listen returns a Listener that accepts connections from l, with at most maxConns plain
// connections at a time.
func Listen(l net.Listener, maxConns int, log *slog.Logger) *Listener {
	d := &Listener{
		Listener: l, max: maxConns, log: log, closed: make(chan struct{}), changed: make(chan struct{}, 1),
		order: list.New(), at: make(map[net.Conn]*list.Element),
	}
	d.close = sync.OnceValue(func() error {
		close(d.closed)
		return l.Close()
	})
	return d
}

// Close closes the listener and unblocks Accept.
func (l *Listener) Close() error { return l.close() }

// Accept returns the next connection once there is room for it.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		if err := l.room(); err != nil {
			return nil, err
		}
		conn, err := l.Listener.Accept()
		if exhausted(err) {
			l.handleExhausted(err)
			continue
		}
		if err == nil {
			l.recovered()
			l.State(conn, http.StateNew)
		}
		return conn, err
	}
}

// exhausted reports whether an accept failed because file descriptors or memory ran out.
func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

// handleExhausted logs that file descriptors have run out (when it first happens, then at most once
// a minute), and then pauses. It also closes the connection that has made no progress for the
// longest time, if there is one.
func (l *Listener) handleExhausted(err error) {
	now := time.Now()
	if l.failures++; l.failing.IsZero() {
		l.failing = now
	}
	if now.Sub(l.reminded) >= repeatInterval {
		l.reminded = now
		l.log.Error("no connection can be accepted: no file descriptor is left", "failures", l.failures, "err", err)
	}
	l.mu.Lock()
	l.evictLocked(now)
	l.mu.Unlock()
	select {
	case <-l.closed:
	case <-l.changed:
	case <-time.After(retryPause):
	}
}

func (l *Listener) recovered() {
	if l.failing.IsZero() {
		return
	}
	l.log.Info("connections are accepted again", "failures", l.failures, "after", time.Since(l.failing).Round(time.Millisecond).String())
	l.failing, l.failures = time.Time{}, 0
}

// room waits until there are fewer plain connections than the limit.
func (l *Listener) room() error {
	for {
		select {
		case <-l.closed:
			return net.ErrClosed
		default:
		}
		l.mu.Lock()
		if l.order.Len() < l.max || l.evictLocked(time.Now()) {
			l.mu.Unlock()
			return nil
		}
		l.mu.Unlock()
		select {
		case <-l.closed:
		case <-l.changed:
		case <-time.After(retryPause): // after this pause, a connection may have been idle long enough to be closed
		}
	}
}

// evictLocked closes the connection that has made no progress for the longest time, provided that
// it has exceeded idleGrace and no handler is using it.
func (l *Listener) evictLocked(now time.Time) bool {
	for e := l.order.Front(); e != nil; e = e.Next() {
		p := e.Value.(*plain)
		if now.Sub(p.moved) < idleGrace {
			return false
		}
		if p.serving {
			continue
		}
		l.removeLocked(p.conn)
		_ = p.conn.Close() // the client has not sent a complete request
		return true
	}
	return false
}

func (l *Listener) removeLocked(conn net.Conn) {
	if e, ok := l.at[conn]; ok {
		l.order.Remove(e)
		delete(l.at, conn)
	}
}

// State is the ConnState of the http.Server.
func (l *Listener) State(conn net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch state {
	case http.StateHijacked, http.StateClosed:
		l.removeLocked(conn)
		select {
		case l.changed <- struct{}{}:
		default:
		}
	case http.StateNew:
		if l.at[conn] == nil { // otherwise, Accept has already counted the connection
			l.at[conn] = l.order.PushBack(&plain{conn: conn, moved: time.Now()})
		}
	default:
		l.touchLocked(conn, false)
	}
}

func (l *Listener) touchLocked(conn net.Conn, serving bool) {
	if e, ok := l.at[conn]; ok {
		p := e.Value.(*plain)
		p.moved, p.serving = time.Now(), serving
		l.order.MoveToBack(e)
	}
}

type connKey struct{}

// Context is the ConnContext of the http.Server.
func (l *Listener) Context(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// Serving returns a handler that marks a request's connection as in use while h runs.
func (l *Listener) Serving(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, ok := r.Context().Value(connKey{}).(net.Conn)
		if !ok {
			h.ServeHTTP(w, r)
			return
		}
		l.mark(conn, true)
		defer l.mark(conn, false)
		h.ServeHTTP(w, r)
	})
}

func (l *Listener) mark(conn net.Conn, serving bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.touchLocked(conn, serving)
}
