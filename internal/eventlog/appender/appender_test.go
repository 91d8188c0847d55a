package appender

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/eventlog/logtest"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
)

// outcome is the outcome of one submitted event.
type outcome struct {
	e     frame.Event
	ack   Ack
	err   error
	calls int // of done
}

// ledger submits events and records their outcomes.
type ledger struct {
	a   *Appender
	mu  sync.Mutex
	all []*outcome
	wg  sync.WaitGroup
}

// submit returns false if the appender accepts no more events.
func (l *ledger) submit(e frame.Event) bool {
	out := &outcome{e: e}
	l.wg.Add(1)
	err := l.a.Submit(&e, Options{}, func(ack Ack, err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		out.ack, out.err = ack, err
		if out.calls++; out.calls == 1 {
			l.wg.Done()
		}
	})
	if err != nil {
		l.wg.Done()
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, out)
	return true
}

// wait waits until all submitted events are settled, and returns them in submission order.
func (l *ledger) wait(t testing.TB) []*outcome {
	t.Helper()
	done := make(chan struct{})
	go func() { l.wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(testkit.Timeout):
		t.Fatal("not everything was settled")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.all {
		if o.calls != 1 {
			t.Fatalf("done was called %d times", o.calls)
		}
	}
	return l.all
}

// wantWhole checks that a channel's entries are 1 … n without gaps or duplicates, and that every
// ack belongs to exactly one of them.
func wantWhole(t testing.TB, l logtest.Log, ch chat.ChannelID, acks []Ack) {
	t.Helper()
	byClient := make(map[chat.ClientID]int)
	at := make(map[int64]chat.EventID)
	for i, e := range l.Entries(t, ch) {
		if e.Seq != int64(i+1) {
			t.Fatalf("entry %d of %s has seq %d", i+1, ch, e.Seq)
		}
		if byClient[e.ClientID]++; byClient[e.ClientID] > 1 {
			t.Errorf("client id %s is in the stream %d times", e.ClientID, byClient[e.ClientID])
		}
		at[e.Seq] = e.ID
	}
	for _, ack := range acks {
		if at[ack.Seq] != ack.ID {
			t.Errorf("ack of %s at %d, where the stream has %s", ack.ID, ack.Seq, at[ack.Seq])
		}
	}
}

// Events that one goroutine submits to one channel get seqs in submission order.
func TestAppender_keepsTheOrder(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	a := New(l.Log, rdb, logtest.Empty, Config{Logger: quiet})
	startAppender(t, a)
	channels := make([]chat.ChannelID, 5) // without counters
	for i := range channels {
		channels[i] = chat.NewChannelID()
	}
	const writers, each = 8, 400
	ledgers := make([]*ledger, writers)
	var all sync.WaitGroup
	for w := range writers {
		ledgers[w] = &ledger{a: a}
		ann := chat.NewUserID()
		all.Go(func() {
			for i := range each {
				ledgers[w].submit(message(channels[(i*7+w)%len(channels)], ann, strconv.Itoa(i)))
			}
		})
	}
	all.Wait()
	acks := make(map[chat.ChannelID][]Ack)
	for _, led := range ledgers {
		last := make(map[chat.ChannelID]int64)
		for _, o := range led.wait(t) {
			if o.err != nil {
				t.Fatal(o.err)
			}
			if o.ack.Seq <= last[o.e.ChannelID] || o.ack.ID != o.e.ID || o.ack.SentAt != o.e.SentAt || o.ack.Duplicate || o.ack.Epoch == "" {
				t.Fatalf("ack %+v behind seq %d", o.ack, last[o.e.ChannelID])
			}
			last[o.e.ChannelID] = o.ack.Seq
			acks[o.e.ChannelID] = append(acks[o.e.ChannelID], o.ack)
		}
	}
	total := 0
	for ch, some := range acks {
		wantWhole(t, l, ch, some)
		total += len(l.Entries(t, ch))
	}
	if total != writers*each {
		t.Errorf("%d entries, want %d", total, writers*each)
	}
}

// Events that arrive while a batch is in flight are sent together, with one call per channel.
func TestAppender_groupCommit(t *testing.T) {
	t.Parallel()
	l, s := logtest.New(t)
	rdb := l.Redis
	a := New(l.Log, rdb, logtest.Empty, Config{Logger: quiet})
	startAppender(t, a)
	led := &ledger{a: a}
	channels := make([]chat.ChannelID, 5)
	for i := range channels {
		channels[i] = l.Seeded(t)
		led.submit(message(channels[i], chat.NewUserID(), "warm up"))
	}
	led.wait(t)
	before := calls(t, rdb, "evalsha")
	s.Pause(t)
	const n = 1000
	for i := range n {
		led.submit(message(channels[i%len(channels)], chat.NewUserID(), strconv.Itoa(i)))
	}
	s.Resume(t)
	for _, o := range led.wait(t) {
		if o.err != nil {
			t.Fatal(o.err)
		}
	}
	// At most one batch was sent before the other events arrived, and it may have been sent twice.
	if got := calls(t, rdb, "evalsha") - before; got > 20 {
		t.Errorf("%d calls for %d events of %d channels", got, n, len(channels))
	}
	for _, ch := range channels {
		wantWhole(t, l, ch, nil)
	}
}

// The sizes of calls and batches are limited; further events wait until the earlier ones are
// settled.
func TestAppender_moreThanOneCall(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"seeded", "unseeded"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, _ := logtest.New(t)
			rdb := l.Redis
			if err := appendScript.Load(t.Context(), rdb).Err(); err != nil {
				t.Fatal(err)
			}
			still, busy, ann := l.Seeded(t), chat.NewChannelID(), chat.NewUserID()
			if name == "seeded" {
				busy = l.Seeded(t)
			}
			var a *Appender
			a = New(l.Log, rdb, func(ctx context.Context, _ chat.ChannelID) (int64, error) {
				// The lane keeps running while the counter is being created. Later events must not
				// overtake the waiting ones.
				_, err := a.Append(ctx, message(still, ann, "meanwhile"), Options{})
				return 0, err
			}, Config{Logger: quiet})
			led := &ledger{a: a}
			const n = maxBatch + maxPerCall + 17
			for i := range n { // all events are waiting when the lane starts
				led.submit(message(busy, ann, strconv.Itoa(i)))
				if i%100 == 0 {
					led.submit(message(still, ann, strconv.Itoa(i)))
				}
			}
			startAppender(t, a)
			last := map[chat.ChannelID]int64{}
			for _, o := range led.wait(t) {
				if o.err != nil || o.ack.Seq <= last[o.e.ChannelID] {
					t.Fatalf("event %s of its channel: %+v, %v; behind seq %d", o.e.Body, o.ack, o.err, last[o.e.ChannelID])
				}
				last[o.e.ChannelID] = o.ack.Seq
			}
			if last[busy] != n {
				t.Errorf("the last has seq %d, want %d", last[busy], n)
			}
			wantWhole(t, l, busy, nil)
			wantWhole(t, l, still, nil)
			if got := calls(t, rdb, "evalsha"); got > 60 {
				t.Errorf("%d calls", got)
			}
		})
	}
}

func TestAppender_outcomes(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	a := New(l.Log, rdb, logtest.Empty, Config{Logger: quiet})
	startAppender(t, a)
	ctx := t.Context()
	ch, bob := chat.NewChannelID(), chat.NewUserID()
	first := message(ch, bob, "hi")
	ack, err := a.Append(ctx, first, Options{})
	if err != nil || ack != (Ack{ID: first.ID, Seq: 1, Epoch: ack.Epoch, SentAt: first.SentAt}) || ack.Epoch == "" {
		t.Fatalf("%+v, %v", ack, err)
	}
	retry := first
	retry.ID, retry.SentAt = chat.NewEventID(), chat.At(time.Now().Add(time.Hour))
	want := ack
	want.Duplicate = true
	if got, err := a.Append(ctx, retry, Options{}); err != nil || got != want {
		t.Errorf("a retry: %+v, %v; want %+v", got, err, want)
	}
	// The relay appends the very same event again. To the relay, that is not reported as a
	// duplicate.
	if got, err := a.Append(ctx, first, Options{}); err != nil || got != ack {
		t.Errorf("the same event: %+v, %v; want %+v", got, err, ack)
	}
	retry.Body = "other"
	if _, err := a.Append(ctx, retry, Options{}); apierr.CodeOf(err) != apierr.Conflict {
		t.Errorf("other content: %v, want conflict", err)
	}
	if _, err := a.Append(ctx, membership(event.MemberLeft, ch, bob), Options{Retention: time.Hour}); err != nil {
		t.Error(err)
	}
	if _, err := a.Append(ctx, message(ch, bob, "late"), Options{}); apierr.CodeOf(err) != apierr.Forbidden {
		t.Errorf("after they left: %v, want forbidden", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	gone := chat.NewChannelID()
	if _, err := a.Append(ended, message(gone, bob, "x"), Options{}); err != nil && (apierr.CodeOf(err) != apierr.Unavailable || !errors.Is(err, context.Canceled)) {
		t.Errorf("the caller has gone: %v", err)
	}
	for name, e := range map[string]frame.Event{
		"no client id":   {Type: event.Message, ChannelID: ch},
		"zero client id": {Type: event.Message, ChannelID: ch, ClientID: &chat.ClientID{}},
		"unknown kind":   {Type: "dance", ChannelID: ch, ClientID: ref(chat.NewClientID())},
	} {
		if err := a.Submit(&e, Options{}, func(Ack, error) { t.Error("done was called") }); apierr.CodeOf(err) != apierr.Internal || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := l.Seeded(t)
	rdb.Del(ctx, rediskey.Stream(l.Partition(broken.UUID)))
	rdb.Set(ctx, rediskey.Stream(l.Partition(broken.UUID)), "no stream", 0)
	if _, err := a.Append(ctx, message(broken, bob, "x"), Options{}); apierr.CodeOf(err) != apierr.Internal || !redis.HasErrorPrefix(errors.Unwrap(err), "WRONGTYPE") {
		t.Errorf("a stream of another type: %v, want internal", err)
	}
}

// retryAppend appends e until it is acknowledged, as a client does: with the same client id and a
// new event id each time.
func retryAppend(a *Appender, e frame.Event) (Ack, error) {
	for {
		e.ID, e.SentAt = chat.NewEventID(), chat.Now()
		ack, err := a.Append(context.Background(), e, Options{})
		if apierr.CodeOf(err) != apierr.Unavailable || err == nil {
			return ack, err
		}
	}
}

// load appends from several goroutines, calls disturb after a third of the appends, and returns the
// acks by channel.
func load(t *testing.T, a *Appender, channels []chat.ChannelID, disturb func()) map[chat.ChannelID][]Ack {
	t.Helper()
	const writers, each = 6, 250
	var mu sync.Mutex
	acks := make(map[chat.ChannelID][]Ack)
	var count atomic.Int64
	third := make(chan struct{})
	var all sync.WaitGroup
	for w := range writers {
		ann := chat.NewUserID()
		all.Go(func() {
			for i := range each {
				e := message(channels[(w+i)%len(channels)], ann, fmt.Sprintf("%d of %d", i, w))
				ack, err := retryAppend(a, e)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acks[e.ChannelID] = append(acks[e.ChannelID], ack)
				mu.Unlock()
				if count.Add(1) == writers*each/3 {
					close(third)
				}
			}
		})
	}
	select {
	case <-third:
		disturb()
	case <-time.After(testkit.Timeout):
		t.Error("no progress")
	}
	all.Wait()
	if n := count.Load(); n != writers*each {
		t.Fatalf("%d of %d were acknowledged", n, writers*each)
	}
	return acks
}

// wantAllOnce checks that the streams contain exactly the acknowledged events, each once.
func wantAllOnce(t *testing.T, l logtest.Log, acks map[chat.ChannelID][]Ack) {
	t.Helper()
	for ch, some := range acks {
		wantWhole(t, l, ch, some)
		var seqs []int64
		for _, ack := range some {
			seqs = append(seqs, ack.Seq)
		}
		slices.Sort(seqs)
		if n := len(l.Entries(t, ch)); n != len(some) || len(slices.Compact(seqs)) != n {
			t.Errorf("%s: %d entries for %d acks", ch, n, len(some))
		}
	}
}

// Every acknowledged event is in the stream exactly once, although Redis was killed under load.
func TestAppender_redisKilled(t *testing.T) {
	t.Parallel()
	l, s := logtest.New(t)
	rdb := l.Redis
	a := New(l.Log, rdb, logtest.Empty, Config{Timeout: 300 * time.Millisecond, Logger: quiet})
	startAppender(t, a)
	channels := []chat.ChannelID{l.Seeded(t), l.Seeded(t), chat.NewChannelID()}
	acks := load(t, a, channels, func() {
		for range 3 {
			s.Kill(t)
			s.Start(t)
		}
	})
	wantAllOnce(t, l, acks)
}

func TestAppender_scriptFlushed(t *testing.T) {
	t.Parallel()
	l, s := logtest.New(t)
	rdb := l.Redis
	a := New(l.Log, rdb, logtest.Empty, Config{Logger: quiet})
	startAppender(t, a)
	channels := []chat.ChannelID{chat.NewChannelID(), chat.NewChannelID()}
	acks := load(t, a, channels, func() {
		for range 5 {
			if err := s.Client(t).ScriptFlush(context.Background()).Err(); err != nil {
				t.Error(err)
			}
		}
	})
	wantAllOnce(t, l, acks)
	for _, some := range acks {
		for _, ack := range some {
			if ack.Duplicate {
				t.Fatal("the client noticed the flushed script")
			}
		}
	}
}

// If an append gets no answer, its outcome is unknown. A retry with the same client id settles it.
func TestAppender_redisSilent(t *testing.T) {
	t.Parallel()
	l, s := logtest.New(t)
	rdb := l.Redis
	a := New(l.Log, rdb, logtest.Empty, Config{Timeout: 200 * time.Millisecond, Logger: quiet})
	startAppender(t, a)
	ch, ann := l.Seeded(t), chat.NewUserID()
	led := &ledger{a: a}
	led.submit(message(ch, ann, "before"))
	led.wait(t)
	s.Pause(t)
	for i := range 20 {
		led.submit(message(ch, ann, strconv.Itoa(i)))
	}
	all := led.wait(t)[1:]
	for _, o := range all {
		if apierr.CodeOf(o.err) != apierr.Unavailable {
			t.Fatalf("%+v, %v; want unavailable", o.ack, o.err)
		}
	}
	s.Resume(t)
	var acks []Ack
	for _, o := range all {
		ack, err := retryAppend(a, o.e)
		if err != nil {
			t.Fatal(err)
		}
		acks = append(acks, ack)
		if again, err := retryAppend(a, o.e); err != nil || !again.Duplicate || again.Seq != ack.Seq || again.ID != ack.ID {
			t.Errorf("once more: %+v, %v; want %+v", again, err, ack)
		}
	}
	wantWhole(t, l, ch, acks)
	if n := len(l.Entries(t, ch)); n != 1+len(all) {
		t.Errorf("%d entries, want %d", n, 1+len(all))
	}
}

// A refusal by a full Redis is temporary: no append hangs, and none is half done.
func TestAppender_redisFull(t *testing.T) {
	t.Parallel()
	l, s := logtest.New(t)
	rdb := l.Redis
	a := New(l.Log, rdb, logtest.Empty, Config{Timeout: 100 * time.Millisecond, Logger: quiet})
	startAppender(t, a)
	ch := l.Seeded(t)
	admin := s.Client(t)
	admin.ConfigSet(t.Context(), "maxmemory", "1")
	e := message(ch, chat.NewUserID(), "x")
	if _, err := a.Append(t.Context(), e, Options{}); apierr.CodeOf(err) != apierr.Unavailable {
		t.Errorf("%v, want unavailable", err)
	}
	admin.ConfigSet(t.Context(), "maxmemory", "0")
	if ack, err := retryAppend(a, e); err != nil || ack.Seq != 1 {
		t.Errorf("%+v, %v", ack, err)
	}
}

// While PostgreSQL is down, appends to a channel without a counter are unavailable. Channels with a
// counter continue to work.
func TestAppender_floorFails(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	asked, answer := make(chan struct{}), make(chan error)
	var down atomic.Bool
	down.Store(true)
	floor := func(ctx context.Context, _ chat.ChannelID) (int64, error) {
		if !down.Load() {
			return 7, nil
		}
		asked <- struct{}{}
		select {
		case err := <-answer:
			return 0, err
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	a := New(l.Log, rdb, floor, Config{Logger: quiet})
	startAppender(t, a)
	other, ch, ann := l.Seeded(t), chat.NewChannelID(), chat.NewUserID()
	led := &ledger{a: a}
	led.submit(message(ch, ann, "first"))
	<-asked
	led.submit(message(ch, ann, "second")) // waits behind the first one
	for i := range 5 {
		ack, err := a.Append(t.Context(), message(other, ann, "go on"), Options{})
		if err != nil || ack.Seq != int64(i+1) {
			t.Fatalf("a channel with a counter: %+v, %v", ack, err)
		}
	}
	reason := errors.New("PostgreSQL is down")
	answer <- reason
	for _, o := range led.wait(t) {
		if apierr.CodeOf(o.err) != apierr.Unavailable || !errors.Is(o.err, reason) {
			t.Errorf("%s: %+v, %v; want unavailable", o.e.Body, o.ack, o.err)
		}
	}
	down.Store(false)
	if ack, err := a.Append(t.Context(), message(ch, ann, "third"), Options{}); err != nil || ack.Seq != 8 {
		t.Errorf("later: %+v, %v; want seq 8", ack, err)
	}
	if n := len(l.Entries(t, ch)); n != 1 {
		t.Errorf("%d entries; refused events must not be in the stream", n)
	}
}

// A channel whose counter is being created keeps its order; other channels are not blocked.
func TestAppender_keepsTheOrderWhileSeeding(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	asked, answer := make(chan struct{}), make(chan struct{})
	a := New(l.Log, rdb, func(context.Context, chat.ChannelID) (int64, error) {
		asked <- struct{}{}
		<-answer
		return 0, nil
	}, Config{Logger: quiet})
	startAppender(t, a)
	other, ch, ann := l.Seeded(t), chat.NewChannelID(), chat.NewUserID()
	led := &ledger{a: a}
	led.submit(message(ch, ann, "0"))
	<-asked
	for i := 1; i < 2*maxPerCall; i++ {
		led.submit(message(ch, ann, strconv.Itoa(i)))
		if i%100 == 0 {
			if _, err := a.Append(t.Context(), message(other, ann, "x"), Options{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(answer)
	for i, o := range led.wait(t) {
		if o.err != nil || o.ack.Seq != int64(i+1) {
			t.Fatalf("event %d: %+v, %v", i, o.ack, o.err)
		}
	}
}

// A lost counter is created again above every seq in the stream, so that no seq is used twice.
func TestAppender_counterLost(t *testing.T) {
	t.Parallel()
	l, s := logtest.New(t)
	rdb := l.Redis
	a := New(l.Log, rdb, logtest.Empty, Config{Logger: quiet})
	startAppender(t, a)
	ch := chat.NewChannelID()
	acks := load(t, a, []chat.ChannelID{ch}, func() {
		admin := s.Client(t)
		for range 10 {
			if err := admin.Del(context.Background(), rediskey.Counter(l.Partition(ch.UUID), ch)).Err(); err != nil {
				t.Error(err)
			}
		}
	})
	wantAllOnce(t, l, acks)
}

// Shutdown finishes submitted events and refuses new ones.
func TestAppender_shutdown(t *testing.T) {
	t.Parallel()
	l, s := logtest.New(t)
	rdb := l.Redis
	gate := make(chan struct{})
	slow := chat.NewChannelID()
	a := New(l.Log, rdb, func(context.Context, chat.ChannelID) (int64, error) { <-gate; return 0, nil }, Config{Logger: quiet})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx) }()
	ch, ann := l.Seeded(t), chat.NewUserID()
	led := &ledger{a: a}
	led.submit(message(slow, ann, "waits for its counter"))
	for i := range 3 * maxPerCall {
		led.submit(message(ch, ann, strconv.Itoa(i)))
	}
	s.Pause(t)
	led.submit(message(ch, ann, "while Redis is silent"))
	cancel()
	s.Resume(t)
	testkit.Until(t, testkit.Timeout, func() error {
		if led.submit(message(ch, ann, "more")) {
			return errors.New("still takes events")
		}
		return nil
	})
	if _, err := a.Append(t.Context(), message(ch, ann, "late"), Options{}); apierr.CodeOf(err) != apierr.Unavailable {
		t.Errorf("after the end: %v, want unavailable", err)
	}
	select {
	case <-ran:
		t.Error("Run has returned before everything was settled")
	default:
	}
	close(gate)
	if err := <-ran; err != nil {
		t.Errorf("Run: %v", err)
	}
	led.mu.Lock()
	for _, o := range led.all { // settled before Run returned
		if o.calls != 1 || o.err != nil {
			t.Fatalf("%s: done called %d times, %v", o.e.Body, o.calls, o.err)
		}
	}
	led.mu.Unlock()
	var acks []Ack
	for _, o := range led.wait(t) {
		if o.e.ChannelID == ch {
			acks = append(acks, o.ack)
		}
	}
	wantWhole(t, l, ch, acks)
	wantWhole(t, l, slow, nil)
	if n := len(l.Entries(t, slow)); n != 1 {
		t.Errorf("%d entries of the slow channel", n)
	}
}

// Shutdown completes even if Redis never comes back.
func TestAppender_shutdownWithoutRedis(t *testing.T) {
	t.Parallel()
	l, s := logtest.New(t)
	rdb := l.Redis
	a := New(l.Log, rdb, logtest.Empty, Config{Timeout: 100 * time.Millisecond, Logger: quiet})
	stop := startAppender(t, a)
	ch := l.Seeded(t)
	s.Kill(t)
	led := &ledger{a: a}
	for range 10 {
		led.submit(message(ch, chat.NewUserID(), "x"))
	}
	stop()
	for _, o := range led.wait(t) {
		if apierr.CodeOf(o.err) != apierr.Unavailable {
			t.Errorf("%+v, %v; want unavailable", o.ack, o.err)
		}
	}
}
