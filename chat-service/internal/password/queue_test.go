package password

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/shared-contracts/apierr"
)

func from(addr string) Source {
	return Source{Networks: ratelimit.Networks(netip.MustParseAddr(addr))}
}

func knownFrom(addr string) Source { return Source{Networks: from(addr).Networks, Known: true} }

// wait starts work, which waits in q, and returns a channel that receives its result.
func wait(t *testing.T, q *queue, work func() error) <-chan error {
	t.Helper()
	total := func() int {
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.root.total()
	}
	before, out := total(), make(chan error, 1)
	go func() { out <- work() }()
	testkit.Until(t, testkit.Timeout, func() error {
		if total() > before || len(out) > 0 {
			return nil
		}
		return fmt.Errorf("still %d waiting callers", before)
	})
	return out
}

// busy returns a queue that serves one caller at a time and is serving one now, with room for the
// given number of waiting callers.
func busy(t *testing.T, room int) *queue {
	t.Helper()
	q := &queue{free: 1, room: room}
	if err := q.enter(t.Context(), Source{}); err != nil {
		t.Fatal(err)
	}
	return q
}

// TestQueue_homeNetwork fills the queue from 256 networks of one household. Other callers, even
// from other networks in the same /48, still get a place and are served next.
func TestQueue_homeNetwork(t *testing.T) {
	t.Parallel()
	q := busy(t, 64)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	refused, done := 0, make(chan error, 1024)
	for i := range 1024 {
		source := from(fmt.Sprintf("2001:db8:1:1%02x::%d", i%256, i/256+1))
		if i < 64 {
			go func() { done <- q.enter(ctx, source) }()
			testkit.Until(t, testkit.Timeout, func() error {
				q.mu.Lock()
				defer q.mu.Unlock()
				if n := q.root.total(); n <= i {
					return fmt.Errorf("%d waiting callers", n)
				}
				return nil
			})
		} else if err := q.enter(ctx, source); apierr.CodeOf(err) == apierr.Overloaded {
			refused++
		}
	}
	if refused != 960 {
		t.Errorf("%d callers were refused, want 960", refused)
	}
	others := map[string]<-chan error{}
	for _, addr := range []string{"2001:db8:1:200::1", "2001:db8:2::1", "192.0.2.1"} {
		others[addr] = waitFull(t, q, from(addr))
	}
	for range 6 { // each of the other callers is served among these six
		q.leave()
	}
	for addr, out := range others {
		select {
		case err := <-out:
			if err != nil {
				t.Errorf("%s: %v", addr, err)
			}
		case <-time.After(testkit.Timeout):
			t.Errorf("%s did not get a turn", addr)
		}
	}
	cancel()
	for range 64 {
		<-done
	}
}

// waitFull starts a caller that takes a place in a full queue, and returns a channel that receives
// its result.
func waitFull(t *testing.T, q *queue, source Source) <-chan error {
	t.Helper()
	out := make(chan error, 1)
	count := func() int {
		q.mu.Lock()
		defer q.mu.Unlock()
		b := &q.root
		for _, p := range source.path() {
			if b = b.within[p]; b == nil {
				return 0
			}
		}
		return b.total()
	}
	before := count()
	ctx := t.Context()
	go func() { out <- q.enter(ctx, source) }()
	testkit.Until(t, testkit.Timeout, func() error {
		if count() > before || len(out) > 0 {
			return nil
		}
		return fmt.Errorf("still %d waiting callers in its network", before)
	})
	return out
}

// TestQueue_knownFirst checks that known sources go first, except at every fourth turn, and replace
// unknown ones.
func TestQueue_knownFirst(t *testing.T) {
	t.Parallel()
	q := busy(t, 6)
	order := make(chan string, 8)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	start := func(name string, source Source) <-chan error {
		return wait(t, q, func() error {
			err := q.enter(ctx, source)
			if err == nil {
				order <- name
			}
			return err
		})
	}
	last := map[string]<-chan error{}
	for i, name := range []string{"u1", "u2", "u3"} {
		last[name] = start(name, from(fmt.Sprintf("192.0.%d.1", i)))
	}
	for i, name := range []string{"k1", "k2", "k3"} {
		start(name, knownFrom(fmt.Sprintf("198.51.%d.1", i)))
	}
	// The queue is full, with one caller per network. Another known caller replaces an unknown one.
	fourth := waitFull(t, q, knownFrom("203.0.113.1"))
	lost := 0
	for name, out := range last {
		select {
		case err := <-out:
			if lost++; apierr.CodeOf(err) != apierr.Overloaded {
				t.Errorf("%s: %v", name, err)
			}
		default:
		}
	}
	if lost != 1 {
		t.Errorf("%d callers were replaced, want 1", lost)
	}
	if err := q.enter(ctx, from("203.0.114.1")); apierr.CodeOf(err) != apierr.Overloaded {
		t.Errorf("another unknown caller: %v, want Overloaded", err)
	}
	var got []byte
	for range 4 {
		q.leave()
		got = append(got, (<-order)[0])
	}
	if string(got) != "kkku" {
		t.Errorf("order = %s, want kkku", got)
	}
	q.leave()
	if err := <-fourth; err != nil {
		t.Error(err)
	}
}

// TestQueue_givesUp checks that a canceled caller leaves no trace, and that a turn that is assigned
// to it at that moment is not lost.
func TestQueue_givesUp(t *testing.T) {
	t.Parallel()
	q := busy(t, 100)
	for i := range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		out := wait(t, q, func() error { return q.enter(ctx, from(fmt.Sprintf("192.0.2.%d", i))) })
		go cancel()
		if i%2 == 0 {
			q.leave()
		}
		if err := <-out; i%2 == 0 && err != nil { // the caller gave up, so its turn was not used
			if err := q.enter(t.Context(), Source{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if q.leave(); q.free != 1 || q.root.total() != 0 || len(q.root.within) != 0 {
		t.Errorf("the queue is not empty: %+v", q.root)
	}
}
