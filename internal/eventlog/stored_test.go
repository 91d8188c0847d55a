package eventlog

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
)

// rows is a fake PostgreSQL with the same highest seq in every channel.
type rows struct {
	mu        sync.Mutex
	seq       int64
	watermark string
	err       error
	asked     int
}

func (r *rows) set(seq int64, watermark string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq, r.watermark, r.err = seq, watermark, err
}

func (r *rows) Seqs(_ context.Context, channels []chat.ChannelID) ([]int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked += len(channels)
	seqs := make([]int64, len(channels))
	for i := range seqs {
		seqs[i] = r.seq
	}
	return seqs, r.err
}

func (r *rows) Watermark(context.Context, int) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.watermark, r.err
}

func (r *rows) floor(context.Context, chat.ChannelID) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seq, r.err
}

// The counter in Redis, which was restored from an older copy, is below the stored seqs. Even a
// process that has seen nothing of the channel must not assign a seq that PostgreSQL holds.
func TestAppender_comparesWithPostgreSQL(t *testing.T) {
	t.Parallel()
	l, rdb, s := newLog(t)
	pg := &rows{watermark: "0-0"}
	a := NewAppender(l, rdb, pg.floor, AppenderConfig{Logger: quiet, Stored: pg})
	startAppender(t, a)
	ch, ann := seeded(t, l), chat.NewUserID()
	first, err := retryAppend(a, message(ch, ann, "first"))
	if err != nil || first.Seq != 1 {
		t.Fatalf("%+v, %v", first, err)
	}
	// The connection breaks, and the restarted Redis is behind PostgreSQL.
	pg.set(40, "0-0", nil)
	s.Kill(t)
	s.Start(t)
	ack, err := retryAppend(a, message(ch, ann, "after the loss"))
	if err != nil || ack.Seq != 42 || !ack.Epoch.NewerThan(first.Epoch) {
		t.Fatalf("%+v, %v; want seq 42, behind the gap event, of a newer epoch than %s", ack, err, first.Epoch)
	}
	all := entries(t, l, ch)
	if len(all) != 3 || all[1].Kind != event.Gap || all[1].Seq != 41 {
		t.Errorf("entries %+v", all)
	}
	if _, err := rdb.HGet(t.Context(), rediskey.Stored(l.Partition(ch.UUID)), "lost").Int64(); err != nil {
		t.Errorf("the loss was not recorded: %v", err)
	}
	// One comparison per connection is enough.
	pg.mu.Lock()
	asked := pg.asked
	pg.mu.Unlock()
	for i := range 5 {
		if _, err := a.Append(t.Context(), message(ch, ann, strconv.Itoa(i)), AppendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if pg.mu.Lock(); pg.asked != asked {
		t.Errorf("PostgreSQL was queried %d more times", pg.asked-asked)
	}
	pg.mu.Unlock()
}

// While PostgreSQL is down, appends continue. Only one append waits until the outage is detected,
// not the first append in each channel.
func TestAppender_comparesLater(t *testing.T) {
	t.Parallel()
	l, rdb, _ := newLog(t)
	pg := &rows{watermark: "0-0", err: errors.New("PostgreSQL is away")}
	a := NewAppender(l, rdb, pg.floor, AppenderConfig{Logger: quiet, Stored: pg})
	startAppender(t, a)
	ch := seeded(t, l)
	for i := range 3 {
		ack, err := retryAppend(a, message(ch, chat.NewUserID(), strconv.Itoa(i)))
		if err != nil || ack.Seq != int64(i+1) {
			t.Fatalf("%+v, %v", ack, err)
		}
	}
	pg.mu.Lock()
	asked := pg.asked
	pg.mu.Unlock()
	for range 5 {
		if ack, err := retryAppend(a, message(seeded(t, l), chat.NewUserID(), "x")); err != nil || ack.Seq != 1 {
			t.Errorf("in another channel: %+v, %v", ack, err)
		}
	}
	if pg.mu.Lock(); pg.asked != asked {
		t.Errorf("PostgreSQL was queried %d more times", pg.asked-asked)
	}
	pg.mu.Unlock()
}

func TestLift(t *testing.T) {
	t.Parallel()
	l, rdb, _ := newLog(t)
	const watermark = "9000000000000-7" // above Redis's clock
	for name, tt := range map[string]struct {
		p      int
		before []string // entries of the stream
		mark   string
		last   string
		lost   bool
	}{
		"no stream, nothing stored": {0, nil, "0-0", "", false},
		"a new Redis":               {4, nil, watermark, "0-0", true},
		"an older copy":             {1, []string{"5-1", "7-0"}, watermark, "7-0", true},
		"up to date":                {2, []string{"5-1", "7-0"}, "7-0", "7-0", false},
		"further":                   {3, []string{"5-1", "7-0"}, "6-18446744073709551615", "7-0", false},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, stream := t.Context(), rediskey.Stream(tt.p)
			for _, id := range tt.before {
				if err := rdb.XAdd(ctx, &redis.XAddArgs{Stream: stream, ID: id, Values: []any{"a", "b"}}).Err(); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // the second call has nothing to do
				last, lost, err := l.Lift(ctx, tt.p, tt.mark)
				if err != nil || last != tt.last || lost != tt.lost {
					t.Fatalf("%s, %t, %v; want %s, %t", last, lost, err, tt.last, tt.lost)
				}
				if tt.lost {
					tt.lost, tt.last = false, watermark
				}
			}
			if n := rdb.XLen(ctx, stream).Val(); n != int64(len(tt.before)) {
				t.Errorf("%d entries, want those of before", n)
			}
			if tt.last != watermark {
				return
			}
			id, err := rdb.XAdd(ctx, &redis.XAddArgs{Stream: stream, Values: []any{"a", "b"}}).Result()
			if err != nil || id != "9000000000000-8" {
				t.Errorf("the next entry is %s, %v", id, err)
			}
		})
	}
}
