package scenario

import (
	"math/rand/v2"
	"slices"
)

// company holds the channels of a simulated company and their members.
type company struct {
	rosters [][]int // members by channel, the largest channels first
	of      [][]int // channels by user, the largest first
}

// newCompany creates a company. The sizes of its large channels follow Zipf's law: the first
// contains all users, the second contains half of them, the third contains a third. It then adds
// each user to small channels until the user is in the given number of channels. The same arguments
// always give the same result.
func newCompany(people, large, each, team int) *company {
	rng := rand.New(rand.NewPCG(1, 2)) // any fixed seed
	c := &company{of: make([][]int, people)}
	for k := range large {
		c.add(rng.Perm(people)[:max(people/(k+1), 1)])
	}
	var seats []int // user indexes; a user occurs once per small channel that the user will join
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

// pick returns a random channel of a user. The probabilities follow Zipf's law: the second-largest
// channel is half as likely as the largest.
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
