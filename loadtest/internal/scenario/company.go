package scenario

import (
	"math/rand/v2"
	"slices"
)

// company is who is in which channel.
type company struct {
	rosters [][]int // members by channel, the largest channels first
	of      [][]int // channels by person, the largest first
}

// found makes a company. Its large channels follow Zipf's law: the first has everybody, the second every
// second person, the third every third. Each person comes to so many channels in all by being in small
// ones, of colleagues. The same company comes out each time.
func found(people, large, each, team int) *company {
	rng := rand.New(rand.NewPCG(1, 2)) // any
	c := &company{of: make([][]int, people)}
	for k := range large {
		c.add(rng.Perm(people)[:max(people/(k+1), 1)])
	}
	var seats []int // a person once for each small channel that is still to be found
	for i := range people {
		for range each - len(c.of[i]) {
			seats = append(seats, i)
		}
	}
	rng.Shuffle(len(seats), func(i, j int) { seats[i], seats[j] = seats[j], seats[i] })
	for members := range slices.Chunk(seats, team) {
		slices.Sort(members)
		c.add(slices.Compact(members))
	}
	return c
}

func (c *company) add(members []int) {
	for _, i := range members {
		c.of[i] = append(c.of[i], len(c.rosters))
	}
	c.rosters = append(c.rosters, slices.Clone(members))
}

// pick returns one of a person's channels by Zipf's law: the largest most often, the second half as often.
func (c *company) pick(rng *rand.Rand, person int) int {
	list, total := c.of[person], 0.0
	for rank := range list {
		total += 1 / float64(rank+1)
	}
	left := rng.Float64() * total
	for rank, channel := range list {
		if left -= 1 / float64(rank+1); left < 0 {
			return channel
		}
	}
	return list[len(list)-1]
}
