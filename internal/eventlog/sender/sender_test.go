package sender_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/appender"
	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/internal/eventlog/sender"
	"parley.chat/internal/platform/redisclient"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testkit.Redialing()) }

// limit is the number of messages that the tests' users may send within an hour.
const (
	limit = 3
	block = 30 * time.Minute
)

// world is a running Sender on a private Redis.
type world struct {
	*sender.Sender
	t     *testing.T
	redis *redistest.Server
	rdb   redis.UniversalClient
	log   *eventlog.Log
	stop  func() // ends the Sender only
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, redis: redistest.NewServer(t)}
	var err error
	if w.rdb, err = redisclient.Open(w.redis.URL(), redisclient.Options{NoRetry: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.rdb.Close() })
	w.log = eventlog.New(w.rdb, 4)
	logger := slog.New(slog.DiscardHandler)
	limiter := ratelimit.New(w.rdb, ratelimit.Config{Count: limit, Window: time.Hour, Block: block, Partitions: 4, Timeout: time.Second, Logger: logger})
	a := appender.New(w.log, w.rdb, func(context.Context, chat.ChannelID) (int64, error) { return 0, nil }, appender.Config{Timeout: time.Second, Logger: logger})
	w.Sender = sender.New(limiter, a, nil)
	for _, run := range []func(context.Context) error{limiter.Run, a.Run, w.Run} { // the Sender stops first
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { // stop waits for it
			defer close(ended)
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		}()
		w.stop = sync.OnceFunc(func() { cancel(); <-ended })
		t.Cleanup(w.stop)
	}
	return w
}

// message returns a new message of a user.
func message(user chat.UserID, c chat.ChannelID, body string) frame.Event {
	return frame.Event{
		Type: event.Message, ChannelID: c, ID: chat.NewEventID(), ClientID: new(chat.NewClientID()),
		SenderID: user, SenderName: "ann", Body: body, SentAt: chat.Now(),
	}
}

// submit calls Submit and waits for the outcome.
func (w *world) submit(e frame.Event) (appender.Ack, error) {
	w.t.Helper()
	type outcome struct {
		ack appender.Ack
		err error
	}
	got := make(chan outcome, 2)
	w.Submit(&e, func(ack appender.Ack, err error) { got <- outcome{ack, err} })
	o := <-got
	if len(got) > 0 {
		w.t.Error("done was called twice")
	}
	return o.ack, o.err
}

func wantCode(t *testing.T, err error, code apierr.Code) *apierr.Error {
	t.Helper()
	e, ok := errors.AsType[*apierr.Error](err)
	if !ok || e.Code != code {
		t.Fatalf("%v, want %s", err, code)
	}
	return e
}

func TestSend_appendsAndReportsTheLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	user, c := chat.NewUserID(), chat.NewChannelID()
	for i := range int64(limit) {
		e := message(user, c, "hi")
		ack, state, err := w.Send(t.Context(), e)
		if err != nil || ack.ID != e.ID || ack.Seq != i+1 || ack.Duplicate {
			t.Errorf("ack %+v, %v; want seq %d of %s", ack, err, i+1, e.ID)
		}
		if state.Left != limit-1-int(i) || state.Rate.Count != limit {
			t.Errorf("%d of %d sends are left, want %d of %d", state.Left, state.Rate.Count, limit-1-i, limit)
		}
	}
	_, state, err := w.Send(t.Context(), message(user, c, "one more"))
	wantCode(t, err, apierr.RateLimited)
	if state.Left != 0 || state.Rate.Count != limit {
		t.Errorf("the state of a refused send is %+v", state)
	}
	if _, _, err := w.Send(t.Context(), message(chat.NewUserID(), c, "hi")); err != nil {
		t.Errorf("another user: %v", err)
	}
	if items, err := w.log.Tail(t.Context(), c, 10); err != nil || len(items) != limit+1 {
		t.Errorf("the log has %d events, %v; want %d", len(items), err, limit+1)
	}
}

func TestSubmit_blocksAUserOverTheLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	user, c := chat.NewUserID(), chat.NewChannelID()
	for range limit {
		if _, err := w.submit(message(user, c, "hi")); err != nil {
			t.Fatal(err)
		}
	}
	_, err := w.submit(message(user, c, "hi"))
	if e := wantCode(t, err, apierr.RateLimited); e.RetryAfter != block {
		t.Errorf("retry after %v, want %v", e.RetryAfter, block)
	}
	_, err = w.submit(message(user, c, "hi"))
	if e := wantCode(t, err, apierr.RateLimited); e.RetryAfter <= 0 || e.RetryAfter > block {
		t.Errorf("retry after %v, want the rest of the block", e.RetryAfter)
	}
}

// A retry gets its first ack, whether or not the user has sends left, and costs no token.
func TestSubmit_retriesAreFree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	user, c := chat.NewUserID(), chat.NewChannelID()
	first := message(user, c, "hi")
	want, err := w.submit(first)
	if err != nil {
		t.Fatal(err)
	}
	retry := func() {
		t.Helper()
		again := first
		again.ID, again.SentAt = chat.NewEventID(), chat.Now()
		ack, err := w.submit(again)
		if err != nil || !ack.Duplicate || ack.ID != want.ID || ack.Seq != want.Seq {
			t.Errorf("the retry got %+v, %v; want the ack of %s", ack, err, want.ID)
		}
	}
	for range 2 * limit {
		retry()
	}
	for range limit - 1 {
		if _, err := w.submit(message(user, c, "hi")); err != nil {
			t.Fatalf("the retries used up the limit: %v", err)
		}
	}
	retry() // over the limit, but no block starts
	if n := w.rdb.Exists(t.Context(), rediskey.UserBlocked(w.log.Partition(user.UUID), user)).Val(); n != 0 {
		t.Error("a retry blocked its user")
	}
	_, err = w.submit(message(user, c, "hi"))
	wantCode(t, err, apierr.RateLimited)
	retry() // while the user is blocked
}

func TestSubmit_otherContentUnderAClientID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	user, c := chat.NewUserID(), chat.NewChannelID()
	first := message(user, c, "hi")
	if _, err := w.submit(first); err != nil {
		t.Fatal(err)
	}
	other := first
	other.Body = "something else"
	_, err := w.submit(other)
	wantCode(t, err, apierr.Conflict)
	for range limit { // the answer is the same when the user has no sends left
		_, _ = w.submit(message(user, c, "hi"))
	}
	_, err = w.submit(other)
	wantCode(t, err, apierr.Conflict)
}

func TestRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := message(chat.NewUserID(), chat.NewChannelID(), "hi")
	if ack, found, err := w.Recorded(t.Context(), &e); found || err != nil {
		t.Errorf("before the send: %+v, %v, %v", ack, found, err)
	}
	first, err := w.submit(e)
	if err != nil {
		t.Fatal(err)
	}
	ack, found, err := w.Recorded(t.Context(), &e)
	if !found || err != nil || ack.ID != first.ID || ack.Seq != first.Seq || !ack.Duplicate {
		t.Errorf("after the send: %+v, %v, %v; want %+v as a duplicate", ack, found, err, first)
	}
	e.Body = "something else"
	if _, found, err := w.Recorded(t.Context(), &e); found {
		t.Errorf("other content has a record, %v", err)
	} else {
		wantCode(t, err, apierr.Conflict)
	}
}

func TestSubmit_afterTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	user, c := chat.NewUserID(), chat.NewChannelID()
	for range limit {
		if _, err := w.submit(message(user, c, "hi")); err != nil {
			t.Fatal(err)
		}
	}
	w.stop()
	_, err := w.submit(message(user, c, "hi"))
	if e := wantCode(t, err, apierr.Unavailable); !strings.Contains(e.Message, "shutting down") {
		t.Errorf("%q, want it to say that the service is shutting down", e.Message)
	}
}

func TestSend_isUnavailableWithoutRedis(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.redis.Stop(t)
	e := message(chat.NewUserID(), chat.NewChannelID(), "hi")
	_, state, err := w.Send(t.Context(), e)
	wantCode(t, err, apierr.Unavailable)
	if state.Rate.Count != 0 {
		t.Errorf("the state is %+v, though nothing is known of the limit", state)
	}
	w.redis.Start(t)
	testkit.Until(t, testkit.Timeout, func() error { // the retry is safe
		_, _, err := w.Send(t.Context(), e)
		return err
	})
	if items, err := w.log.Tail(t.Context(), e.ChannelID, 10); err != nil || len(items) != 1 {
		t.Errorf("the log has %d events, %v; want 1", len(items), err)
	}
}

func TestSend_gaveUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.redis.Pause(t)
	defer w.redis.Resume(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := w.Send(ctx, message(chat.NewUserID(), chat.NewChannelID(), "hi"))
	if wantCode(t, err, apierr.Unavailable); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want it to wrap the context's error", err)
	}
}
