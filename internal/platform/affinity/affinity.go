// Package affinity keeps the workers of one task on separate cores.
//
// Suppose that a few threads start to work at the same moment, for about ten milliseconds. The
// kernel often puts them on the core of the thread that woke them. There they take turns while
// other cores are almost idle, because the kernel balances the load over longer periods. So each
// worker checks on which cores the other workers run, and moves to a free core if necessary. The
// package ignores all other threads on the machine.
package affinity

import "sync/atomic"

// Spread is the set of workers of one task.
type Spread struct {
	at []atomic.Int64 // thread and core of each worker, packed; 0 if the worker has not started or has ended
}

// place is an operating system thread and the core on which it last ran. The thread is also needed,
// because the Go scheduler may run two workers on the same thread, one after the other. Both have
// then recorded the same core, but do not compete for it.
type place struct{ thread, core int32 }

func (p place) pack() int64 { return int64(p.thread)<<32 | int64(p.core) }

func unpackPlace(n int64) place { return place{thread: int32(n >> 32), core: int32(n & 0x7fffffff)} }

// NewSpread returns a Spread for the given number of workers.
func NewSpread(workers int) *Spread { return &Spread{at: make([]atomic.Int64, workers)} }

// Apart checks whether the calling worker is on the same core as a worker with a lower number. If
// so, it moves the calling worker to a core on which none of the other workers last ran. Workers
// should call it regularly. A call takes about 0.2 µs if the worker stays on its core, and about 20
// µs if it moves. The thread's CPU affinity is unchanged when Apart returns. On systems other than
// Linux it does nothing.
func (s *Spread) Apart(worker int) {
	here, ok := current()
	if !ok {
		return
	}
	s.at[worker].Store(here.pack())
	for i := range worker {
		if s.on(i, here.thread) == here.core {
			if here, ok = move(s.taken(worker, here.thread)); ok {
				s.at[worker].Store(here.pack())
			}
			return
		}
	}
}

// Ended marks a worker as finished.
func (s *Spread) Ended(worker int) { s.at[worker].Store(0) }

// on returns the core of a worker, or -1 if the worker is not running or last ran on the given
// thread.
func (s *Spread) on(worker int, thread int32) int32 {
	if n := s.at[worker].Load(); n != 0 && unpackPlace(n).thread != thread {
		return unpackPlace(n).core
	}
	return -1
}

// taken returns the cores on which the other workers last ran. except is the number of the calling
// worker, which runs on the given thread.
func (s *Spread) taken(except int, thread int32) (taken []int32) {
	for i := range s.at {
		if on := s.on(i, thread); i != except && on >= 0 {
			taken = append(taken, on)
		}
	}
	return taken
}
