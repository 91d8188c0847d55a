package appender

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/logtest"
	"parley.chat/shared-contracts/apierr"
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
	l, s := logtest.New(t)
	rdb := l.Redis
	pg := &rows{watermark: "0-0"}
	a := New(l.Log, rdb, pg.floor, Config{Logger: quiet, Stored: pg})
	startAppender(t, a)
	ch, ann := l.Seeded(t), chat.NewUserID()
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
	all := l.Entries(t, ch)
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
		if _, err := a.Append(t.Context(), message(ch, ann, strconv.Itoa(i)), Options{}); err != nil {
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
	l, _ := logtest.New(t)
	rdb := l.Redis
	pg := &rows{watermark: "0-0", err: errors.New("PostgreSQL is away")}
	a := New(l.Log, rdb, pg.floor, Config{Logger: quiet, Stored: pg})
	startAppender(t, a)
	ch := l.Seeded(t)
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
		if ack, err := retryAppend(a, message(l.Seeded(t), chat.NewUserID(), "x")); err != nil || ack.Seq != 1 {
			t.Errorf("in another channel: %+v, %v", ack, err)
		}
	}
	if pg.mu.Lock(); pg.asked != asked {
		t.Errorf("PostgreSQL was queried %d more times", pg.asked-asked)
	}
	pg.mu.Unlock()
}

// Redis refuses an append if the appender has seen a higher head than Redis has. The append
// continues after the repair.
func TestAppender_diverged(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	ch, other := l.Seeded(t), l.Seeded(t)
	heads, err := l.Heads(t.Context(), []chat.ChannelID{ch})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	known := map[chat.ChannelID]eventlog.Head{ch: {Seq: 7, Epoch: heads[0].Epoch}}
	asked, let := make(chan eventlog.Head), make(chan error)
	a := New(l.Log, rdb, logtest.Empty, Config{
		Logger: quiet,
		Known:  func(c chat.ChannelID) eventlog.Head { mu.Lock(); defer mu.Unlock(); return known[c] },
		Diverged: func(ctx context.Context, c chat.ChannelID, found eventlog.Head) error {
			asked <- found
			if err := <-let; err != nil {
				return err
			}
			after, err := l.Repair(ctx, c, found, eventlog.Head{Seq: 7, Epoch: found.Epoch}, logtest.Empty)
			mu.Lock()
			defer mu.Unlock()
			known[c] = after
			return err
		},
	})
	startAppender(t, a)
	led, ann := &ledger{a: a}, chat.NewUserID()
	led.submit(message(ch, ann, "refused"))
	if found := <-asked; found != heads[0] {
		t.Errorf("found %+v, want %+v", found, heads[0])
	}
	if _, err := a.Append(t.Context(), message(other, ann, "go on"), Options{}); err != nil {
		t.Error(err)
	}
	let <- errors.New("PostgreSQL is down")
	if o := led.wait(t)[0]; apierr.CodeOf(o.err) != apierr.Unavailable {
		t.Errorf("%+v, %v; want unavailable", o.ack, o.err)
	}
	for _, body := range []string{"1", "2", "3"} {
		led.submit(message(ch, ann, body))
	}
	<-asked
	led.submit(message(ch, ann, "4"))
	let <- nil
	for i, o := range led.wait(t)[1:] { // 8 is the seq of the gap event
		if o.err != nil || o.ack.Seq != int64(9+i) {
			t.Errorf("%s: %+v, %v; want seq %d", o.e.Body, o.ack, o.err, 9+i)
		}
	}
}
