package streamworker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/entryid"
	"parley.chat/sync-service/internal/streamworker"
)

const partitions = 3

// world is a worker, its metrics and its log.
type world struct {
	*streamworker.Worker
	t   *testing.T
	reg *prometheus.Registry
	log *bytes.Buffer
}

func newWorld(t *testing.T, rdb redis.UniversalClient, start func(context.Context, int) (entryid.ID, error), change func(*streamworker.Config)) *world {
	t.Helper()
	w := &world{t: t, reg: prometheus.NewRegistry(), log: &bytes.Buffer{}}
	retries := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "retries"}, []string{"step"})
	w.reg.MustRegister(retries)
	cfg := streamworker.Config{Name: "a", Partitions: partitions, RetryMin: time.Second, RetryMax: 8 * time.Second, Logger: slog.New(slog.NewTextHandler(w.log, nil))}
	if change != nil {
		change(&cfg)
	}
	streams := streamworker.Streams{Key: rediskey.Receipts, Start: start, StepPrefix: "test ", Retries: retries}
	worker, err := streamworker.New(rdb, streams, cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.Worker = worker
	return w
}

// failures returns how many failures of a step are counted.
func (w *world) failures(step string) (n int) {
	w.t.Helper()
	families, err := w.reg.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == step {
				n += int(m.GetCounter().GetValue())
			}
		}
	}
	return n
}

// logged returns how often the log contains a text.
func (w *world) logged(text string) int { return strings.Count(w.log.String(), text) }

var errDown = errors.New("down")

func TestNew_requires(t *testing.T) {
	t.Parallel()
	good := streamworker.Streams{Key: rediskey.Stream, Retries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "x"}, []string{"step"})}
	for name, tt := range map[string]struct {
		streams streamworker.Streams
		cfg     streamworker.Config
	}{
		"a name":       {good, streamworker.Config{Partitions: 1}},
		"partitions":   {good, streamworker.Config{Name: "a"}},
		"keys":         {streamworker.Streams{Retries: good.Retries}, streamworker.Config{Name: "a", Partitions: 1}},
		"the counters": {streamworker.Streams{Key: good.Key}, streamworker.Config{Name: "a", Partitions: 1}},
	} {
		if _, err := streamworker.New(nil, tt.streams, tt.cfg); err == nil {
			t.Errorf("a worker without %s is accepted", name)
		}
	}
}

// TestRun_waitsOutAnOutage checks that consume is called again with growing delays, that reading
// again ends the outage and restarts the delays, and that the outage is logged once.
func TestRun_waitsOutAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil, nil)
		var at []time.Duration
		began := time.Now()
		w.Run(t.Context(), func(_ context.Context, caughtUp func()) error {
			at = append(at, time.Since(began))
			switch len(at) {
			case 5, 6: // reads entries, and then fails
				caughtUp()
			case 8:
				return nil
			}
			return errDown
		}, "partition", 7)
		if len(at) != 8 {
			t.Fatalf("consume was called %d times, want 8", len(at))
		}
		for i, seconds := range []int{1, 2, 4, 8, 1, 1, 2} {
			longest := time.Duration(seconds) * time.Second
			if d := at[i+1] - at[i]; d < longest/2 || d > longest {
				t.Errorf("after call %d it waits %v, want up to %v", i+1, d, longest)
			}
		}
		if w.failures("read") != 7 {
			t.Errorf("%d failures are counted, want 7", w.failures("read"))
		}
		if w.logged("storing is interrupted") != 1 || w.logged("storing resumed") != 1 || w.logged("partition=7") != 1 || w.logged("[test read]") == 0 {
			t.Errorf("log:\n%s", w.log)
		}
	})
}

// TestRun_ends checks that Run returns without counting a failure if it is stopped.
func TestRun_ends(t *testing.T) {
	t.Parallel()
	for name, consume := range map[string]func(stop func()) error{
		"consume returns":       func(func()) error { return nil },
		"an entry stays behind": func(func()) error { return fmt.Errorf("%w: %w", streamworker.ErrStopped, errDown) },
		"the context is done":   func(stop func()) error { stop(); return errDown },
	} {
		w := newWorld(t, nil, nil, nil)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		w.Run(ctx, func(context.Context, func()) error { return consume(stop) })
		if n := w.failures("read"); n != 0 || w.log.Len() > 0 {
			t.Errorf("%s: %d failures are counted; log:\n%s", name, n, w.log)
		}
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil, nil)
		calls := 0
		if err := w.Retry(t.Context(), "store", func(context.Context) error {
			if calls++; calls < 4 {
				return errDown
			}
			return nil
		}); err != nil || calls != 4 || w.failures("store") != 3 {
			t.Errorf("%v after %d calls, %d failures are counted", err, calls, w.failures("store"))
		}
		if w.logged("storing is interrupted") != 1 || w.logged("storing resumed") != 1 {
			t.Errorf("log:\n%s", w.log)
		}
		ctx, cancel := context.WithCancel(t.Context())
		err := w.Retry(ctx, "store", func(ctx context.Context) error {
			cancel()
			if ctx.Err() != nil {
				t.Error("the current attempt is interrupted")
			}
			return errDown
		})
		if !errors.Is(err, streamworker.ErrStopped) || !errors.Is(err, errDown) {
			t.Errorf("%v, want ErrStopped with its cause", err)
		}
	})
}

// TestTask checks which failures of a task count as an outage.
func TestTask(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil, nil)
		hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		stopped, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		w.Task(stopped, "trim", hangs)
		w.RareTask(stopped, "sweep", hangs)
		if w.failures("trim")+w.failures("sweep") != 0 || w.log.Len() > 0 {
			t.Errorf("a task that the end of the program interrupts counts as failed; log:\n%s", w.log)
		}
		w.RareTask(t.Context(), "sweep", func(context.Context) error { return errDown })
		if w.failures("sweep") != 1 || w.logged("a rare task failed") != 1 || w.logged("storing is interrupted") != 0 {
			t.Errorf("the failure of a rare task: %d are counted; log:\n%s", w.failures("sweep"), w.log)
		}
		began := time.Now()
		w.Task(t.Context(), "trim", hangs)
		if d := time.Since(began); d != 30*time.Second || w.failures("trim") != 1 || w.logged("storing is interrupted") != 1 {
			t.Errorf("a task that hangs ends after %v, %d failures are counted; log:\n%s", d, w.failures("trim"), w.log)
		}
		w.Task(t.Context(), "trim", func(context.Context) error { return nil })
		if w.logged("storing resumed") != 1 {
			t.Errorf("the outage does not end; log:\n%s", w.log)
		}
	})
}

func TestDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var last time.Time
		for after, want := range []bool{true, false, true, false} {
			if got := streamworker.Due(&last, 2*time.Second); got != want {
				t.Errorf("after %d s: due %v, want %v", after, got, want)
			}
			time.Sleep(time.Second)
		}
	})
}

// TestCreateGroup checks where a missing group begins, and that an existing group is not changed.
func TestCreateGroup(t *testing.T) {
	t.Parallel()
	rdb, ctx := redistest.NewServer(t).Client(t), t.Context()
	for p := range partitions {
		for ms := range 9 {
			if err := rdb.XAdd(ctx, &redis.XAddArgs{Stream: rediskey.Receipts(p), ID: fmt.Sprint(ms+1, "-1"), Values: []string{"a", "b"}}).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	delivered := func(p int) string {
		t.Helper()
		groups, err := rdb.XInfoGroups(ctx, rediskey.Receipts(p)).Result()
		if err != nil || len(groups) != 1 || groups[0].Name != rediskey.ConsumerGroup {
			t.Fatalf("groups of partition %d: %+v, %v", p, groups, err)
		}
		return groups[0].LastDeliveredID
	}
	at := func(_ context.Context, p int) (entryid.ID, error) { return entryid.Parse(fmt.Sprint(3+p, "-1")) }
	w, other := newWorld(t, rdb, at, nil), newWorld(t, rdb, nil, nil)
	if err := w.CreateGroup(ctx, 1); err != nil || delivered(1) != "4-1" {
		t.Errorf("the group of partition 1 begins at %s, %v; want 4-1", delivered(1), err)
	}
	if err := other.CreateGroup(ctx, 1); err != nil || delivered(1) != "4-1" {
		t.Errorf("an existing group moves to %s, %v", delivered(1), err)
	}
	if err := other.CreateGroup(ctx, 2); err != nil || delivered(2) != "0-0" {
		t.Errorf("without a start, the group begins at %s, %v; want 0-0", delivered(2), err)
	}
	if w.logged("consumer group created") != 1 || other.logged("consumer group created") != 1 {
		t.Errorf("logs:\n%s%s", w.log, other.log)
	}
	failing := newWorld(t, rdb, func(context.Context, int) (entryid.ID, error) { return entryid.ID{}, errDown }, nil)
	if err := failing.CreateGroup(ctx, 0); !errors.Is(err, errDown) || len(rdb.XInfoGroups(ctx, rediskey.Receipts(0)).Val()) != 0 {
		t.Errorf("CreateGroup = %v although the start is unknown", err)
	}
}

// TestClaimAndReap checks that the entries of a dead consumer are claimed page by page, and that
// the consumer is removed afterwards and not before.
func TestClaimAndReap(t *testing.T) {
	t.Parallel()
	rdb, ctx := redistest.NewServer(t).Client(t), t.Context()
	w := newWorld(t, rdb, nil, func(cfg *streamworker.Config) { cfg.ClaimIdle, cfg.ConsumerExpiry = time.Millisecond, time.Nanosecond })
	const entries = 7
	for p := range partitions {
		for range entries {
			rdb.XAdd(ctx, &redis.XAddArgs{Stream: rediskey.Receipts(p), Values: []string{"a", "b"}})
		}
		if err := w.CreateGroup(ctx, p); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", "dead"} { // a reads the first entries and acknowledges nothing
			if err := rdb.XReadGroup(ctx, &redis.XReadGroupArgs{Group: rediskey.ConsumerGroup, Consumer: name, Streams: []string{rediskey.Receipts(p), ">"}, Count: 4, Block: -1}).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	testkit.Until(t, testkit.Timeout, func() error { // every entry has been pending for ClaimIdle
		for p := range partitions {
			idle := rdb.XPendingExt(ctx, &redis.XPendingExtArgs{Stream: rediskey.Receipts(p), Group: rediskey.ConsumerGroup, Idle: time.Millisecond, Start: "-", End: "+", Count: 2 * entries})
			if n := len(idle.Val()); n != entries {
				return fmt.Errorf("partition %d: %d entries, want %d", p, n, entries)
			}
		}
		return nil
	})
	if n, err := w.Reap(ctx); n != 0 || err != nil {
		t.Errorf("%d consumers with pending entries are removed, %v", n, err)
	}
	var pages []int
	stored := func(messages []redis.XMessage) error {
		pages = append(pages, len(messages))
		for _, m := range messages {
			rdb.XAck(ctx, rediskey.Receipts(1), rediskey.ConsumerGroup, m.ID)
		}
		return nil
	}
	if err := w.Claim(ctx, 1, 3, stored); err != nil || !slices.Equal(pages, []int{3, 3, 1}) {
		t.Errorf("pages of %v, %v; want all %d entries in pages of up to 3", pages, err, entries)
	}
	if err := w.Claim(ctx, 2, 3, func([]redis.XMessage) error { return errDown }); !errors.Is(err, errDown) {
		t.Errorf("Claim = %v although its entries could not be stored", err)
	}
	if n, err := w.Reap(ctx); n != 1 || err != nil || w.logged("name=dead") != 1 {
		t.Errorf("%d consumers are removed, %v; log:\n%s", n, err, w.log)
	}
	names := map[int]string{}
	for p := range partitions {
		for _, c := range rdb.XInfoConsumers(ctx, rediskey.Receipts(p), rediskey.ConsumerGroup).Val() {
			names[p] += " " + c.Name
		}
	}
	if names[0] != " a dead" || names[1] != " a" || names[2] != " a dead" {
		t.Errorf("consumers that remain: %v", names)
	}
}
