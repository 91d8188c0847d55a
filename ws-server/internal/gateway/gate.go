package gateway

import (
	"sync"
	"time"
)

// gate counts what is under way, and can be closed to what would come later. Unlike with a WaitGroup
// alone, nothing can be added while somebody waits for the rest to end.
type gate struct {
	mu     sync.RWMutex // held for reading to enter
	closed bool
	active sync.WaitGroup
}

// enter reports whether the gate was open; then leave must follow.
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

// run runs f in a goroutine; false: the gate is closed and f does not run.
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

// close closes the gate. What is inside goes on.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// waitTimeout waits until nothing is inside, but no longer than d, and reports whether that came.
func (g *gate) waitTimeout(d time.Duration) bool {
	done := make(chan struct{})
	go func() { // ends with the last inside, which the drain waits for without a bound in the end
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
