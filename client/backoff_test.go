package client_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"parley.chat/client"
)

func TestBackoff(t *testing.T) {
	t.Parallel()
	before := time.Duration(0)
	for failures := range 100 {
		c := client.MaxWait(failures)
		if c < before || c < time.Second || c > 30*time.Second {
			t.Errorf("after %d failures at most %v, was %v", failures, c, before)
		}
		before = c
		if w := client.UpTo(c); w < 0 || w >= c {
			t.Errorf("%v is not within %v", w, c)
		}
	}
	if before != 30*time.Second {
		t.Errorf("in the end at most %v", before)
	}
}

// TestBackoff_documented checks that the delays are those in docs/clients.md.
func TestBackoff_documented(t *testing.T) {
	t.Parallel()
	var waits []time.Duration
	for failures := range 7 {
		waits = append(waits, client.MaxWait(failures))
	}
	if want := "[1s 2s 4s 8s 16s 30s 30s]"; fmt.Sprint(waits) != want {
		t.Errorf("%v, want %s", waits, want)
	}
}

// TestBackoff_reset checks that the backoff restarts only after a connection that has lasted for a
// while. If it restarted earlier, clients would connect every second to a server that greets them
// and then drops them.
func TestBackoff_reset(t *testing.T) {
	t.Parallel()
	var passed atomic.Int64 // seconds
	g := newGateway(t)
	r := g.runAt(func() time.Time { return time.Unix(1_000_000+passed.Load(), 0) }, nil)
	for i, lasts := range []int64{0, 10, 11, 2} {
		r.online(i + 1)
		passed.Add(lasts)
		g.Cut("", 1012)
	}
	r.online(5)
	var attempts []int
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range all[client.Connection](r.got) {
		if e.State == client.Offline {
			attempts = append(attempts, e.Attempt)
		}
	}
	if want := "[1 2 1 2]"; fmt.Sprint(attempts) != want {
		t.Errorf("attempts %v, want %s: only the connection that lasted 11 s counts", attempts, want)
	}
}
