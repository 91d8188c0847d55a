package backoff_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"parley.chat/internal/platform/backoff"
)

func TestDelay(t *testing.T) {
	t.Parallel()
	for failures := range 100 {
		full := min(200*time.Millisecond, 5*time.Millisecond<<min(failures, 10))
		for range 20 {
			if d := backoff.Delay(failures, 5*time.Millisecond, 200*time.Millisecond); d < full/2 || d > full {
				t.Fatalf("after %d failures: %v, want between %v and %v", failures, d, full/2, full)
			}
		}
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, failure, calls := backoff.Backoff{Min: time.Second, Max: time.Minute}, errors.New("down"), 0
		var reported []int
		began := time.Now()
		err := b.Retry(t.Context(), func(context.Context) error {
			if calls++; calls < 4 {
				return failure
			}
			return nil
		}, func(tries int, err error) {
			if !errors.Is(err, failure) {
				t.Errorf("reported %v", err)
			}
			reported = append(reported, tries)
		})
		if err != nil || calls != 4 || len(reported) != 3 || reported[2] != 3 {
			t.Errorf("%v after %d calls, reported %v", err, calls, reported)
		}
		if took := time.Since(began); took < 3500*time.Millisecond || took > 7*time.Second { // 1, 2 and 4 s, each reduced by up to a half
			t.Errorf("it waited %v", took)
		}
	})
}

// TestRetry_stops checks that the current attempt continues when the context ends, and that no
// further attempt follows.
func TestRetry_stops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b, failure, calls := backoff.Backoff{Min: time.Second, Max: time.Second}, errors.New("down"), 0
		err := b.Retry(ctx, func(attempt context.Context) error {
			calls++
			cancel()
			if attempt.Err() != nil {
				t.Error("the attempt has ended with the context")
			}
			return failure
		}, func(int, error) {})
		if !errors.Is(err, failure) || calls != 1 {
			t.Errorf("%v after %d calls", err, calls)
		}
	})
}
