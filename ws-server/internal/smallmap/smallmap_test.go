package smallmap

import (
	"maps"
	"math/rand/v2"
	"testing"
)

// Map must behave like a Go map, both below and above the number of entries at which it switches to
// one.
func TestMap(t *testing.T) {
	for range 200 {
		var m Map[int, int]
		want := map[int]int{}
		keys := 1 + rand.IntN(3*maxSmall)
		for range 200 {
			k, v := rand.IntN(keys), rand.Int()
			if rand.IntN(3) == 0 {
				m.Delete(k)
				delete(want, k)
			} else {
				m.Set(k, v)
				want[k] = v
			}
			got, found := m.Get(k)
			if w, ok := want[k]; got != w || found != ok || m.Len() != len(want) {
				t.Fatalf("%d = %d, %v, of %d; want %d, %v, of %d", k, got, found, m.Len(), w, ok, len(want))
			}
		}
		if got := maps.Collect(m.All()); !maps.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	}
}
