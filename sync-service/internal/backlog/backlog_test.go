package backlog_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/backlog"
	"parley.chat/sync-service/internal/scan"
	"parley.chat/sync-service/internal/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testkit.Redialing()) }

// world is a Redis whose streams contain entries with known ages.
type world struct {
	*streamtest.Streams
	now time.Time
	n   map[int]int // entries by partition
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{Streams: streamtest.OpenStreams(t), now: time.Now(), n: map[int]int{}}
}

// channelIn returns a new channel in the given partition.
func channelIn(p int) chat.ChannelID {
	for {
		if c := chat.NewChannelID(); streamtest.Partition(c) == p {
			return c
		}
	}
}

// add adds n entries of a channel. For the zero channel, it adds entries that cannot be decoded.
// The entries of a partition must be added from the oldest to the newest.
func (w *world) add(p int, c chat.ChannelID, age time.Duration, n int) {
	w.T.Helper()
	pipe := w.RDB.Pipeline()
	for range n {
		w.n[p]++
		values := []any{"what", "is this"}
		if !c.IsZero() {
			e := event.Entry{Version: event.Version, Channel: c, Seq: 1, Epoch: "1-a", Kind: event.Message, ID: chat.NewEventID(), Sender: chat.NewUserID(), Payload: []byte("{}")}
			values = e.Fields()
		}
		pipe.XAdd(w.T.Context(), &redis.XAddArgs{Stream: rediskey.Stream(p), ID: fmt.Sprintf("%d-%d", w.now.Add(-age).UnixMilli(), w.n[p]), Values: values})
	}
	if _, err := pipe.Exec(w.T.Context()); err != nil {
		w.T.Fatal(err)
	}
}

// deliver creates the group of a stream and delivers its first n entries.
func (w *world) deliver(stream string, n int) (ids []string) {
	w.T.Helper()
	w.CreateGroup(stream)
	return w.Deliver(stream, "a", n)
}

func (w *world) read() backlog.Report {
	w.T.Helper()
	report, err := backlog.Read(w.T.Context(), w.RDB, streamtest.Partitions)
	if err != nil {
		w.T.Fatal(err)
	}
	return report
}

func TestRead_withoutEntries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	report := w.read()
	if report.Pending != 0 || report.Undelivered != 0 || len(report.Channels) != 0 || report.Receipts != 0 {
		t.Errorf("%+v", report)
	}
	var names []string
	for _, b := range report.Ages {
		names = append(names, b.Below)
		if b.Entries != 0 {
			t.Errorf("%d entries below %s", b.Entries, b.Below)
		}
	}
	if want := []string{"1s", "10s", "1m", "10m", "1h", "24h", "more"}; !slices.Equal(names, want) {
		t.Errorf("ages %v, want %v", names, want)
	}
}

func TestRead_countsByChannelAndAge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	busy, slow, lonely := channelIn(1), channelIn(1), channelIn(2)
	w.add(1, slow, 48*time.Hour, 1)
	w.add(1, slow, 2*time.Hour, 2)
	w.add(1, busy, 30*time.Second, 3)
	w.add(1, chat.ChannelID{}, 20*time.Second, 1)
	w.add(1, busy, -time.Hour, 2) // the clocks differ
	w.add(2, lonely, 5*time.Minute, 1)
	ids := w.deliver(rediskey.Stream(1), 4)
	w.Ack(rediskey.Stream(1), ids[0]) // stored

	report := w.read()
	if report.Pending != 3 || report.Undelivered != 6 {
		t.Errorf("%d pending, %d undelivered, want 3 and 6", report.Pending, report.Undelivered)
	}
	type count struct {
		channel              string
		partition            int
		pending, undelivered int64
	}
	var got []count
	for _, c := range report.Channels {
		got = append(got, count{c.Channel, c.Partition, c.Pending, c.Undelivered})
	}
	last := []count{{"", 1, 0, 1}, {lonely.String(), 2, 0, 1}} // equal backlogs are in the order of their ids
	if want := append([]count{{busy.String(), 1, 1, 4}, {slow.String(), 1, 2, 0}}, last...); !slices.Equal(got, want) {
		t.Errorf("channels\n%v, want\n%v", got, want)
	}
	for i, c := range report.Channels {
		if want := []float64{30, 7200, 20, 300}[i]; c.Oldest < want || c.Oldest > want+testkit.Timeout.Seconds() {
			t.Errorf("channel %q: the oldest entry is %v s old, want about %v", c.Channel, c.Oldest, want)
		}
	}
	var entries int64
	ages := map[string]int64{}
	for _, b := range report.Ages {
		ages[b.Below] = b.Entries
		entries += b.Entries
	}
	if ages["1s"] != 2 || ages["24h"] != 2 || ages["more"] != 0 || entries != 9 {
		t.Errorf("ages %v", ages)
	}
}

func TestRead_pendingEntriesThatAreGoneStillCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(3, channelIn(3), time.Second, 2)
	ids := w.deliver(rediskey.Stream(3), 2)
	if err := w.RDB.XDel(t.Context(), rediskey.Stream(3), ids[1]).Err(); err != nil {
		t.Fatal(err)
	}
	if report := w.read(); report.Pending != 2 || report.Undelivered != 0 || len(report.Channels) != 2 {
		t.Errorf("%+v, want 2 pending entries, one of an unknown channel", report)
	}
}

func TestRead_readsMoreThanAPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = scan.Page + 5
	w.add(0, channelIn(0), time.Minute, 2*n)
	w.deliver(rediskey.Stream(0), n)
	if report := w.read(); report.Pending != n || report.Undelivered != n || report.Channels[0].Waiting() != 2*n {
		t.Errorf("%d pending, %d undelivered, want %d each", report.Pending, report.Undelivered, n)
	}
}

func TestRead_countsReceiptsSeparately(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for p, ids := range map[int][]string{1: {"1000-0", "2000-0", "3000-0"}, 2: {"1000-0"}} {
		for _, id := range ids {
			w.AddAt(rediskey.Receipts(p), id, []any{"a", "b"})
		}
	}
	w.deliver(rediskey.Receipts(1), 2)
	report := w.read()
	if report.Receipts != 4 || report.Pending != 0 || report.Undelivered != 0 {
		t.Errorf("%d receipts, %d pending, %d undelivered; want 4 receipts only", report.Receipts, report.Pending, report.Undelivered)
	}
	if want := time.Since(time.UnixMilli(1000)).Seconds(); report.ReceiptsSeconds < want-testkit.Timeout.Seconds() {
		t.Errorf("the oldest receipts are %v s old, want %v", report.ReceiptsSeconds, want)
	}
}

func TestRead_failsWithoutRedis(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Redis.Stop(t)
	if _, err := backlog.Read(t.Context(), w.RDB, streamtest.Partitions); err == nil {
		t.Error("no error without Redis")
	}
}
