package receipts_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/internal/platform/redisclient"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/shared-migrations/schematest"
	"parley.chat/sync-service/internal/deadletter"
	"parley.chat/sync-service/internal/receipts"
	"parley.chat/sync-service/internal/store"
	"parley.chat/sync-service/internal/streamtest"
	"parley.chat/sync-service/internal/streamworker"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	partitions = streamtest.Partitions
	head       = 1000 // last seq of every channel
)

// world is a deployment with channels and members, and without services.
type world struct {
	*streamtest.World
	receipts *receiptlog.Log
	channels []chat.ChannelID
	users    []chat.UserID
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOn(streamtest.Open(t))
}

func newWorldOn(stores *streamtest.World) *world {
	stores.T.Helper()
	w := &world{World: stores, receipts: receiptlog.New(stores.RDB, partitions)}
	for i := range 8 {
		w.users = append(w.users, w.User(fmt.Sprint("user", i)))
	}
	for range 6 {
		c := w.Channel(w.users...)
		w.channels = append(w.channels, c)
		w.SetCounter(c, head)
	}
	return w
}

// move records receipts for random members, some with lower positions and some for unknown users.
func (w *world) move(n int) {
	w.T.Helper()
	moves := make([]receiptlog.Move, n)
	for i := range moves {
		delivered := rand.Int64N(head)
		moves[i] = receiptlog.Move{
			Channel: w.channels[rand.IntN(len(w.channels))], User: w.users[rand.IntN(len(w.users))],
			Receipt: receiptlog.Receipt{Delivered: delivered, Read: rand.Int64N(delivered + 1)},
		}
		if i%50 == 0 {
			moves[i].User = chat.NewUserID()
		}
	}
	if _, err := w.receipts.Move(w.T.Context(), moves); err != nil {
		w.T.Fatal(err)
	}
}

// start runs a consumer until the test ends or stop is called.
func (w *world) start(name string, wrap func(receipts.Store) receipts.Store, change func(*receipts.Config)) (stop func()) {
	t := w.T
	t.Helper()
	reads, err1 := redisclient.Open(w.RedisURL, redisclient.Options{NoRetry: true})
	rdb, err2 := redisclient.Open(w.RedisURL, redisclient.Options{})
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	cfg := receipts.Config{
		Config: streamworker.Config{
			Name: name, Partitions: partitions, ClaimIdle: 200 * time.Millisecond,
			RetryMin: 5 * time.Millisecond, RetryMax: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		},
		Interval: 5 * time.Millisecond, HousekeepingInterval: 20 * time.Millisecond, SweepInterval: 100 * time.Millisecond,
		Metrics: receipts.NewMetrics(prometheus.NewRegistry()),
	}
	if change != nil {
		change(&cfg)
	}
	var s receipts.Store = streamtest.OpenStore(t, w.PG)
	if wrap != nil {
		s = wrap(s)
	}
	c, err := receipts.New(reads, rdb, s, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := c.Run(ctx); err != nil {
			t.Errorf("Run = %v", err)
		}
		_, _ = reads.Close(), rdb.Close()
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

// stored checks that PostgreSQL has the same receipts as Redis for every member.
func (w *world) stored() error {
	ctx := w.T.Context()
	rows, err := w.Pool.Query(ctx, `select channel_id, user_id, last_delivered_seq, last_read_seq from channel_members`)
	if err != nil {
		return err
	}
	defer rows.Close()
	want := map[chat.ChannelID]map[chat.UserID]receiptlog.Receipt{}
	for _, c := range w.channels {
		if want[c], err = w.receipts.Held(ctx, c); err != nil {
			return err
		}
	}
	var c chat.ChannelID
	var u chat.UserID
	var got receiptlog.Receipt
	for rows.Next() {
		if err := rows.Scan((*[16]byte)(&c.UUID), (*[16]byte)(&u.UUID), &got.Delivered, &got.Read); err != nil {
			return err
		}
		if got != want[c][u] {
			return fmt.Errorf("channel %s, user %s: stored %v, want %v", c, u, got, want[c][u])
		}
	}
	return rows.Err()
}

// settled waits until no entry is pending or undelivered, every receipt is stored, all streams are
// trimmed and all receipts in Redis have their expiry.
func (w *world) settled() {
	w.T.Helper()
	ctx := w.T.Context()
	testkit.Until(w.T, testkit.Timeout, func() error {
		for p := range partitions {
			sum, err := w.RDB.XPending(ctx, rediskey.Receipts(p), rediskey.ConsumerGroup).Result()
			if err != nil || sum.Count > 0 {
				return fmt.Errorf("partition %d: %+v pending, %w", p, sum, err)
			}
			// Redis trims only whole nodes of a stream, which have 100 entries.
			if n := w.RDB.XLen(ctx, rediskey.Receipts(p)).Val(); n > 100 {
				return fmt.Errorf("partition %d: %d entries remain", p, n)
			}
		}
		for _, c := range w.channels {
			if d := w.RDB.TTL(ctx, rediskey.Cursor(streamtest.Partition(c), c)).Val(); d <= 6*24*time.Hour {
				return fmt.Errorf("receipts of %s expire in %v", c, d)
			}
		}
		return w.stored()
	})
}

// shaky is a store that sometimes fails, before or after the commit.
type shaky struct {
	receipts.Store
	n atomic.Int64
}

func (s *shaky) RaiseReceipts(ctx context.Context, cursors []store.Receipt) (int64, error) {
	n := s.n.Add(1)
	if n%5 == 1 {
		return 0, errors.New("down")
	}
	raised, err := s.Store.RaiseReceipts(ctx, cursors)
	if n%5 == 3 {
		return 0, errors.Join(errors.New("no answer"), err)
	}
	return raised, err
}

// TestRun_maximumIsStored checks that the maximum is stored in the end, although one of two
// instances stops and restarts, the store sometimes fails, and entries are repeated or late.
func TestRun_maximumIsStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wrap := func(s receipts.Store) receipts.Store { return &shaky{Store: s} }
	w.start("steady", wrap, nil)
	for range 5 {
		stop := w.start("passing", wrap, nil)
		for range 100 {
			w.move(20)
		}
		// Deliver old entries that are already stored again, as happens after a claim.
		old := event.Receipts{Channel: w.channels[0], Moves: []event.Receipt{{User: w.users[0], Delivered: 1, Read: 1}}}
		w.Add(rediskey.Receipts(streamtest.Partition(old.Channel)), old.Fields())
		stop()
	}
	w.settled()
}

// TestRun_behind checks that a partition with more entries than one read returns is read to its
// end, without waiting for its next slot.
func TestRun_behind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const entries = 200 // four reads, which would otherwise take four rounds
	for i := range entries {
		move := receiptlog.Move{Channel: w.channels[0], User: w.users[0], Receipt: receiptlog.Receipt{Delivered: int64(i + 1)}}
		if _, err := w.receipts.Move(t.Context(), []receiptlog.Move{move}); err != nil {
			t.Fatal(err)
		}
	}
	const every = 4 * time.Second
	began := time.Now()
	w.start("rested", nil, func(cfg *receipts.Config) { cfg.Interval = every })
	testkit.Until(t, testkit.Timeout, w.stored)
	if took := time.Since(began); took > 3*every {
		t.Errorf("stored after %v", took)
	}
}

func TestRun_onACluster(t *testing.T) {
	t.Parallel()
	w := newWorldOn(streamtest.OpenOnCluster(t))
	w.start("a", nil, nil)
	for range 50 {
		w.move(20)
	}
	w.settled()
}

func TestRun_storesDie(t *testing.T) {
	t.Parallel()
	pg := schematest.NewServer(t)
	w := newWorldOn(streamtest.On(t, &pg.DB))
	stop := w.start("a", nil, nil)
	w.move(200)
	pg.Kill(t)
	for range 20 {
		w.move(200)
	}
	stop() // PostgreSQL is down, so its current entries stay pending
	w.start("a", nil, func(c *receipts.Config) { c.ClaimIdle = time.Hour })
	pg.Start(t)
	w.Pool.Reset()
	w.move(200)
	w.settled()
	w.Redis.Kill(t)
	w.Redis.Start(t)
	testkit.Until(t, testkit.Timeout, func() error { return w.RDB.Ping(t.Context()).Err() })
	w.move(200)
	w.settled()
}

// TestRun_undecodableEntries checks that a corrupt entry becomes a dead letter and an entry of a
// newer version stays pending. Both can be stored later; until then the receipts in Redis do not
// expire.
func TestRun_undecodableEntries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	c := w.channels[0]
	p := streamtest.Partition(c)
	if _, err := w.receipts.Move(ctx, []receiptlog.Move{{Channel: c, User: w.users[0], Receipt: receiptlog.Receipt{Delivered: 7, Read: 5}}}); err != nil {
		t.Fatal(err)
	}
	newer := event.Receipts{Channel: c, Moves: []event.Receipt{{User: w.users[0], Delivered: 9, Read: 9}}}.Fields()
	newer[1] = event.Version + 1
	waiting := w.Add(rediskey.Receipts(p), newer)
	bad := w.Add(rediskey.Receipts(p), []any{"v", 1, "channel_id", c.String(), "moves", "nonsense"})
	w.start("a", nil, nil)
	testkit.Until(t, testkit.Timeout, func() error {
		sum, err := w.RDB.XPending(ctx, rediskey.Receipts(p), rediskey.ConsumerGroup).Result()
		if err != nil || sum.Count != 1 || sum.Lower != waiting {
			return fmt.Errorf("pending %+v, %w; want only %s", sum, err, waiting)
		}
		return w.stored()
	})
	letters, err := deadletter.List(ctx, w.RDB, partitions, deadletter.Filter{})
	if err != nil || len(letters) != 1 || letters[0].Source != deadletter.Receipts || letters[0].Entry != bad || !strings.Contains(letters[0].Reason, "moves") {
		t.Fatalf("letters %+v, %v", letters, err)
	}
	if d := w.RDB.TTL(ctx, rediskey.Cursor(p, c)).Val(); d >= 0 {
		t.Errorf("the receipts expire in %v although an entry is pending", d)
	}
	if err := deadletter.Retry(ctx, w.RDB, w.Store, partitions, letters[0]); !errors.Is(err, deadletter.ErrRemains) {
		t.Errorf("retry of an undecodable entry = %v", err)
	}
	letters[0].Fields["moves"] = w.users[0].String() + ":8:8" // as an upgraded program would decode it
	if err := deadletter.Retry(ctx, w.RDB, w.Store, partitions, letters[0]); err != nil {
		t.Fatal(err)
	}
	if seq := w.Count(`select last_read_seq from channel_members where channel_id = $1 and user_id = $2`, c.UUID, w.users[0].UUID); seq != 8 {
		t.Errorf("read up to %d, want 8", seq)
	}
	if left := w.RDB.XLen(ctx, rediskey.Dead(p)).Val(); left != 0 {
		t.Errorf("%d dead letters remain", left)
	}
}

// TestSweep_findsForgottenReceipts checks that receipts get their expiry even if the instance that
// stored them died before it could set the expiry.
func TestSweep_findsForgottenReceipts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 10 {
		w.move(50)
	}
	stop := w.start("a", nil, nil)
	w.settled()
	stop()
	for _, c := range w.channels {
		w.RDB.Persist(t.Context(), rediskey.Cursor(streamtest.Partition(c), c))
	}
	w.start("b", nil, nil)
	w.settled()
}
