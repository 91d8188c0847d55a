package group

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff waits ever longer between tries, with jitter, so that instances do not come back in step.
type Backoff struct {
	Min, Max time.Duration
	Tries    int // since the last success
}

// Wait sleeps and reports whether to try again: false when ctx has ended.
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

// Reset begins anew after a success.
func (b *Backoff) Reset() { b.Tries = 0 }

// attemptTimeout bounds one try, ctx ended or not.
const attemptTimeout = 30 * time.Second

// Insist tries f until it succeeds, and tells failed of every try that has not. A try is finished even
// when ctx ends meanwhile; once it has ended there is no other, and the last error is returned.
func (b *Backoff) Insist(ctx context.Context, f func(context.Context) error, failed func(tries int, err error)) error {
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
