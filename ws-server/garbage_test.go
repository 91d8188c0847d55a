package wsserver

import "testing"

func TestPercentFor(t *testing.T) {
	for _, tt := range []struct {
		live uint64
		want int
	}{
		{0, garbageMost}, {1, garbageMost}, {8 << 20, 300}, {24 << 20, 100}, {60 << 20, garbagePercent}, {1 << 40, garbagePercent},
	} {
		if got := percentFor(tt.live); got != tt.want {
			t.Errorf("%d live: %d%%, want %d%%", tt.live, got, tt.want)
		}
	}
}
