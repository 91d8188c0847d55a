package consumer

import "testing"

// TestChunk_room checks that further reads keep a chunk near its limits, given the size of its
// entries so far.
func TestChunk_room(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ entries, weight, want int }{
		{maxRead, 100, maxChunkEntries - maxRead}, {maxRead, 1024, 1024 - maxRead}, {100, 10_000, 4}, {1, maxChunkBytes - 1, 1},
	} {
		ch := &chunk{entries: make([]entry, tt.entries), bytes: tt.entries * tt.weight}
		if ch.full() {
			t.Fatalf("%+v is full", tt)
		}
		if got := ch.room(); got != tt.want {
			t.Errorf("%d entries of %d bytes: room for %d, want %d", tt.entries, tt.weight, got, tt.want)
		}
	}
}
