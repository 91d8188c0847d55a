// Package testkit holds what tests of all modules share. Its packages start the real servers.
package testkit

import (
	"testing"
	"time"
)

// Timeout bounds every wait of a test for a condition that has to come true. It is much longer than any of them takes
// on a quiet machine: a test on a busy one must not fail for being slow, and a test that waits in vain fails all the same.
const Timeout = 2 * time.Minute

// Until calls check again and again until it returns nil, and fails the test with its last error after
// timeout. It is for conditions in other processes: where there is a channel to wait on, wait on that.
func Until(t testing.TB, timeout time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(timeout)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not after %v: %v", timeout, err)
		}
		time.Sleep(pause)
	}
}
