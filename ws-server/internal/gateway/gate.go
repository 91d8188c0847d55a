package gateway

import (
	"sync"
	"time"
)

// gate counts running operations and can be closed to new ones. Unlike a plain WaitGroup, it
// prevents operations from being added while another goroutine waits for the count to reach zero.
type gate struct {
	mu     sync.RWMutex // enter holds it for reading
	closed bool
	active sync.WaitGroup
}

// enter starts an operation and reports whether the gate is open. If it is, the caller must call
// leave when the operation ends.
func (g *gate) enter() bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.closed {
		return false
	}
	g.active.Add(1)
	return true
}

func (g *gate) leave() { g.active.Done() }

// run runs f in a goroutine. If the gate is closed, it returns false and does not run f.
func (g *gate) run(f func()) bool {
	if !g.enter() {
		return false
	}
	go func() {
		defer g.leave()
		f()
	}()
	return true
}

// close closes the gate. Running operations continue.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// waitTimeout waits at most d for all operations to end and reports whether they have ended.
func (g *gate) waitTimeout(d time.Duration) bool {
	done := make(chan struct{})
	// If the timeout expires first, this goroutine keeps running until the last operation ends.
	go func() {
		g.active.Wait()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-time.After(d):
		return false
	}
}
