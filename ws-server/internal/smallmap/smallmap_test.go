package smallmap

import (
	"maps"
	"math/rand/v2"
	"testing"
)

// It does what a map does, across the number of entries at which it becomes one.
func TestMap(t *testing.T) {
	for range 200 {
		var m Map[int, int]
		like := map[int]int{}
		keys := 1 + rand.IntN(3*maxFew)
		for range 200 {
			k, v := rand.IntN(keys), rand.Int()
			if rand.IntN(3) == 0 {
				m.Delete(k)
				delete(like, k)
			} else {
				m.Set(k, v)
				like[k] = v
			}
			got, found := m.Get(k)
			if want, there := like[k]; got != want || found != there || m.Len() != len(like) {
				t.Fatalf("%d = %d, %v, of %d; want %d, %v, of %d", k, got, found, m.Len(), want, there, len(like))
			}
		}
		if got := maps.Collect(m.All()); !maps.Equal(got, like) {
			t.Fatalf("%v, want %v", got, like)
		}
	}
}
