package appender

import (
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"
)

// The backlog is computed correctly even if the watermark's entry count is from before a failover.
func TestWaiting(t *testing.T) {
	t.Parallel()
	stream := &redis.XInfoStream{LastGeneratedID: "9-0", EntriesAdded: 1000, Length: 300}
	for name, tt := range map[string]struct {
		mark []any
		want int64
	}{
		"nothing was stored":               {[]any{nil, nil}, 300},
		"all is stored":                    {[]any{"9-0", "1000"}, 0},
		"all is stored, the count is old":  {[]any{"9-0", "200"}, 0},
		"some wait":                        {[]any{"8-0", "990"}, 10},
		"some wait, the count is old":      {[]any{"8-0", "200"}, 300},
		"the count is of another stream":   {[]any{"8-0", "5000"}, 300},
		"only the watermark's id is known": {[]any{"8-0", nil}, 300},
	} {
		if got := waiting(stream, tt.mark); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

// One partition may use the whole budget. Once the budget is exceeded, partitions above their share
// are refused.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		backlogs []int64
		refused  []int
	}{
		"nothing waits":             {[]int64{0, 0, 0, 0}, nil},
		"one has all of the budget": {[]int64{1000, 0, 0, 0}, nil},
		"one has more":              {[]int64{1001, 0, 0, 0}, []int{0}},
		"two have more than theirs": {[]int64{600, 401, 250, 0}, []int{0, 1}},
		"all have more than theirs": {[]int64{251, 251, 251, 251}, []int{0, 1, 2, 3}},
	} {
		var refused []int
		for p, reason := range refusals(tt.backlogs, 1000) {
			if reason != "" {
				refused = append(refused, p)
			}
		}
		if !slices.Equal(refused, tt.refused) {
			t.Errorf("%s: refused %v, want %v", name, refused, tt.refused)
		}
	}
}
