package stats_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"parley.chat/loadtest/internal/stats"
)

func TestHistogram_quantilesAreWithinTheStep(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h stats.Histogram
	values := make([]int64, 50_000)
	for i := range values {
		values[i] = int64(math.Exp(rng.Float64() * 24)) // from 1 ns to about 26 s
		h.Add(values[i])
	}
	slices.Sort(values)
	for _, q := range []float64{.001, .5, .9, .99, .999, 1} {
		want := float64(values[max(int(math.Ceil(q*float64(len(values))))-1, 0)])
		got := float64(h.Quantile(q))
		if math.Abs(got-want) > want*.016+1 {
			t.Errorf("quantile %v = %v, want %v", q, got, want)
		}
	}
	if h.Max() != time.Duration(values[len(values)-1]) || h.Count() != int64(len(values)) {
		t.Errorf("max %v, count %d", h.Max(), h.Count())
	}
}

func TestHistogram_merge(t *testing.T) {
	var whole, one, other stats.Histogram
	for i := range int64(1000) {
		whole.Add(i * i)
		if i%3 == 0 {
			one.Add(i * i)
		} else {
			other.Add(i * i)
		}
	}
	one.Merge(&other)
	if one != whole {
		t.Errorf("merged: %d, %v, %v; want %d, %v, %v", one.Count(), one.Max(), one.Quantile(.5), whole.Count(), whole.Max(), whole.Quantile(.5))
	}
}

func TestHistogram_edges(t *testing.T) {
	var h stats.Histogram
	if h.Quantile(.5) != 0 {
		t.Error("the quantile of an empty histogram is not 0")
	}
	h.Add(-5)
	h.Add(math.MaxInt64)
	if h.Quantile(.5) != 0 || h.Quantile(1) <= 0 || h.Max() != math.MaxInt64 {
		t.Errorf("quantiles %v, %v", h.Quantile(.5), h.Quantile(1))
	}
	var small stats.Histogram
	for i := range int64(200) {
		small.Add(i)
	}
	if n := small.Within(99); n < 99 || n > 102 {
		t.Errorf("%d of 200 within 99", n)
	}
}

func TestMedianOf(t *testing.T) {
	for _, tt := range []struct {
		in   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 3}, 2.5}} {
		if got := stats.MedianOf(tt.in); got != tt.want {
			t.Errorf("MedianOf(%v) = %v, want %v", tt.in, got, tt.want)
		}
	}
}

func TestOutlier(t *testing.T) {
	for _, tt := range []struct {
		in   []float64
		want int
	}{{nil, -1}, {[]float64{1, 1.1, .9}, -1}, {[]float64{1, 1.1, .7}, 2}, {[]float64{2, 1, 1}, 0}, {[]float64{0, 0}, -1}} {
		if got := stats.Outlier(tt.in, .15); got != tt.want {
			t.Errorf("Outlier(%v) = %d, want %d", tt.in, got, tt.want)
		}
	}
}

func TestRound(t *testing.T) {
	for in, want := range map[float64]float64{0: 0, 1234.5: 1230, .0012345: .00123, -99.96: -100} {
		if got := stats.Round(in, 3); math.Abs(got-want) > 1e-12 {
			t.Errorf("Round(%v) = %v, want %v", in, got, want)
		}
	}
}
