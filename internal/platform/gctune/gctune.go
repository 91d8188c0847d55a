// Package gctune says how much garbage a process may gather before Go collects it: a share of what
// lives, and whatever a small heap has room for. The share alone, which is what GOGC says, makes a small heap
// that says much be collected many times a second, which can be a sixth of the CPU.
//
// It is for programs, once, and never for one that shares its process: the collector is the process's.
package gctune

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Policy is how much garbage may gather.
type Policy struct {
	Percent int    // of what lives
	Room    uint64 // bytes, what lives on the heap and the stacks included, that are used before anything is collected
}

// most bounds the share, in percent, of a heap in which next to nothing lives.
const most = 1000

// Keep keeps to the policy from now on. It looks after each collection, in the runtime's own goroutine for
// finalizers, so that it is never behind.
func (p Policy) Keep() {
	k := &keeper{policy: p}
	k.adjust()
	k.afterNext()
}

type keeper struct {
	policy  Policy
	percent int // as set last; 0 before
}

// marker dies in every collection.
type marker struct{ _ [16]byte }

func (k *keeper) afterNext() {
	runtime.SetFinalizer(&marker{}, func(*marker) {
		k.adjust()
		k.afterNext()
	})
}

func (k *keeper) adjust() {
	// The collector's share is of stacks, too.
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(samples)
	percent := k.policy.percentFor(samples[0].Value.Uint64() + samples[1].Value.Uint64())
	// Setting it stops the world for a moment: not for nothing.
	if k.percent == 0 || percent > k.percent+k.percent/8 || percent < k.percent-k.percent/8 {
		k.percent = percent
		debug.SetGCPercent(percent)
	}
}

// percentFor returns the share where so many bytes live, stacks included.
func (p Policy) percentFor(live uint64) int {
	if live >= p.Room {
		return p.Percent
	}
	if live == 0 {
		return most
	}
	return max(p.Percent, int(min(most, (p.Room-live)*100/live)))
}
