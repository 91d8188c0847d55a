package group

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff waits exponentially longer between attempts, with jitter so that instances do not retry
// in lockstep.
type Backoff struct {
	Min, Max time.Duration
	Tries    int // failed attempts since the last success
}

// Wait sleeps before the next attempt. It returns false if ctx has ended.
func (b *Backoff) Wait(ctx context.Context) bool {
	d := min(b.Max, b.Min<<min(b.Tries, 16))
	b.Tries++
	timer := time.NewTimer(d/2 + rand.N(d/2+1))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Reset restarts the backoff after a success.
func (b *Backoff) Reset() { b.Tries = 0 }

// attemptTimeout bounds one attempt, even after ctx has ended.
const attemptTimeout = 30 * time.Second

// Retry calls f until it succeeds, and calls failed after each failed attempt. An attempt continues
// even if ctx ends. Once ctx has ended, Retry does not start another attempt and returns the last
// error.
func (b *Backoff) Retry(ctx context.Context, f func(context.Context) error, failed func(tries int, err error)) error {
	for {
		attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
		err := f(attempt)
		cancel()
		if err == nil {
			return nil
		}
		failed(b.Tries+1, err)
		if !b.Wait(ctx) {
			return err
		}
	}
}
