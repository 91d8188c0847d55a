package client

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	firstWait = time.Second      // the most that is waited before the first attempt to connect again
	longest   = 30 * time.Second // before any
	steady    = 10 * time.Second // a connection that has lasted as long was good
)

// ceiling is the most that is waited after so many failures in a row.
func ceiling(failures int) time.Duration {
	if failures >= 5 {
		return longest
	}
	return min(firstWait<<failures, longest)
}

// upTo is full jitter: anything up to limit, so that clients that were cut off together do not come back
// together.
func upTo(limit time.Duration) time.Duration { return rand.N(limit) }

// sleep reports whether d has passed, and not ctx ended.
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
