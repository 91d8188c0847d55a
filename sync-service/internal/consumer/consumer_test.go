package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/notice"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/shared-migrations/schematest"
	"parley.chat/sync-service/internal/consumer"
	"parley.chat/sync-service/internal/deadletter"
	"parley.chat/sync-service/internal/store"
	"parley.chat/sync-service/internal/streamtest"
)

func TestRun_twoInstancesShareTheWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 20)
	a, b := w.start("a", nil, nil), w.start("b", nil, nil)
	w.append(2000)
	w.settled()
	na, nb := a.metric(t, "inserted_total", ""), b.metric(t, "inserted_total", "")
	if na+nb != 2000 || na == 0 || nb == 0 {
		t.Errorf("inserted %v + %v, want 2000 in total, and some from each instance", na, nb)
	}
	for _, in := range []*instance{a, b} {
		in.stop()
		if err := <-in.done; err != nil {
			t.Errorf("Run = %v", err)
		}
	}
}

func TestRun_onACluster(t *testing.T) {
	t.Parallel()
	w := worldOn(streamtest.OpenOnCluster(t), 20)
	w.start("a", nil, nil)
	w.append(500)
	bad := w.next(w.channels[0], "bad")
	bad.Payload = []byte("{")
	if _, err := w.put(t.Context(), bad); err != nil {
		t.Fatal(err)
	}
	w.settled()
	w.until(func() error {
		for _, ch := range w.channels {
			if d := w.RDB.PTTL(t.Context(), rediskey.Tail(partition(ch), ch)).Val(); d <= 0 {
				return fmt.Errorf("a tail that is stored has no expiry: %v", d)
			}
		}
		return nil
	})
}

// inner is the real store that a failing store wraps.
type inner = consumer.Store

// crash is a store that commits one batch without returning success, and then always fails. It
// simulates a process that died right after a commit.
type crash struct {
	inner
	crashed chan struct{}
	n       atomic.Int32
}

var errCrashed = errors.New("crashed")

func (c *crash) Store(ctx context.Context, b store.Batch) (store.Result, error) {
	if c.n.Add(1) > 1 {
		return store.Result{}, errCrashed
	}
	_, err := c.inner.Store(ctx, b)
	close(c.crashed)
	return store.Result{}, errors.Join(errCrashed, err)
}

func TestRun_crashBetweenCommitAndAck(t *testing.T) {
	for _, heir := range []string{"a", "b"} { // the same instance restarts, or another one takes over
		t.Run("heir="+heir, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 8)
			w.append(200)
			c := &crash{crashed: make(chan struct{})}
			a := w.start("a", func(s consumer.Store) consumer.Store { c.inner = s; return c }, nil)
			<-c.crashed
			a.stop()
			if pending, _ := w.waiting(); pending == 0 || w.rows("") == 0 {
				t.Fatalf("%d pending, %d rows; want some of both", pending, w.rows(""))
			}
			w.append(200)
			w.start(heir, nil, nil)
			w.settled()
		})
	}
}

// TestRun_claimsAndRemovesDeadConsumers checks that the entries of a dead consumer are claimed and
// the consumer is then removed. A consumer with pending entries is not removed.
func TestRun_claimsAndRemovesDeadConsumers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8)
	ctx := t.Context()
	w.append(1000)
	newer := w.next(w.channels[0], "of tomorrow")
	newer.Version = event.Version + 1
	w.heads[newer.Channel]--
	if _, err := w.put(ctx, newer); err != nil {
		t.Fatal(err)
	}
	for p := range partitions {
		stream := rediskey.Stream(p)
		if err := w.RDB.XGroupCreateMkStream(ctx, stream, rediskey.ConsumerGroup, "0").Err(); err != nil {
			t.Fatal(err)
		}
		if err := w.RDB.XReadGroup(ctx, &redis.XReadGroupArgs{
			Group: rediskey.ConsumerGroup, Consumer: "ghost", Streams: []string{stream, ">"}, Block: -1,
		}).Err(); err != nil && !errors.Is(err, redis.Nil) { // a partition may have no channels and thus no entries
			t.Fatal(err)
		}
	}
	w.start("a", nil, func(c *consumer.Config) { c.ConsumerExpiry = 500 * time.Millisecond })
	w.until(func() error {
		for p := range partitions {
			for _, m := range w.RDB.XInfoConsumers(ctx, rediskey.Stream(p), rediskey.ConsumerGroup).Val() {
				if m.Name == "ghost" {
					return fmt.Errorf("partition %d still has the ghost, with %d pending", p, m.Pending)
				}
			}
		}
		return nil
	})
	w.until(func() error { // claimed entries may still be in progress
		if pending, _ := w.waiting(); pending != 1 {
			return fmt.Errorf("%d pending, want the one of a newer version", pending)
		}
		return nil
	})
	w.complete()
}

// TestReap_keepsPendingEntries asks the script to remove a consumer that has a pending entry.
// Removing it would lose the entry.
func TestReap_keepsPendingEntries(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	ctx := t.Context()
	newer := w.next(w.channels[0], "x")
	newer.Version = event.Version + 1
	if _, err := w.put(ctx, newer); err != nil {
		t.Fatal(err)
	}
	// Claims are disabled, so the entry stays pending for the ghost consumer.
	stream := rediskey.Stream(partition(w.channels[0]))
	w.CreateGroup(stream)
	w.Deliver(stream, "ghost", 0)
	w.RDB.XGroupCreateConsumer(ctx, stream, rediskey.ConsumerGroup, "empty")
	w.start("a", nil, func(c *consumer.Config) { c.ClaimIdle, c.ConsumerExpiry = time.Hour, time.Millisecond })
	w.until(func() error {
		names := map[string]int64{}
		for _, m := range w.RDB.XInfoConsumers(ctx, stream, rediskey.ConsumerGroup).Val() {
			names[m.Name] = m.Pending
		}
		if _, ok := names["empty"]; ok {
			return errors.New("the empty one is still there")
		}
		if names["ghost"] != 1 {
			t.Fatalf("the ghost has %d pending, want 1", names["ghost"])
		}
		return nil
	})
}

func TestRun_postgresStopsDuringLoad(t *testing.T) {
	t.Parallel()
	pg := schematest.NewServer(t)
	w := worldOn(streamtest.On(t, &pg.DB), 10)
	a := w.start("a", nil, nil)
	w.append(300)
	pg.Kill(t)
	w.append(300)
	w.until(func() error {
		if a.metric(t, "retries_total", "store") < 3 {
			return errors.New("it has not tried three times")
		}
		return nil
	})
	if pending, undelivered := w.waiting(); pending+undelivered < 300 {
		t.Errorf("%d pending, %d not delivered: an entry was acknowledged but not stored", pending, undelivered)
	}
	pg.Start(t)
	w.Pool.Reset() // the test's own connections are broken, too
	w.append(300)
	w.settled()
	pg.Stop(t)
	w.append(50)
	a.stop() // PostgreSQL is down, so its current entries stay pending
	pg.Start(t)
	w.Pool.Reset()
	w.start("a", nil, nil)
	w.settled()
}

func TestRun_redisDiesDuringLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 10)
	a := w.start("a", nil, nil)
	for range 3 {
		w.append(200)
		before := a.metric(t, "retries_total", "")
		w.Redis.Kill(t)
		w.until(func() error {
			if a.metric(t, "retries_total", "") == before {
				return errors.New("it has not noticed")
			}
			return nil
		})
		w.Redis.Start(t)
	}
	w.append(200)
	w.settled()
}

// TestRun_groupVanishes checks that a deleted group is created again at the watermark, not at the
// start or the end of the stream.
func TestRun_groupVanishes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 10)
	ctx := t.Context()
	a := w.start("a", nil, nil)
	w.append(1000)
	w.settled()
	a.stop() // this raises the watermarks
	for p := range partitions {
		if err := w.RDB.XGroupDestroy(ctx, rediskey.Stream(p), rediskey.ConsumerGroup).Err(); err != nil {
			t.Fatal(err)
		}
	}
	w.append(100)
	b := w.start("b", nil, nil)
	w.until(func() error {
		if n := w.rows(""); n != 1100 {
			return fmt.Errorf("%d rows", n)
		}
		return nil
	})
	if again := b.metric(t, "conflicts_total", "stored_before"); again != 0 {
		t.Errorf("%v rows were stored again, so the group did not begin at the watermark", again)
	}
	for p := range partitions { // and again while the consumer is running
		w.RDB.XGroupDestroy(ctx, rediskey.Stream(p), rediskey.ConsumerGroup)
	}
	w.append(100)
	w.settled()
}

// TestRun_redisLosesItsNewestEntries checks that after a loss, new entries are stored even if their
// ids are below the watermark.
func TestRun_redisLosesItsNewestEntries(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	ctx := t.Context()
	ch := w.channels[0]
	p := partition(ch)
	if _, err := w.Pool.Exec(ctx, `insert into sync_watermarks (partition, entry_ms) values ($1, $2)`,
		p, time.Now().Add(time.Hour).UnixMilli()); err != nil {
		t.Fatal(err)
	}
	w.append(10)
	w.RDB.XGroupCreate(ctx, rediskey.Stream(p), rediskey.ConsumerGroup, "0") // as after a restore
	w.append(10)
	w.start("a", nil, func(c *consumer.Config) { c.Retention = time.Millisecond })
	w.settled()
}

func TestRun_badEntriesBecomeDeadLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	ctx := t.Context()
	told := w.RDB.SSubscribe(ctx, rediskey.UserTopic(rediskey.Of(w.sender.UUID, partitions), w.sender))
	defer func() { _ = told.Close() }()
	if _, err := told.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	ch := w.channels[0]
	p := partition(ch)
	letters := map[string]string{} // entry id → part of its reason
	bad := func(reason string, change func(*event.Entry)) {
		e := w.next(ch, "x")
		change(&e)
		id, err := w.put(ctx, e)
		if err != nil {
			t.Fatal(err)
		}
		letters[id] = reason
	}
	w.append(50)
	bad("decode event", func(e *event.Entry) { e.Payload = []byte("{") })
	bad("U+0000", func(e *event.Entry) { e.Payload = []byte(strings.Replace(string(e.Payload), `"x"`, `"x\u0000"`, 1)) })
	bad("UTF-8", func(e *event.Entry) { e.Payload = []byte(strings.Replace(string(e.Payload), `"x"`, "\"\xff\"", 1)) })
	bad("is unknown", func(e *event.Entry) { e.Kind = "nonsense" })
	taken := w.next(ch, "the first of two")
	if _, err := w.put(ctx, taken); err != nil {
		t.Fatal(err)
	}
	w.heads[ch]--
	bad(store.ReasonSeqTaken, func(*event.Entry) {})
	id, err := w.RDB.XAdd(ctx, &redis.XAddArgs{Stream: rediskey.Stream(p), Values: []any{"what", "ever"}}).Result()
	if err != nil {
		t.Fatal(err)
	}
	letters[id] = "is missing"
	w.append(50)
	w.start("a", nil, nil)
	w.settled()

	if n := w.rows("failed"); n != 4 {
		t.Errorf("%d tombstones, want 4", n)
	}
	dead, err := w.RDB.XRange(ctx, rediskey.Dead(p), "-", "+").Result()
	if err != nil || len(dead) != len(letters) {
		t.Fatalf("%d dead letters, %v; want %d", len(dead), err, len(letters))
	}
	for _, m := range dead {
		l := deadletter.Decode(m)
		if want, ok := letters[l.Entry]; !ok || !strings.Contains(l.Reason, want) || l.Attempts != 1 || time.Since(l.At) > time.Minute {
			t.Errorf("letter %+v, want reason %q", l, want)
		}
		entry := w.RDB.XRange(ctx, rediskey.Stream(p), l.Entry, l.Entry).Val()
		if len(entry) != 1 || fmt.Sprint(entry[0].Values) != fmt.Sprint(l.Fields) {
			t.Errorf("the dead letter differs from its entry:\n%v\n%v", l.Fields, entry)
		}
	}
	inWords := map[string]bool{store.ReasonUnreadable: true, store.ReasonSeqTaken: true, store.ReasonRefused: true}
	for range 5 { // all except the one without a sender
		m, err := told.ReceiveMessage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := notice.Decode([]byte(m.Payload)); err != nil || n.Kind != notice.EventFailed || n.Seq == 0 || !inWords[n.Reason] || n.ClientID == nil {
			t.Errorf("notice %s, %v", m.Payload, err)
		}
	}
}

func TestRun_gapBecomesTombstones(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	ch := w.channels[0]
	w.append(10)
	w.heads[ch] += 5 // lost
	e := w.next(ch, "")
	f := gapFrame(ch, e, 9, w.heads[ch]-1)
	if _, err := w.put(t.Context(), streamtest.Entry(t, f)); err != nil {
		t.Fatal(err)
	}
	w.append(3)
	w.start("a", nil, nil)
	w.settled()
	if lost, gaps := w.rows("lost"), w.rows("gap"); lost != 5 || gaps != 1 {
		t.Errorf("%d lost, %d gap; want 5, 1", lost, gaps)
	}
}

// shaky is a store that sometimes fails, before or after the commit.
type shaky struct {
	inner
	n atomic.Int64
}

func (s *shaky) Store(ctx context.Context, b store.Batch) (store.Result, error) {
	switch s.n.Add(1) % 5 {
	case 1:
		return store.Result{}, errCrashed
	case 3:
		_, err := s.inner.Store(ctx, b)
		return store.Result{}, errors.Join(errCrashed, err)
	}
	return s.inner.Store(ctx, b)
}

// TestTails_everySeqIsReadable checks that PostgreSQL and the tail together always have every seq
// of a channel from 1 to its head, even while instances start and stop and the store fails.
func TestTails_everySeqIsReadable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	ctx := t.Context()
	wrap := func(s consumer.Store) consumer.Store { return &shaky{inner: s} }
	short := func(c *consumer.Config) { c.TailLength, c.Retention = 5, time.Millisecond }
	w.start("steady", wrap, short)
	for round := range 8 {
		in := w.start(fmt.Sprint("passing", round%2), wrap, short)
		for range 15 {
			w.append(1 + round*3)
			for _, ch := range w.channels {
				w.covered(ctx, ch)
			}
		}
		in.stop()
	}
	w.settled()
	w.until(func() error {
		for _, ch := range w.channels {
			tail := rediskey.Tail(partition(ch), ch)
			if n, d := w.RDB.LLen(ctx, tail).Val(), w.RDB.PTTL(ctx, tail).Val(); n != 5 || d <= 0 {
				return fmt.Errorf("tail has %d items and expires in %v; want 5, and an expiry", n, d)
			}
		}
		return nil
	})
}

// covered checks one channel in the order in which readers read it: first the tail, then
// PostgreSQL.
func (w *world) covered(ctx context.Context, ch chat.ChannelID) {
	w.T.Helper()
	have := map[int64]bool{}
	head := w.heads[ch]
	for _, raw := range w.RDB.LRange(ctx, rediskey.Tail(partition(ch), ch), 0, -1).Val() {
		it, err := event.DecodeItem([]byte(raw))
		if err != nil {
			w.T.Fatal(err)
		}
		have[it.Seq] = true
	}
	rows, err := w.Pool.Query(ctx, `select seq from messages where channel_id = $1`, ch.UUID)
	if err != nil {
		w.T.Fatal(err)
	}
	defer rows.Close()
	var seq int64
	for rows.Next() {
		if err := rows.Scan(&seq); err != nil {
			w.T.Fatal(err)
		}
		have[seq] = true
	}
	for s := int64(1); s <= head; s++ {
		if !have[s] {
			w.T.Fatalf("channel %s: seq %d of %d is neither in PostgreSQL nor in the tail", ch, s, head)
		}
	}
}

// TestTails_expireOldItems checks that an item does not stay in the tail of a busy channel forever.
func TestTails_expireOldItems(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	const expiry = 2 * time.Second
	w.start("a", nil, func(c *consumer.Config) { c.TailExpiry = expiry })
	began := time.Now()
	w.append(1)
	tail := rediskey.Tail(partition(w.channels[0]), w.channels[0])
	w.until(func() error {
		w.append(1) // because of new items, the tail as a whole does not expire
		raw := w.RDB.LIndex(t.Context(), tail, 0).Val()
		it, err := event.DecodeItem([]byte(raw))
		if err == nil && it.Seq == 1 {
			return errors.New("the first item is still there")
		}
		return err
	})
	if took := time.Since(began); took < expiry-time.Millisecond { // entry ids have a resolution of one millisecond
		t.Errorf("the item was removed after %s, before its expiry", took)
	}
	w.covered(t.Context(), w.channels[0])
}

// TestSweep_findsForgottenTails checks that a tail is trimmed even if the instance that stored its
// events died before it could trim the tail.
func TestSweep_findsForgottenTails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	ctx := t.Context()
	a := w.start("a", nil, func(c *consumer.Config) { c.TailLength = 1 })
	w.append(20)
	w.settled()
	a.stop()
	for _, ch := range w.channels {
		w.RDB.Persist(ctx, rediskey.Tail(partition(ch), ch))
	}
	w.start("b", nil, nil)
	w.until(func() error {
		for _, ch := range w.channels {
			if d := w.RDB.PTTL(ctx, rediskey.Tail(partition(ch), ch)).Val(); d <= 0 {
				return errors.New("a forgotten tail has no expiry")
			}
		}
		return nil
	})
}

// TestTrim_keepsUnstoredEntries checks that pending and undelivered entries are not trimmed, even
// with a retention period of 0.
func TestTrim_keepsUnstoredEntries(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	ctx := t.Context()
	p := partition(w.channels[0])
	stream := rediskey.Stream(p)
	w.append(1000)
	w.RDB.XGroupCreate(ctx, stream, rediskey.ConsumerGroup, "0")
	// Entries 501 to 700 are pending on another consumer. The store fails after the first 500.
	first, err := w.RDB.XReadGroup(ctx, &redis.XReadGroupArgs{Group: rediskey.ConsumerGroup, Consumer: "other", Streams: []string{stream, ">"}, Count: 700, Block: -1}).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range first[0].Messages[:500] {
		w.RDB.XAck(ctx, stream, rediskey.ConsumerGroup, m.ID)
	}
	a := w.start("a", nil, func(c *consumer.Config) {
		c.Retention, c.ClaimIdle = time.Nanosecond, time.Hour
	})
	w.until(func() error {
		if n := a.metric(t, "inserted_total", ""); n != 300 {
			return fmt.Errorf("%v of the 300 undelivered are stored", n)
		}
		if a.metric(t, "trimmed_total", "") == 0 {
			return errors.New("nothing was trimmed")
		}
		return nil
	})
	if got := w.RDB.XRange(ctx, stream, first[0].Messages[500].ID, "+").Val(); len(got) != 500 {
		t.Errorf("%d entries starting at the lowest pending one, want 500", len(got))
	}
	lowest := first[0].Messages[500].ID
	w.until(func() error {
		mark := w.RDB.HGetAll(ctx, rediskey.Stored(p)).Val()
		var ms, seq int64
		if err := w.Pool.QueryRow(ctx, `select entry_ms, entry_seq from sync_watermarks where partition = $1`, p).Scan(&ms, &seq); err != nil {
			return err
		}
		entry := fmt.Sprintf("%d-%d", ms, seq)
		after := w.RDB.XRangeN(ctx, stream, "("+entry, "+", 1).Val()
		if mark["entry"] != entry || entry == lowest || len(after) == 0 || after[0].ID != lowest {
			return fmt.Errorf("watermark %s, mirror %v; want just below %s", entry, mark, lowest)
		}
		if mark["added"] != "800" {
			return fmt.Errorf("added = %s; want 800: 500 below the watermark, and the 300 above it that are stored", mark["added"])
		}
		return nil
	})
}

// TestWatermark_leftBehind simulates an instance that died after its last acknowledgement but
// before it raised the watermark. Other instances must raise it, even if no more entries arrive in
// the partition.
func TestWatermark_leftBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	ctx, p := t.Context(), partition(w.channels[0])
	stream := rediskey.Stream(p)
	w.append(20)
	w.RDB.XGroupCreate(ctx, stream, rediskey.ConsumerGroup, "0")
	read, err := w.RDB.XReadGroup(ctx, &redis.XReadGroupArgs{Group: rediskey.ConsumerGroup, Consumer: "dead", Streams: []string{stream, ">"}, Block: -1}).Result()
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	for _, m := range read[0].Messages {
		w.RDB.XAck(ctx, stream, rediskey.ConsumerGroup, m.ID)
		last = m.ID
	}
	w.start("a", nil, func(c *consumer.Config) { c.WatermarkCheckInterval = 20 * time.Millisecond })
	w.until(func() error {
		if mark := w.RDB.HGetAll(ctx, rediskey.Stored(p)).Val(); mark["entry"] != last || mark["added"] != "20" {
			return fmt.Errorf("the mirror is %v; want %s and 20", mark, last)
		}
		return nil
	})
}

// TestTrim_eachBoundIsRespected checks that the watermark by itself, and the state of the group by
// itself, prevent an entry from being trimmed.
func TestTrim_eachBoundIsRespected(t *testing.T) {
	t.Parallel()
	future := time.Now().Add(time.Hour).UnixMilli()
	for _, tt := range []struct {
		name      string
		watermark int64
		ack, kept int // of 1000 entries that were delivered to another consumer
	}{
		{"the watermark, when all is acknowledged", 0, 1000, 1000},
		{"the pending, when the watermark is too high", future, 500, 500},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			ctx := t.Context()
			p := partition(w.channels[0])
			stream := rediskey.Stream(p)
			if _, err := w.Pool.Exec(ctx, `insert into sync_watermarks (partition, entry_ms) values ($1, $2)`, p, tt.watermark); err != nil {
				t.Fatal(err)
			}
			w.append(1000)
			w.RDB.XGroupCreate(ctx, stream, rediskey.ConsumerGroup, "0")
			read, err := w.RDB.XReadGroup(ctx, &redis.XReadGroupArgs{Group: rediskey.ConsumerGroup, Consumer: "other", Streams: []string{stream, ">"}, Block: -1}).Result()
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range read[0].Messages[:tt.ack] {
				w.RDB.XAck(ctx, stream, rediskey.ConsumerGroup, m.ID)
			}
			w.start("a", nil, func(c *consumer.Config) {
				c.Retention, c.ClaimIdle, c.ConsumerExpiry = time.Nanosecond, time.Hour, time.Millisecond
			})
			w.passes(p)
			first := read[0].Messages[1000-tt.kept].ID
			if got := w.RDB.XRange(ctx, stream, first, "+").Val(); len(got) != tt.kept {
				t.Errorf("%d entries remain starting at %s, want %d", len(got), first, tt.kept)
			}
		})
	}
}

// TestTrim_memoryBudget checks that above the memory budget, stored entries are trimmed early,
// oldest first and no more than necessary. Entries that are not stored are never trimmed, no matter
// how full Redis is.
func TestTrim_memoryBudget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	ctx := t.Context()
	p := partition(w.channels[0])
	stream := rediskey.Stream(p)
	w.append(4000)
	in := w.start("a", nil, func(c *consumer.Config) { c.TrimAt, c.ConsumerExpiry = 0.5, time.Nanosecond })
	w.settled()
	w.passes(p)
	if n := w.RDB.XLen(ctx, stream).Val(); n != 4000 {
		t.Fatalf("%d entries without a maxmemory, want 4000", n)
	}
	used, err := w.RDB.InfoMap(ctx, "memory").Result()
	if err != nil {
		t.Fatal(err)
	}
	now, err := strconv.ParseInt(used["Memory"]["used_memory"], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	// The budget is slightly below the current memory use.
	if err := w.RDB.ConfigSet(ctx, "maxmemory", fmt.Sprint(2*(now-300_000))).Err(); err != nil {
		t.Fatal(err)
	}
	w.until(func() error {
		if n := w.RDB.XLen(ctx, stream).Val(); n == 4000 {
			return errors.New("nothing is trimmed")
		}
		return nil
	})
	w.passes(p)
	if n := w.RDB.XLen(ctx, stream).Val(); n == 0 {
		t.Error("everything was trimmed, although a little was enough for the budget")
	}
	in.stop()

	// Now the budget is far below the memory use, and some entries are not stored.
	if err := w.RDB.ConfigSet(ctx, "maxmemory", fmt.Sprint(4*now)).Err(); err != nil {
		t.Fatal(err)
	}
	w.append(600)
	w.Deliver(stream, "other", 300)
	w.start("b", func(s consumer.Store) consumer.Store { return refusing{underlying: s} }, func(c *consumer.Config) { c.TrimAt, c.ClaimIdle, c.ConsumerExpiry = 0.01, time.Hour, time.Nanosecond })
	w.passes(p)
	if n := w.RDB.XLen(ctx, stream).Val(); n < 600 {
		t.Errorf("%d of the 600 entries that are not stored remain", n)
	}
}

// refusing is a store that stores nothing.
type refusing struct{ underlying }

type underlying = consumer.Store

func (refusing) Store(context.Context, store.Batch) (store.Result, error) {
	return store.Result{}, errors.New("down")
}
