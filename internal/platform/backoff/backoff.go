// Package backoff waits between attempts. The delays grow exponentially and have jitter, so that
// instances that failed together do not retry in lockstep.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"

	"parley.chat/internal/platform/lifecycle"
)

// Delay returns the delay after the given number of failures. The delay doubles from first up to
// last, and up to half of it is random jitter.
func Delay(failures int, first, last time.Duration) time.Duration {
	d := min(last, first<<min(failures, 16))
	return d/2 + rand.N(d/2+1)
}

// Backoff counts failed attempts and waits between them.
type Backoff struct {
	Min, Max time.Duration
	Tries    int // failed attempts since the last success
}

// Wait sleeps before the next attempt. It returns false if ctx is done.
func (b *Backoff) Wait(ctx context.Context) bool {
	d := Delay(b.Tries, b.Min, b.Max)
	b.Tries++
	return lifecycle.Sleep(ctx, d)
}

// Reset restarts the backoff after a success.
func (b *Backoff) Reset() { b.Tries = 0 }

// attemptTimeout limits the duration of each attempt. An attempt may continue after ctx is done.
const attemptTimeout = 30 * time.Second

// Retry calls f until it succeeds, and calls failed after each failed attempt. An attempt continues
// even if ctx is canceled. Once ctx is done, Retry does not start another attempt and returns the
// last error.
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
