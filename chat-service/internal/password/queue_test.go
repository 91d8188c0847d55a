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

// wait starts work, which waits in q, and returns its outcome once there is one.
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
		return fmt.Errorf("%d wait, as before", before)
	})
	return out
}

// busy returns a queue with one turn, which is taken, and room for so many.
func busy(t *testing.T, room int) *queue {
	t.Helper()
	q := &queue{free: 1, room: room}
	if err := q.enter(t.Context(), Source{}); err != nil {
		t.Fatal(err)
	}
	return q
}

// TestQueue_homeNetwork: 256 networks of one household fill the queue, and bystanders, also of the same /48, get
// a place and are served next.
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
					return fmt.Errorf("%d wait", n)
				}
				return nil
			})
		} else if err := q.enter(ctx, source); apierr.CodeOf(err) == apierr.Overloaded {
			refused++
		}
	}
	if refused != 960 {
		t.Errorf("%d are refused, want 960", refused)
	}
	bystanders := map[string]<-chan error{}
	for _, addr := range []string{"2001:db8:1:200::1", "2001:db8:2::1", "192.0.2.1"} {
		bystanders[addr] = waitFull(t, q, from(addr))
	}
	for range 6 { // each has its turn before the household has had four
		q.leave()
	}
	for addr, out := range bystanders {
		select {
		case err := <-out:
			if err != nil {
				t.Errorf("%s: %v", addr, err)
			}
		case <-time.After(testkit.Timeout):
			t.Errorf("%s has no turn yet", addr)
		}
	}
	cancel()
	for range 64 {
		<-done
	}
}

// waitFull lets a caller take a place in a queue that is full.
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
		return fmt.Errorf("%d wait from there, as before", before)
	})
	return out
}

// TestQueue_knownFirst: known sources come first, except for every fourth turn, and take the place of unknown ones.
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
	// It is full, each is of another network: one more known takes the place of an unknown.
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
		t.Errorf("%d have lost their place, want 1", lost)
	}
	if err := q.enter(ctx, from("203.0.114.1")); apierr.CodeOf(err) != apierr.Overloaded {
		t.Errorf("one more unknown: %v", err)
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

// TestQueue_givesUp: a caller that gives up leaves no trace, and a turn that comes at the same time is not lost.
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
		if err := <-out; i%2 == 0 && err != nil { // the turn was given to nobody
			if err := q.enter(t.Context(), Source{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if q.leave(); q.free != 1 || q.root.total() != 0 || len(q.root.within) != 0 {
		t.Errorf("the queue is not empty: %+v", q.root)
	}
}
