// Package testkit contains helpers for the tests of all modules. Its subpackages start real
// servers.
package testkit

import (
	"testing"
	"time"
)

// Timeout limits how long a test waits for a condition that must become true. It is much longer
// than any wait takes on an idle machine, so that a test does not fail only because the machine is
// busy.
const Timeout = 2 * time.Minute

// Until calls check repeatedly until it returns nil. After timeout it fails the test with check's
// last error. Use it for conditions in other processes. If there is a Go channel to wait on, wait
// on the channel instead.
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
