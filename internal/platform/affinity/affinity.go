// Package affinity keeps the workers of one piece of work on cores of their own.
//
// A few threads that begin to work at the same moment, and for some ten milliseconds, are often put on the
// core of the one that woke them, and there they take turns: the kernel's balancing looks at how busy the cores
// are over a longer time than that, while other cores do next to nothing. So a worker looks where the others
// are, and moves away. Of what else runs on the cores it knows nothing.
package affinity

import "sync/atomic"

// Spread is the workers of one piece of work.
type Spread struct {
	at []atomic.Int64 // the place of each; 0: it has not begun, or has ended
}

// place is a thread and the core that it was on: a goroutine may go on in the thread that another one has left.
type place struct{ thread, core int32 }

func (p place) note() int64 { return int64(p.thread)<<32 | int64(p.core) }

func noted(n int64) place { return place{thread: int32(n >> 32), core: int32(n & 0x7fffffff)} }

// NewSpread returns a Spread of so many workers.
func NewSpread(workers int) *Spread { return &Spread{at: make([]atomic.Int64, workers)} }

// Apart moves the calling worker to a core where none of the others was, if it finds itself on the core of
// one that comes before it. To be called every now and then: where it can stay it costs a fifth of a
// microsecond, else some twenty. The thread may run where it could before when Apart returns. Where there is no
// telling (not Linux), it does nothing.
func (s *Spread) Apart(worker int) {
	here, ok := current()
	if !ok {
		return
	}
	s.at[worker].Store(here.note())
	for i := range worker {
		if s.on(i, here.thread) == here.core {
			if here, ok = move(s.taken(worker, here.thread)); ok {
				s.at[worker].Store(here.note())
			}
			return
		}
	}
}

// Ended says that a worker has nothing left to do.
func (s *Spread) Ended(worker int) { s.at[worker].Store(0) }

// on returns the core of a worker; below 0 if it is on none, or was last in this very thread.
func (s *Spread) on(worker int, thread int32) int32 {
	if n := s.at[worker].Load(); n != 0 && noted(n).thread != thread {
		return noted(n).core
	}
	return -1
}

// taken returns the cores of all workers but one, which runs in a thread.
func (s *Spread) taken(but int, thread int32) (taken []int32) {
	for i := range s.at {
		if on := s.on(i, thread); i != but && on >= 0 {
			taken = append(taken, on)
		}
	}
	return taken
}
