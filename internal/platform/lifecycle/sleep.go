package lifecycle

import (
	"context"
	"time"
)

// Sleep waits for d, or until ctx is done. It reports whether ctx is still active. If d is not
// positive, it does not wait.
func Sleep(ctx context.Context, d time.Duration) bool {
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
