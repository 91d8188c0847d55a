package client

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	firstWait        = time.Second      // maximum wait before the first reconnect
	maxReconnectWait = 30 * time.Second // maximum wait before any reconnect
	stableAfter      = 10 * time.Second // a connection that lasts longer than this resets the backoff
)

// maxWait returns the upper limit of the wait after the given number of consecutive failures.
func maxWait(failures int) time.Duration {
	if failures >= 5 {
		return maxReconnectWait
	}
	return min(firstWait<<failures, maxReconnectWait)
}

// upTo returns a random duration below limit (full jitter). The randomness prevents clients that
// lost their connections together from reconnecting at the same time.
func upTo(limit time.Duration) time.Duration { return rand.N(limit) }

// sleep waits for d and returns true. It returns false as soon as ctx is done.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
