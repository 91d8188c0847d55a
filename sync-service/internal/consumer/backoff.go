package consumer

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff waits ever longer between tries, with jitter, so that instances do not come back in step.
type backoff struct {
	min, max time.Duration
	tries    int
}

// wait sleeps and reports whether to try again: false when ctx has ended.
func (b *backoff) wait(ctx context.Context) bool {
	d := min(b.max, b.min<<min(b.tries, 16))
	b.tries++
	timer := time.NewTimer(d/2 + rand.N(d/2+1))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (b *backoff) reset() { b.tries = 0 }

func (c *Consumer) backoff() *backoff { return &backoff{min: c.cfg.RetryMin, max: c.cfg.RetryMax} }
