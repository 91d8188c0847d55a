package wsserver

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// How much garbage may gather before it is collected.
//
// A heap of many connections lives mostly at rest, and a connection's stack is most of what it costs, so
// the collector's usual share, as much again as lives, is too much memory: four tenths of it saves about
// 3 KiB per connection. A heap of few connections that says much is the opposite: four tenths of a few MiB
// is collected twenty times a second, which is a fifth of the CPU. So it is a share, and at least some MiB.
const (
	garbagePercent = 40
	garbageLeast   = 24 << 20
	garbageMost    = 1000 // percent
)

// tuneCollector keeps to that, from now on. It looks after each collection, in the runtime's own goroutine
// for finalizers, so that it is never behind.
func tuneCollector() {
	t := &collector{}
	t.adjust()
	t.afterNext()
}

type collector struct{ percent int }

// marker dies in every collection.
type marker struct{ _ [16]byte }

func (t *collector) afterNext() {
	runtime.SetFinalizer(&marker{}, func(*marker) {
		t.adjust()
		t.afterNext()
	})
}

func (t *collector) adjust() {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	percent := percentFor(sample[0].Value.Uint64())
	// Setting it stops the world for a moment: not for nothing.
	if t.percent == 0 || percent > t.percent+t.percent/8 || percent < t.percent-t.percent/8 {
		t.percent = percent
		debug.SetGCPercent(percent)
	}
}

// percentFor returns the share for a heap of which so many bytes live.
func percentFor(live uint64) int {
	least := uint64(garbageMost)
	if live > 0 {
		least = min(least, garbageLeast*100/live)
	}
	return max(garbagePercent, int(least))
}
