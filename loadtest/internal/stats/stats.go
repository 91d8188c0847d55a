// Package stats summarizes measurements.
package stats

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"time"
)

// The histogram has 64 buckets per power of two, so its error is below 1.6%.
const (
	stepBits = 6
	steps    = 1 << stepBits
	buckets  = (64 - stepBits) * steps
)

// Histogram counts durations. Its zero value is ready for use. It is not safe for concurrent use.
type Histogram struct {
	counts [buckets]uint32
	n      int64
	max    int64
}

// Add counts a duration in nanoseconds. A negative duration counts as zero.
func (h *Histogram) Add(ns int64) {
	ns = max(ns, 0)
	h.counts[bucketOf(ns)]++
	h.n++
	h.max = max(h.max, ns)
}

func bucketOf(ns int64) int {
	exp := max(bits.Len64(uint64(ns))-stepBits-1, 0)
	return exp<<stepBits + int(ns>>exp)
}

// middle returns the midpoint of a bucket, in nanoseconds.
func middle(bucket int) int64 {
	exp := max(bucket>>stepBits-1, 0)
	low := int64(bucket-exp<<stepBits) << exp
	return low + (1<<exp)/2
}

// Merge adds the counts of other to h.
func (h *Histogram) Merge(other *Histogram) {
	for i, c := range other.counts {
		h.counts[i] += c
	}
	h.n += other.n
	h.max = max(h.max, other.max)
}

// Count returns how many durations were counted.
func (h *Histogram) Count() int64 { return h.n }

// Max returns the longest duration.
func (h *Histogram) Max() time.Duration { return time.Duration(h.max) }

// Quantile returns the q-quantile of the durations, for q from 0 to 1. It returns 0 if the
// histogram is empty.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank := max(int64(math.Ceil(q*float64(h.n))), 1)
	for i, c := range h.counts {
		if rank -= int64(c); rank <= 0 {
			return min(time.Duration(middle(i)), h.Max())
		}
	}
	return h.Max()
}

// Within returns the number of durations that do not exceed d, within the precision of the
// histogram.
func (h *Histogram) Within(d time.Duration) (n int64) {
	for _, c := range h.counts[:bucketOf(int64(d))+1] {
		n += int64(c)
	}
	return n
}

// Quantiles holds the quantiles of a distribution, in milliseconds, for reports.
type Quantiles struct {
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p99_9_ms"`
	Max  float64 `json:"max_ms"`
}

// Quantiles returns the quantiles of h.
func (h *Histogram) Quantiles() Quantiles {
	ms := func(d time.Duration) float64 { return Round(float64(d)/float64(time.Millisecond), 4) }
	return Quantiles{ms(h.Quantile(.5)), ms(h.Quantile(.99)), ms(h.Quantile(.999)), ms(h.Max())}
}

// Median returns the median of values. If the number of values is even, it calls mean with the
// middle two. It returns the zero value if values is empty.
func Median[T cmp.Ordered](values []T, mean func(a, b T) T) (m T) {
	if len(values) == 0 {
		return m
	}
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return mean(sorted[half-1], sorted[half])
}

// MedianOf returns the median of numbers.
func MedianOf(values []float64) float64 {
	return Median(values, func(a, b float64) float64 { return (a + b) / 2 })
}

// Outlier returns the index of the value farthest from the median. It returns -1 if no value
// differs from the median by more than the given fraction (part) of the median.
func Outlier(values []float64, part float64) int {
	m, at, worst := MedianOf(values), -1, part
	for i, v := range values {
		if m == 0 {
			return -1
		}
		if off := math.Abs(v-m) / math.Abs(m); off > worst {
			at, worst = i, off
		}
	}
	return at
}

// Round rounds v to the given number of significant digits.
func Round(v float64, digits int) float64 {
	if v == 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return v
	}
	scale := math.Pow(10, float64(digits-1)-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}
