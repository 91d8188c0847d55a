package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/logtest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/notice"
	"parley.chat/shared-contracts/rediskey"
)

// The partition of an id is computed from the same CRC as in Redis Cluster: the slot modulo the
// number of partitions.
func TestPartition_matchesRedisCluster(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t, 1, 0)
	client := c.Client(t)
	for range 200 {
		id := uuid.New()
		slot, err := client.ClusterKeySlot(t.Context(), id.String()).Result()
		if err != nil {
			t.Fatal(err)
		}
		if got := rediskey.Of(id, 16384); int64(got) != slot {
			t.Fatalf("Of(%s, 16384) = %d, Redis says %d", id, got, slot)
		}
		if got := eventlog.New(nil, 16).Partition(id); int64(got) != slot%16 {
			t.Fatalf("partition %d, want %d", got, slot%16)
		}
	}
	// All keys of a partition have the same hash tag, so they are in one slot and on one shard.
	ch, u := chat.NewChannelID(), chat.NewUserID()
	for _, p := range []int{0, 9, 15} {
		want, err := client.ClusterKeySlot(t.Context(), strconv.Itoa(p)).Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{rediskey.Stream(p), rediskey.Counter(p, ch), rediskey.Topic(p, ch), rediskey.UserTopic(p, u), rediskey.Removed(p, ch, u)} {
			if got := client.ClusterKeySlot(t.Context(), key).Val(); got != want {
				t.Errorf("%s lies in slot %d, want %d", key, got, want)
			}
		}
	}
}

func TestHeads(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	a, b, none := l.Seeded(t), l.Seeded(t), chat.NewChannelID()
	rdb.HSet(t.Context(), rediskey.Counter(l.Partition(b.UUID), b), "seq", 42, "epoch", "7-b")
	heads, err := l.Heads(t.Context(), []chat.ChannelID{none, b, a})
	if err != nil || len(heads) != 3 || heads[0].Seeded() || heads[1] != (eventlog.Head{Seq: 42, Epoch: "7-b"}) || !heads[2].Seeded() || heads[2].Seq != 0 {
		t.Errorf("%+v, %v", heads, err)
	}
	if heads, err := l.Heads(t.Context(), nil); err != nil || len(heads) != 0 {
		t.Errorf("of none: %+v, %v", heads, err)
	}
	rdb.HSet(t.Context(), rediskey.Counter(l.Partition(a.UUID), a), "seq", "many")
	if _, err := l.Heads(t.Context(), []chat.ChannelID{b, a}); err == nil || !strings.Contains(err.Error(), a.String()) {
		t.Errorf("a damaged counter: %v; want an error that names the channel", err)
	}
}

func TestSeed_onlyIfAbsent(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	ch := chat.NewChannelID()
	floor := func(n int64) eventlog.Floor {
		return func(context.Context, chat.ChannelID) (int64, error) { return n, nil }
	}
	first, err := l.EnsureHead(t.Context(), ch, floor(7))
	if err != nil || first.Seq != 7 || !first.Seeded() {
		t.Fatalf("%+v, %v; want seq 7", first, err)
	}
	if _, err := event.ParseEpoch(string(first.Epoch)); err != nil {
		t.Errorf("epoch: %v", err)
	}
	again, err := l.EnsureHead(t.Context(), ch, func(context.Context, chat.ChannelID) (int64, error) {
		t.Error("PostgreSQL was queried for a channel that has a counter")
		return 99, nil
	})
	if err != nil || again != first {
		t.Errorf("%+v, %v; want %+v", again, err, first)
	}
	// A caller that has found no counter must not change a counter that was created since then.
	other := chat.NewChannelID()
	late, err := l.EnsureHead(t.Context(), other, func(ctx context.Context, _ chat.ChannelID) (int64, error) {
		first, err = l.EnsureHead(ctx, other, floor(7))
		return 99, err
	})
	if err != nil || late != first {
		t.Errorf("a concurrent seeder: %+v, %v; want %+v", late, err, first)
	}
	heads, err := l.Heads(t.Context(), []chat.ChannelID{other})
	if err != nil || heads[0] != first {
		t.Errorf("%+v, %v", heads, err)
	}
}

func TestSeed_concurrentSeedersAgree(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	ch := chat.NewChannelID()
	heads := make([]eventlog.Head, 30)
	var ready, all sync.WaitGroup
	ready.Add(len(heads))
	for i := range heads {
		all.Go(func() {
			head, err := l.EnsureHead(context.Background(), ch, func(context.Context, chat.ChannelID) (int64, error) {
				ready.Done()
				ready.Wait() // all goroutines have found the counter missing
				return int64(i), nil
			})
			if err != nil {
				t.Error(err)
			}
			heads[i] = head
		})
	}
	all.Wait()
	for _, h := range heads {
		if h != heads[0] || !h.Seeded() {
			t.Fatalf("seeders disagree: %+v and %+v", h, heads[0])
		}
	}
}

func TestSeed_newerEpoch(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	// This time is far ahead of Redis's clock.
	const known = int64(9_000_000_000_000)
	ch := chat.NewChannelID()
	item := event.Item{Epoch: event.Epoch(fmt.Sprintf("%d-x", known)), Seq: 5, EntryID: "1-1", Kind: event.Message, Sender: chat.NewUserID(), Frame: []byte("{}")}
	rdb.RPush(t.Context(), rediskey.Tail(l.Partition(ch.UUID), ch), item.Encode())
	head, err := l.EnsureHead(t.Context(), ch, logtest.Empty)
	if err != nil || head.Seq != 5 || head.Epoch.Number() != known+1 {
		t.Errorf("%+v, %v; want seq 5 and epoch %d", head, err, known+1)
	}
	other := l.Seeded(t)
	heads, err := l.Heads(t.Context(), []chat.ChannelID{other})
	now := rdb.Time(t.Context()).Val().UnixMilli()
	if n := heads[0].Epoch.Number(); err != nil || n > now || n < now-60_000 {
		t.Errorf("epoch %d of a new channel is not the clock's %d", n, now)
	}
}

func TestSeed_takesTheHighest(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	ctx := t.Context()
	for _, tt := range []struct {
		name                string
		floor, tail, stream int64
		below               int64 // in the stream, at the watermark
	}{
		{"floor", 9, 8, 7, 0}, {"tail", 7, 9, 8, 0}, {"stream", 7, 8, 9, 0}, {"nothing", 0, 0, 0, 0}, {"below the watermark", 9, 0, 0, 50},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ch := chat.NewChannelID()
			p := l.Partition(ch.UUID)
			entry := func(seq int64) event.Entry {
				return event.Entry{
					Version: 1, Channel: ch, Seq: seq, Epoch: "5-x", Kind: event.Message, ID: chat.NewEventID(),
					Sender: chat.NewUserID(), ClientID: chat.NewClientID(), Payload: []byte("{}"),
				}
			}
			add := func(e event.Entry) string {
				id, err := rdb.XAdd(ctx, &redis.XAddArgs{Stream: rediskey.Stream(p), Values: e.Fields()}).Result()
				if err != nil {
					t.Fatal(err)
				}
				return id
			}
			if tt.below > 0 {
				rdb.HSet(ctx, rediskey.Stored(p), "entry", add(entry(tt.below)))
			}
			if tt.stream > 0 {
				add(entry(tt.stream))
			}
			foreign := entry(77)
			foreign.Channel = chat.NewChannelID()
			add(foreign)
			if tt.tail > 0 {
				it := event.Item{Epoch: "5-x", Seq: tt.tail, EntryID: "1-1", Kind: event.Message, Sender: chat.NewUserID(), Frame: []byte("{}")}
				rdb.RPush(ctx, rediskey.Tail(p, ch), it.Encode())
			}
			head, err := l.EnsureHead(ctx, ch, func(context.Context, chat.ChannelID) (int64, error) { return tt.floor, nil })
			if want := max(tt.floor, tt.tail, tt.stream); err != nil || head.Seq != want {
				t.Errorf("%+v, %v; want seq %d", head, err, want)
			}
		})
	}
}

// The part of the stream above the watermark may be longer than one page.
func TestSeed_pagesTheStream(t *testing.T) {
	t.Parallel()
	l := logtest.On(t, redistest.NewServer(t).URL(), 1)
	rdb := l.Redis
	ch, other := chat.NewChannelID(), chat.NewChannelID()
	const n = 2345
	_, err := rdb.Pipelined(t.Context(), func(pipe redis.Pipeliner) error {
		for i := range n {
			e := event.Entry{
				Version: 1, Channel: other, Seq: int64(i + 1), Epoch: "5-x", Kind: event.Message, ID: chat.NewEventID(),
				Sender: chat.NewUserID(), ClientID: chat.NewClientID(), Payload: []byte("{}"),
			}
			if i == 1000 || i == n-1 {
				e.Channel = ch
			}
			pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: rediskey.Stream(0), ID: fmt.Sprintf("1-%d", i+1), Values: e.Fields()})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	head, err := l.EnsureHead(t.Context(), ch, logtest.Empty)
	if err != nil || head.Seq != n {
		t.Errorf("%+v, %v; want %d", head, err, n)
	}
	// A damaged entry of the channel still has a seq.
	damaged := chat.NewChannelID()
	rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: rediskey.Stream(0), Values: []any{"v", 1, "channel_id", damaged.String(), "seq", 12, "epoch", "5-x", "kind", "dance"}})
	if head, err := l.EnsureHead(t.Context(), damaged, logtest.Empty); err != nil || head.Seq != 12 {
		t.Errorf("damaged: %+v, %v; want 12", head, err)
	}
}

// sync-service may store, raise the watermark and trim during seeding. If seeding did not see an
// event in the stream, it must see the event in PostgreSQL, so it reads PostgreSQL last.
func TestSeed_whileSyncStores(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	ctx := t.Context()
	ch := chat.NewChannelID()
	p := l.Partition(ch.UUID)
	e := event.Entry{
		Version: 1, Channel: ch, Seq: 9, Epoch: "5-x", Kind: event.Message, ID: chat.NewEventID(),
		Sender: chat.NewUserID(), ClientID: chat.NewClientID(), Payload: []byte("{}"),
	}
	id, err := rdb.XAdd(ctx, &redis.XAddArgs{Stream: rediskey.Stream(p), Values: e.Fields()}).Result()
	if err != nil {
		t.Fatal(err)
	}
	head, err := l.EnsureHead(ctx, ch, func(ctx context.Context, _ chat.ChannelID) (int64, error) {
		// The first read of PostgreSQL has just returned when sync-service commits seq 9 and trims.
		if err := rdb.HSet(ctx, rediskey.Stored(p), "entry", id).Err(); err != nil {
			return 0, err
		}
		return 8, rdb.XTrimMaxLen(ctx, rediskey.Stream(p), 0).Err()
	})
	if err != nil || head.Seq != 9 {
		t.Errorf("%+v, %v; want 9: a seq would be given twice", head, err)
	}
}

func TestSeed_failsWithPostgres(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	down := errors.New("PostgreSQL is down")
	ch := chat.NewChannelID()
	head, err := l.EnsureHead(t.Context(), ch, func(context.Context, chat.ChannelID) (int64, error) { return 0, down })
	if !errors.Is(err, down) || head.Seeded() {
		t.Errorf("%+v, %v", head, err)
	}
	if n := rdb.Exists(t.Context(), rediskey.Counter(l.Partition(ch.UUID), ch)).Val(); n != 0 {
		t.Error("a counter was created without PostgreSQL")
	}
}

// fillTail adds items with the given seqs to the tail of a channel.
func fillTail(t testing.TB, l logtest.Log, ch chat.ChannelID, seqs ...int64) {
	t.Helper()
	var items []any
	for _, seq := range seqs {
		it := event.Item{Epoch: "5-x", Seq: seq, EntryID: "1-" + strconv.FormatInt(seq, 10), Kind: event.Message, Sender: chat.UserID{UUID: ch.UUID}, Frame: []byte("{}")}
		items = append(items, it.Encode())
	}
	if err := l.Redis.RPush(context.Background(), rediskey.Tail(l.Partition(ch.UUID), ch), items...).Err(); err != nil {
		t.Fatal(err)
	}
}

func upTo(from, to int64) (seqs []int64) {
	for s := from; s <= to; s++ {
		seqs = append(seqs, s)
	}
	return seqs
}

func wantSeqs(t *testing.T, what string, items []event.Item, want []int64) {
	t.Helper()
	var got []int64
	for _, it := range items {
		got = append(got, it.Seq)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	ch := chat.NewChannelID()
	if items, err := l.Tail(t.Context(), ch, 5); err != nil || len(items) != 0 {
		t.Errorf("of none: %v, %v", items, err)
	}
	fillTail(t, l, ch, upTo(3, 9)...)
	for n, want := range map[int][]int64{1: {9}, 3: {7, 8, 9}, 7: upTo(3, 9), 50: upTo(3, 9)} {
		items, err := l.Tail(t.Context(), ch, n)
		if err != nil {
			t.Fatal(err)
		}
		wantSeqs(t, fmt.Sprintf("Tail(%d)", n), items, want)
	}
	rdb.RPush(t.Context(), rediskey.Tail(l.Partition(ch.UUID), ch), "garbage")
	if _, err := l.Tail(t.Context(), ch, 2); err == nil || !strings.Contains(err.Error(), ch.String()) {
		t.Errorf("a damaged item: %v", err)
	}
}

func TestTailRange(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	ch := chat.NewChannelID()
	if items, err := l.TailRange(t.Context(), ch, 1, 5); err != nil || len(items) != 0 {
		t.Errorf("of none: %v, %v", items, err)
	}
	fillTail(t, l, ch, upTo(101, 400)...)
	for _, r := range [][4]int64{
		{101, 400, 101, 400},
		{1, 1000, 101, 400},
		{400, 400, 400, 400},
		{101, 101, 101, 101},
		{150, 160, 150, 160},
		{1, 102, 101, 102},
		{390, 500, 390, 400},
		{1, 100, 1, 0},
		{401, 500, 1, 0},
		{300, 200, 1, 0},
	} {
		items, err := l.TailRange(t.Context(), ch, r[0], r[1])
		if err != nil {
			t.Fatal(err)
		}
		wantSeqs(t, fmt.Sprintf("TailRange(%d, %d)", r[0], r[1]), items, upTo(r[2], r[3]))
	}
}

// A repair leaves a gap in the seqs, so list positions no longer correspond to seqs.
func TestTailRange_acrossARepair(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	ch := chat.NewChannelID()
	fillTail(t, l, ch, append(upTo(101, 200), upTo(501, 520)...)...)
	for _, r := range []struct {
		from, to int64
		want     []int64
	}{
		{150, 160, upTo(150, 160)},
		{190, 503, append(upTo(190, 200), upTo(501, 503)...)},
		{200, 200, upTo(200, 200)},
		{250, 300, nil},
		{505, 510, upTo(505, 510)},
		{101, 520, append(upTo(101, 200), upTo(501, 520)...)},
	} {
		items, err := l.TailRange(t.Context(), ch, r.from, r.to)
		if err != nil {
			t.Fatal(err)
		}
		wantSeqs(t, fmt.Sprintf("TailRange(%d, %d)", r.from, r.to), items, r.want)
	}
}

// A tail that contains seqs twice must not make the read loop forever.
func TestTailRange_ends(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	ch := chat.NewChannelID()
	fillTail(t, l, ch, append(upTo(1, 200), upTo(50, 200)...)...)
	items, err := l.TailRange(t.Context(), ch, 10, 20)
	if err != nil || len(items) > 11 {
		t.Errorf("%d items, %v", len(items), err)
	}
}

// between calls a function before each LRANGE except the first.
type between struct {
	lranges atomic.Int64
	do      func(n int64)
}

func (b *between) DialHook(next redis.DialHook) redis.DialHook { return next }

func (b *between) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (b *between) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "lrange" {
			if n := b.lranges.Add(1); n > 1 {
				b.do(n - 1)
			}
		}
		return next(ctx, cmd)
	}
}

// Between the two reads of a range, one append may add up to 256 items.
func TestTailRange_whileItGrows(t *testing.T) {
	t.Parallel()
	for _, burst := range []int64{1, 60, 64, 65, 256, 3 * 256} {
		t.Run(strconv.FormatInt(burst, 10), func(t *testing.T) {
			t.Parallel()
			l, s := logtest.New(t)
			ch := chat.NewChannelID()
			fillTail(t, l, ch, upTo(1, 300)...)
			watched := redis.NewClient(&redis.Options{Addr: s.Addr()})
			defer watched.Close()
			grow := &between{do: func(n int64) {
				if n == 1 {
					fillTail(t, l, ch, upTo(301, 300+burst)...)
				}
			}}
			watched.AddHook(grow)
			items, err := eventlog.New(watched, l.Partitions()).TailRange(t.Context(), ch, 100, 120)
			if err != nil {
				t.Fatal(err)
			}
			wantSeqs(t, "TailRange(100, 120)", items, upTo(100, 120))
			if n := grow.lranges.Load(); burst <= 64 && n != 2 {
				t.Errorf("%d reads, want 2", n)
			}
		})
	}
}

// The cost of reading a gap far back in a long tail is proportional to the length of the gap, not
// to the number of items after it.
func TestTailRange_readsLittle(t *testing.T) {
	t.Parallel()
	l, s := logtest.New(t)
	ch := chat.NewChannelID()
	fillTail(t, l, ch, upTo(1, 5000)...)
	before := outputOf(t, s.Client(t))
	items, err := l.TailRange(t.Context(), ch, 10, 12)
	if err != nil {
		t.Fatal(err)
	}
	wantSeqs(t, "TailRange(10, 12)", items, upTo(10, 12))
	if sent := outputOf(t, s.Client(t)) - before; sent > 64<<10 {
		t.Errorf("read %d bytes of a tail of 5000 items for 3 of them", sent)
	}
}

func outputOf(t testing.TB, rdb *redis.Client) int64 {
	t.Helper()
	info, err := rdb.Info(context.Background(), "stats").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(info, "total_net_output_bytes:")
	var n int64
	if _, err := fmt.Sscanf(rest, "%d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNotify(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	session := chat.NewSessionID()
	n := notice.Notice{Kind: notice.SessionRevoked, UserID: chat.NewUserID(), SessionID: &session}
	if err := l.Notify(t.Context(), n); err != nil {
		t.Fatalf("Notify without a listener failed: %v", err)
	}
	sub := rdb.SSubscribe(t.Context(), rediskey.UserTopic(l.Partition(n.UserID.UUID), n.UserID))
	defer sub.Close()
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Notify(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	m, err := sub.ReceiveMessage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := notice.Decode([]byte(m.Payload)); err != nil || got.UserID != n.UserID || *got.SessionID != *n.SessionID {
		t.Errorf("%+v, %v", got, err)
	}
}
