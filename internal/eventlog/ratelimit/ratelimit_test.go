package ratelimit_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testkit.Redialing()) }

func start(t *testing.T, s *redistest.Server, cfg ratelimit.Config) *ratelimit.Limiter {
	t.Helper()
	cfg.Partitions = 16
	l := ratelimit.New(s.Client(t), cfg)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = l.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return l
}

// reserve requests n tokens at the same time and returns the verdicts in the order of the requests.
func reserve(t *testing.T, l *ratelimit.Limiter, user chat.UserID, n int) []ratelimit.Verdict {
	t.Helper()
	verdicts := make([]ratelimit.Verdict, n)
	var wg sync.WaitGroup
	wg.Add(n)
	for i := range n {
		l.Reserve(user, func(v ratelimit.Verdict, err error) {
			if err != nil {
				t.Error(err)
			}
			verdicts[i] = v
			wg.Done()
		})
	}
	wg.Wait()
	return verdicts
}

func granted(vs []ratelimit.Verdict) (n int) {
	for _, v := range vs {
		if v.Granted {
			n++
		}
	}
	return n
}

func TestLimit_countsOverAllInstances(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t)
	cfg := ratelimit.Config{Count: 20, Window: time.Minute, Block: time.Minute}
	one, two := start(t, s, cfg), start(t, s, cfg)
	ann, bob := chat.NewUserID(), chat.NewUserID()
	if got := granted(reserve(t, one, ann, 12)) + granted(reserve(t, two, ann, 12)); got != 20 {
		t.Errorf("%d granted, want 20", got)
	}
	if got := granted(reserve(t, two, bob, 5)); got != 5 {
		t.Errorf("another user: %d granted, want 5", got)
	}
	vs := reserve(t, one, ann, 1)
	if vs[0].Granted || vs[0].Blocked != 0 {
		t.Errorf("over, not blocked: %+v", vs[0])
	}
	one.Refund(ann)
	testkit.Until(t, testkit.Timeout, func() error {
		if granted(reserve(t, two, ann, 1)) == 1 {
			return nil
		}
		return context.DeadlineExceeded
	})
}

func TestBlock_isNotLengthened(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t)
	l := start(t, s, ratelimit.Config{Count: 1, Window: time.Millisecond, Block: 30 * time.Second})
	ann := chat.NewUserID()
	if d, err := l.Block(t.Context(), ann); err != nil || d != 30*time.Second {
		t.Fatalf("block: %v, %v", d, err)
	}
	first := reserve(t, l, ann, 1)[0]
	if first.Granted || first.Blocked <= 0 {
		t.Fatalf("blocked: %+v", first)
	}
	testkit.Until(t, testkit.Timeout, func() error {
		d, err := l.Block(t.Context(), ann)
		if err != nil || d >= first.Blocked {
			return context.DeadlineExceeded
		}
		return nil
	})
}

func TestWindow_slides(t *testing.T) {
	t.Parallel()
	l := start(t, redistest.NewServer(t), ratelimit.Config{Count: 3, Window: 300 * time.Millisecond, Block: time.Minute})
	ann := chat.NewUserID()
	if got := granted(reserve(t, l, ann, 5)); got != 3 {
		t.Fatalf("%d granted, want 3", got)
	}
	testkit.Until(t, testkit.Timeout, func() error {
		if granted(reserve(t, l, ann, 1)) == 1 {
			return nil
		}
		return context.DeadlineExceeded
	})
}

func TestOutage_isUnavailable(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t)
	l := start(t, s, ratelimit.Config{Count: 3, Window: time.Minute, Block: time.Minute, Timeout: 200 * time.Millisecond})
	reserve(t, l, chat.NewUserID(), 1)
	s.Kill(t)
	got := make(chan error, 1)
	l.Reserve(chat.NewUserID(), func(_ ratelimit.Verdict, err error) { got <- err })
	if err := <-got; apierr.CodeOf(err) != apierr.Unavailable {
		t.Errorf("%v", err)
	}
	s.Start(t)
	if granted(reserve(t, l, chat.NewUserID(), 1)) != 1 { // the script cache is now empty
		t.Error("not granted after the outage")
	}
}

func TestNoLimit(t *testing.T) {
	l := ratelimit.New(nil, ratelimit.Config{})
	if got := granted(reserve(t, l, chat.NewUserID(), 3)); got != 3 {
		t.Errorf("%d granted", got)
	}
}
