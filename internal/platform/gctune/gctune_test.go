package gctune

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"

	"parley.chat/internal/devkit/testkit"
)

func TestPercentFor(t *testing.T) {
	t.Parallel()
	p := Policy{Percent: 40, Room: 72 << 20}
	for _, tt := range []struct {
		live uint64
		want int
	}{
		{0, maxPercent}, {1, maxPercent}, {8 << 20, 800}, {36 << 20, 100}, {48 << 20, 50}, {60 << 20, 40}, {72 << 20, 40}, {1 << 40, 40},
	} {
		if got := p.percentFor(tt.live); got != tt.want {
			t.Errorf("%d live: %d%%, want %d%%", tt.live, got, tt.want)
		}
	}
}

// TestKeep checks that the GC percentage is adjusted to the size of the live heap.
func TestKeep(t *testing.T) {
	t.Cleanup(func() { debug.SetGCPercent(100) })
	share := func() int {
		now := debug.SetGCPercent(100)
		debug.SetGCPercent(now)
		return now
	}
	Policy{Percent: 40, Room: 72 << 20}.Keep()
	if got := share(); got < 150 {
		t.Errorf("%d%% of next to nothing", got)
	}
	live := make([]byte, 80<<20)
	testkit.Until(t, testkit.Timeout, func() error {
		runtime.GC()
		if got := share(); got != 40 {
			return fmt.Errorf("the share is %d%%", got)
		}
		return nil
	})
	runtime.KeepAlive(live)
}
