package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/platform/redisclient"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/consumer"
	"parley.chat/sync-service/internal/streamtest"
	"parley.chat/sync-service/internal/streamworker"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const partitions = streamtest.Partitions

// world is a deployment without services, with channels to which entries are appended.
type world struct {
	*streamtest.World
	channels []chat.ChannelID
	heads    map[chat.ChannelID]int64
	sender   chat.UserID
}

func newWorld(t testing.TB, channels int) *world {
	t.Helper()
	return worldOn(streamtest.Open(t), channels)
}

func worldOn(stores *streamtest.World, channels int) *world {
	w := &world{World: stores, heads: map[chat.ChannelID]int64{}, sender: chat.NewUserID()}
	for range channels {
		w.channels = append(w.channels, chat.NewChannelID())
	}
	return w
}

func partition(ch chat.ChannelID) int { return streamtest.Partition(ch) }

// appendScript does the same as the gateways' append script for one event: it writes the stream
// entry and the tail item in one step.
var appendScript = redis.NewScript(`
local fields = {}
for i = 2, #ARGV do fields[#fields + 1] = ARGV[i] end
local id = redis.call('XADD', KEYS[1], '*', unpack(fields))
local item = string.gsub(ARGV[1], '@entry@', id, 1)
redis.call('RPUSH', KEYS[2], item)
redis.call('PERSIST', KEYS[2])
return id`)

// next creates the next event of a channel.
func (w *world) next(ch chat.ChannelID, body string) event.Entry {
	w.heads[ch]++
	f := streamtest.Message(ch, w.heads[ch], body)
	f.SenderID = w.sender
	return streamtest.Entry(w.T, f)
}

// put appends an entry and returns its id.
func (w *world) put(ctx context.Context, e event.Entry) (string, error) {
	item := event.Item{Epoch: e.Epoch, Seq: e.Seq, EntryID: "@entry@", Kind: e.Kind, Sender: e.Sender, Frame: e.Payload}
	p := partition(e.Channel)
	keys := []string{rediskey.Stream(p), rediskey.Tail(p, e.Channel)}
	return appendScript.Run(ctx, w.RDB, keys, append([]any{item.Encode()}, e.Fields()...)...).Text()
}

// append appends n messages to the channels in turn.
func (w *world) append(n int) {
	w.T.Helper()
	for i := range n {
		if _, err := w.put(w.T.Context(), w.next(w.channels[i%len(w.channels)], fmt.Sprint("m", i))); err != nil {
			w.T.Fatal(err)
		}
	}
}

// instance is a running consumer.
type instance struct {
	consumer *consumer.Consumer
	reg      *prometheus.Registry
	stop     context.CancelFunc
	done     chan error
}

// start runs a consumer until the test ends or its stop is called. change may be nil.
func (w *world) start(name string, wrap func(consumer.Store) consumer.Store, change func(*consumer.Config)) *instance {
	w.T.Helper()
	t := w.T
	reads, err1 := redisclient.Open(w.RedisURL, redisclient.Options{PoolSize: partitions + 4, NoRetry: true})
	rdb, err2 := redisclient.Open(w.RedisURL, redisclient.Options{})
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	in := &instance{reg: prometheus.NewRegistry(), done: make(chan error, 1)}
	cfg := consumer.Config{
		Config: streamworker.Config{
			Name: name, Partitions: partitions, ClaimIdle: 300 * time.Millisecond,
			RetryMin: 5 * time.Millisecond, RetryMax: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		},
		BatchWait: 5 * time.Millisecond, ReadBlock: 50 * time.Millisecond,
		WatermarkCheckInterval: time.Hour, WatermarkInterval: 20 * time.Millisecond, TailTrimInterval: 20 * time.Millisecond,
		TrimInterval: 50 * time.Millisecond, Metrics: consumer.NewMetrics(in.reg),
	}
	if change != nil {
		change(&cfg)
	}
	var s consumer.Store = streamtest.OpenStore(t, w.PG)
	if wrap != nil {
		s = wrap(s)
	}
	var err error
	if in.consumer, err = consumer.New(reads, rdb, s, cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		in.done <- in.consumer.Run(ctx)
		_, _ = reads.Close(), rdb.Close()
	}()
	in.stop = func() { cancel(); <-ended }
	t.Cleanup(in.stop)
	return in
}

// metric returns the value of one of the instance's counters, for the given label value or summed
// over all values.
func (in *instance) metric(t testing.TB, name, label string) (sum float64) {
	t.Helper()
	families, err := in.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "parley_sync_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label == "" || len(m.GetLabel()) > 0 && m.GetLabel()[0].GetValue() == label {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func (w *world) until(check func() error) { w.T.Helper(); testkit.Until(w.T, testkit.Timeout, check) }

// rows returns the number of rows of a kind, or of all kinds for "".
func (w *world) rows(kind string) int {
	w.T.Helper()
	return w.Count(`select count(*) from messages where $1 = '' or kind = $1`, kind)
}

// waiting returns how many entries are pending and how many are undelivered. It counts the
// undelivered entries first, because an undelivered entry may become pending, but a pending one
// never becomes undelivered.
func (w *world) waiting() (pending, undelivered int64) {
	w.T.Helper()
	ctx := w.T.Context()
	for p := range partitions {
		stream := rediskey.Stream(p)
		delivered := "-"
		for _, g := range w.RDB.XInfoGroups(ctx, stream).Val() {
			delivered = "(" + g.LastDeliveredID
		}
		undelivered += int64(len(w.RDB.XRange(ctx, stream, delivered, "+").Val()))
		if sum, err := w.RDB.XPending(ctx, stream, rediskey.ConsumerGroup).Result(); err == nil {
			pending += sum.Count
		}
	}
	return pending, undelivered
}

// settled waits until no entry is undelivered or pending, and checks that every channel has exactly
// one row per seq.
func (w *world) settled() {
	w.T.Helper()
	w.until(func() error {
		if pending, undelivered := w.waiting(); pending+undelivered > 0 {
			return fmt.Errorf("%d pending, %d not delivered", pending, undelivered)
		}
		return nil
	})
	w.complete()
}

// complete checks that PostgreSQL has the seqs 1 to head of every channel. The primary key excludes
// duplicates.
func (w *world) complete() {
	w.T.Helper()
	for ch, head := range w.heads {
		var n, low, high int64
		if err := w.Pool.QueryRow(w.T.Context(), `select count(*), coalesce(min(seq), 0), coalesce(max(seq), 0)
			from messages where channel_id = $1`, ch.UUID).Scan(&n, &low, &high); err != nil {
			w.T.Fatal(err)
		}
		if n != head || low != 1 || high != head {
			w.T.Errorf("channel %s: %d rows, seqs %d to %d; want %d", ch, n, low, high, head)
		}
	}
}

// gapFrame returns a gap event at the seq of an entry.
func gapFrame(ch chat.ChannelID, e event.Entry, from, to int64) frame.Event {
	return frame.Event{Type: event.Gap, ChannelID: ch, Seq: e.Seq, ID: e.ID, SenderID: e.Sender, From: from, To: to, SentAt: chat.Now()}
}

// passes waits until all partitions have been trimmed twice from now on. Removing dead consumers is
// the last step of a pass, so the test adds a dead consumer and waits until it is removed.
func (w *world) passes(p int) {
	w.T.Helper()
	ctx := w.T.Context()
	stream := rediskey.Stream(p)
	for range 2 {
		if err := w.RDB.XGroupCreateConsumer(ctx, stream, rediskey.ConsumerGroup, "passing").Err(); err != nil {
			w.T.Fatal(err)
		}
		w.until(func() error {
			for _, m := range w.RDB.XInfoConsumers(ctx, stream, rediskey.ConsumerGroup).Val() {
				if m.Name == "passing" {
					return errors.New("no pass yet")
				}
			}
			return nil
		})
	}
}
