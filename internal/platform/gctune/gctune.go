// Package gctune sets the amount of garbage that a process may accumulate before Go collects it.
// The amount is a percentage of the live memory. If the live memory is small, the amount is larger:
// a collection then starts only when live memory and garbage together reach a fixed total. With
// only a percentage, as set by GOGC, a small heap with a high allocation rate is collected many
// times a second. These collections can take a sixth of the CPU time.
//
// A program calls Keep once. Libraries must not call it, because the whole process shares the
// collector.
package gctune

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Policy sets how much garbage may accumulate.
type Policy struct {
	Percent int // of the live memory
	// Room is the number of bytes of heap and stacks, including live memory, that may be in use
	// before a collection starts.
	Room uint64
}

// maxPercent limits the percentage for a heap with almost no live memory.
const maxPercent = 1000

// Keep applies the policy until the process ends. It adjusts Go's GC percentage (GOGC) after each
// collection, in the runtime's finalizer goroutine.
func (p Policy) Keep() {
	k := &keeper{policy: p}
	k.adjust()
	k.afterNext()
}

type keeper struct {
	policy  Policy
	percent int // the percentage that was set last; 0 if none was set
}

// marker becomes unreachable immediately, so every collection runs its finalizer.
type marker struct{ _ [16]byte }

func (k *keeper) afterNext() {
	runtime.SetFinalizer(&marker{}, func(*marker) {
		k.adjust()
		k.afterNext()
	})
}

func (k *keeper) adjust() {
	// The percentage applies to stacks, too.
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(samples)
	percent := k.policy.percentFor(samples[0].Value.Uint64() + samples[1].Value.Uint64())
	// Setting the percentage stops the world briefly, so set it only if the change is noticeable.
	if k.percent == 0 || percent > k.percent+k.percent/8 || percent < k.percent-k.percent/8 {
		k.percent = percent
		debug.SetGCPercent(percent)
	}
}

// percentFor returns the percentage for the given live memory, in bytes, including stacks.
func (p Policy) percentFor(live uint64) int {
	if live >= p.Room {
		return p.Percent
	}
	if live == 0 {
		return maxPercent
	}
	return max(p.Percent, int(min(maxPercent, (p.Room-live)*100/live)))
}
