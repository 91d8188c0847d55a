package scenario

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestNewCompany checks that the sizes follow Zipf's law and that both lists agree. Each user is in
// the requested number of channels, except users who would be in one small channel twice.
func TestNewCompany(t *testing.T) {
	const people, large, each, team = 600, 5, 8, 12
	c := newCompany(people, large, each, team)
	for k := range large {
		if got, want := len(c.rosters[k]), people/(k+1); got != want {
			t.Errorf("channel %d has %d members, want %d", k, got, want)
		}
	}
	places := 0
	for i, of := range c.of {
		if !slices.IsSorted(of) || len(of) > each || len(of) < each-2 {
			t.Errorf("user %d is in %v", i, of)
		}
		for _, channel := range of {
			if !slices.Contains(c.rosters[channel], i) {
				t.Errorf("user %d is not a member of channel %d", i, channel)
			}
		}
		places += len(of)
	}
	for k, roster := range c.rosters {
		places -= len(roster)
		if k >= large && len(roster) > team {
			t.Errorf("small channel %d has %d members", k, len(roster))
		}
	}
	if places != 0 {
		t.Errorf("the two lists differ by %d memberships", places)
	}
}

func TestCompanyPick(t *testing.T) {
	c := &company{of: [][]int{{3, 5, 9}}}
	rng, counts := rand.New(rand.NewPCG(1, 1)), map[int]int{}
	for range 11_000 {
		counts[c.pick(rng, 0)]++
	}
	for channel, want := range map[int]int{3: 6000, 5: 3000, 9: 2000} {
		if got := counts[channel]; got < want*9/10 || got > want*11/10 {
			t.Errorf("channel %d was picked %d times, want about %d", channel, got, want)
		}
	}
}

// TestSchedule checks that each element is served once per period, spread evenly, however often due
// is called.
func TestSchedule(t *testing.T) {
	d, turns := schedule{every: time.Second, n: 4}, map[int]int{}
	for now := int64(1); now <= 1+int64(2*time.Second); now += int64(100 * time.Millisecond) {
		d.due(now, func(i int) { turns[i]++ })
		if at := time.Duration(now - 1); at == 500*time.Millisecond && len(turns) != 2 {
			t.Errorf("after half of the period: %v", turns)
		}
	}
	for i := range 4 {
		if turns[i] != 2 {
			t.Errorf("turns in two periods: %v", turns)
		}
	}
	(&schedule{}).due(5, func(int) { t.Error("a schedule without elements calls do") })
}

func TestGrowing(t *testing.T) {
	for _, tt := range []struct {
		first, last, perSecond, want float64
	}{{100, 140, 10, 0}, {100, 900, 1000, 0}, {100, 2000, 1000, 1}, {5000, 6000, 10, 0}, {2000, 100, 10, 0}} {
		if got := growing(tt.first, tt.last, tt.perSecond); got != tt.want {
			t.Errorf("growing(%v, %v, %v) = %v", tt.first, tt.last, tt.perSecond, got)
		}
	}
}
