// Package testkit contains helpers for the tests of all modules. Its subpackages start real
// servers.
package testkit

import (
	"testing"
	"time"
)

// Timeout bounds every wait in a test for a condition that must become true. It is much longer than
// any wait takes on an idle machine: a test must not fail because the machine is busy, but it does
// fail if the condition never becomes true.
const Timeout = 2 * time.Minute

// Until calls check repeatedly until it returns nil. After timeout it fails the test with check's
// last error. It is for conditions in other processes; if there is a channel to wait on, wait on
// that instead.
func Until(t testing.TB, timeout time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(timeout)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still failing after %v: %v", timeout, err)
		}
		time.Sleep(pause)
	}
}
