package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/appender"
	"parley.chat/internal/eventlog/logconn"
	"parley.chat/internal/platform/database"
	"parley.chat/internal/platform/redisclient"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/notice"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/shared-migrations/schematest"
	"parley.chat/ws-server/internal/hub"
	"parley.chat/ws-server/internal/store"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// world is a running feed on a private Redis and a private database.
type world struct {
	t        *testing.T
	redis    *redistest.Server
	rdb      redis.UniversalClient
	log      *eventlog.Log
	pool     *pgxpool.Pool
	appender *appender.Appender
	feed     *Feed
	notices  chan notice.Notice
	receipts chan []byte
	presence chan []byte
	lost     chan int64
}

func newWorld(t *testing.T, change ...func(*Config)) *world {
	t.Helper()
	w := &world{
		t: t, redis: redistest.NewServer(t),
		notices: make(chan notice.Notice, 100), receipts: make(chan []byte, 100), presence: make(chan []byte, 100), lost: make(chan int64, 100),
	}
	var err error
	if w.rdb, err = redisclient.Open(w.redis.URL(), redisclient.Options{NoRetry: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.rdb.Close() })
	pg := schematest.Open(t)
	w.pool = pg.Pool(t)
	db, err := database.Open(pg.URL, database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w.log = eventlog.New(w.rdb, 4)
	logger := slog.New(slog.DiscardHandler)
	conns := logconn.New(w.rdb, 4, logger)
	cfg := Config{
		Log: w.log, Connections: conns, History: store.New(db), Logger: logger,
		Hub: hub.Config{
			Join:   func(frames [][]byte) []byte { return bytes.Join(frames, []byte("\n")) },
			Resync: func(chat.ChannelID, event.Epoch, int64) []byte { return []byte("resync") },
		},
		Notice:      func(n notice.Notice) { w.notices <- n },
		Receipts:    func(_ chat.ChannelID, b []byte) { w.receipts <- b },
		Presence:    func(_ chat.ChannelID, b []byte) { w.presence <- b },
		Lost:        func(n int64) { w.lost <- n },
		BlockedWith: func(chat.UserID) map[chat.UserID]struct{} { return nil },
		Erased:      func(context.Context) map[chat.UserID]struct{} { return nil },
	}
	for _, c := range change {
		c(&cfg)
	}
	w.feed = New(cfg)
	w.appender = appender.New(w.log, w.rdb, cfg.History.MaxSeq, appender.Config{Over: conns, Logger: logger})
	// The connections stop last, because the feed and the appender use them.
	for _, run := range []func(context.Context) error{conns.Run, w.appender.Run, w.feed.Run} {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- run(ctx) }() // the cleanup waits for it
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	return w
}

func (w *world) partition(c chat.ChannelID) int { return w.log.Partition(c.UUID) }

// join returns a channel in which the feed is live.
func (w *world) join(c chat.ChannelID) *hub.Channel {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), testkit.Timeout)
	defer cancel()
	ch, err := w.feed.Join(ctx, c)
	if err != nil {
		w.t.Fatal(err)
	}
	return ch
}

// appended appends n messages.
func (w *world) appended(c chat.ChannelID, n int) {
	w.t.Helper()
	for range n {
		e := message(c, 0, chat.NewUserID(), "hi")
		if _, err := w.appender.Append(w.t.Context(), e, appender.Options{}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// stored inserts rows without an event in Redis.
func (w *world) stored(c chat.ChannelID, seqs ...int64) {
	w.t.Helper()
	for _, seq := range seqs {
		_, err := w.pool.Exec(w.t.Context(), `insert into messages (channel_id, seq, id, kind, sender_id, body, sent_at)
			values ($1, $2, $3, 'message', $4, $5, now())`, c.UUID, seq, chat.NewEventID().UUID, chat.NewUserID().UUID, fmt.Sprint("row ", seq))
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// setCounter raises the counter of a channel without an event, as a lost publication does.
func (w *world) setCounter(c chat.ChannelID, seq int64) {
	w.t.Helper()
	if err := w.rdb.HSet(w.t.Context(), rediskey.Counter(w.partition(c), c), "seq", seq).Err(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) publish(c chat.ChannelID, payload []byte) {
	w.t.Helper()
	if err := w.rdb.SPublish(w.t.Context(), rediskey.Topic(w.partition(c), c), payload).Err(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) awaitHead(ch *hub.Channel, want int64) {
	w.t.Helper()
	testkit.Until(w.t, testkit.Timeout, func() error {
		if head, _ := ch.Head(); head != want {
			return fmt.Errorf("the head is %d, not %d", head, want)
		}
		return nil
	})
}

// readAll reads the events of a channel from seq on.
func (w *world) readAll(ch *hub.Channel, seq int64) (all []hub.Event) {
	w.t.Helper()
	for {
		events, err := w.feed.Read(w.t.Context(), ch, seq)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(events) == 0 {
			return all
		}
		all = append(all, events...)
		seq = all[len(all)-1].Seq + 1
	}
}

func seqs(events []hub.Event) (list []int64) {
	for _, e := range events {
		list = append(list, e.Seq)
	}
	return list
}

func span(from, to int64) (list []int64) {
	for s := from; s <= to; s++ {
		list = append(list, s)
	}
	return list
}

func message(c chat.ChannelID, seq int64, sender chat.UserID, body string) frame.Event {
	return frame.Event{Type: event.Message, ChannelID: c, Seq: seq, ID: chat.NewEventID(), SenderID: sender, SenderName: "Ann", Body: body, SentAt: chat.Now(), ClientID: new(chat.NewClientID())}
}

func encoded(t *testing.T, e frame.Event) hub.Event {
	t.Helper()
	b, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return hub.Event{Seq: e.Seq, Kind: e.Type, Frame: b}
}

func decoded(t *testing.T, e hub.Event) frame.Event {
	t.Helper()
	full, err := frame.DecodeEvent(e.Frame)
	if err != nil {
		t.Fatal(err)
	}
	return full
}

func TestJoin_createsAMissingCounterAboveTheRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := chat.NewChannelID()
	w.stored(c, span(1, 7)...)
	ch := w.join(c)
	if seq, epoch := ch.Head(); seq != 7 || epoch == "" {
		t.Errorf("the channel begins at %d in epoch %q, want 7 in a new epoch", seq, epoch)
	}
	w.appended(c, 1)
	w.awaitHead(ch, 8)
	if got := w.feed.Known(c); got.Seq != 8 {
		t.Errorf("known head %+v, want seq 8", got)
	}
	if got := w.feed.Known(chat.NewChannelID()); got != (eventlog.Head{}) {
		t.Errorf("the head of a channel that is not live is %+v", got)
	}
}

func TestJoin_endsWithItsContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.redis.Stop(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.feed.Join(ctx, chat.NewChannelID()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context canceled", err)
	}
}

func TestRead_returnsEveryEventFromWhereItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := chat.NewChannelID()
	w.stored(c, span(1, 600)...) // more than one page
	ch := w.join(c)
	w.appended(c, 5)
	w.awaitHead(ch, 605)
	if got := seqs(w.readAll(ch, 1)); !slices.Equal(got, span(1, 605)) {
		t.Errorf("%d events, want 1 to 605 in order: %v", len(got), got)
	}
	if got := seqs(w.readAll(ch, 598)); !slices.Equal(got, span(598, 605)) {
		t.Errorf("from 598: %v", got)
	}
	if events, err := w.feed.Read(t.Context(), ch, 606); err != nil || len(events) != 0 {
		t.Errorf("above the head: %v, %v; want nothing", seqs(events), err)
	}
}

func TestRead_startsFromTheTailWithoutPostgreSQL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := chat.NewChannelID()
	w.appended(c, 20)
	ch := w.join(c) // the ring is now empty, but the tail is not
	w.pool.Exec(t.Context(), "drop table messages cascade")
	if got := seqs(w.readAll(ch, 3)); !slices.Equal(got, span(3, 20)) {
		t.Errorf("got %v, want 3 to 20", got)
	}
}

// A lost publication leaves a gap, which is filled from PostgreSQL.
func TestCatchUp_healsEventsThatWereNotReceived(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := chat.NewChannelID()
	ch := w.join(c)
	w.stored(c, span(1, 300)...)
	w.setCounter(c, 300)
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Timeout)
	defer cancel()
	if err := w.feed.CatchUp(ctx, ch); err != nil {
		t.Fatal(err)
	}
	if head, _ := ch.Head(); head != 300 {
		t.Errorf("the head is %d, want 300", head)
	}
	if got := seqs(w.readAll(ch, 1)); !slices.Equal(got, span(1, 300)) {
		t.Errorf("got %d events: %v", len(got), got)
	}
}

func TestQuietChannels_areCompared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := chat.NewChannelID()
	ch := w.join(c)
	w.stored(c, 1)
	w.setCounter(c, 1) // the feed is not notified in any other way
	w.awaitHead(ch, 1)
}

// A subscription that is confirmed a second time may have missed events.
func TestConfirmed_schedulesACheckOfTheChannel(t *testing.T) {
	t.Parallel()
	c, user := chat.NewChannelID(), chat.NewUserID()
	f := &Feed{
		toCheck: map[chat.ChannelID]struct{}{}, wakeCheck: make(chan struct{}, 1),
		users: map[string]*watched{rediskey.UserTopic(2, user): {confirmed: make(chan struct{})}},
	}
	s := &sink{Feed: f}
	for range 2 {
		s.Confirmed(rediskey.PartitionTopic(2)) // no channel's
		s.Confirmed(rediskey.UserTopic(2, user))
		if got := f.nextToCheck(); len(got) != 0 || len(f.wakeCheck) != 0 {
			t.Errorf("%v are checked for the topics of users and partitions", got)
		}
		<-f.users[rediskey.UserTopic(2, user)].confirmed
		s.Confirmed(rediskey.Topic(2, c))
		if got := f.nextToCheck(); !slices.Equal(got, []chat.ChannelID{c}) {
			t.Errorf("%v are checked, want %s", got, c)
		}
		<-f.wakeCheck
	}
}

func TestHole_becomesTombstonesOnceItIsOldEnough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := chat.NewChannelID()
	w.stored(c, 1, 2, 5, 6)
	ch := w.join(c)
	if got := seqs(w.readUntilHole(ch, 1)); !slices.Equal(got, []int64{1, 2}) {
		t.Errorf("before the hole: %v", got)
	}
	if _, err := w.feed.Read(t.Context(), ch, 3); !errors.Is(err, errHole) {
		t.Fatalf("the first reader of the hole: %v, want %v", err, errHole)
	}
	w.age(c, 3)
	events := w.readAll(ch, 3)
	if got := seqs(events); !slices.Equal(got, []int64{3, 4, 5, 6}) {
		t.Fatalf("got %v, want 3 to 6", got)
	}
	for i, want := range []event.Kind{event.Lost, event.Lost, event.Message, event.Message} {
		if events[i].Kind != want || decoded(t, events[i]).Type != want {
			t.Errorf("seq %d is a %s, want %s", events[i].Seq, events[i].Kind, want)
		}
	}
	if got := decoded(t, events[0]).ID; got != chat.TombstoneID(c, 3) {
		t.Errorf("the tombstone's id is %s, not that of sync-service", got)
	}
	if n := <-w.lost; n != 2 || len(w.lost) != 0 {
		t.Errorf("%d seqs reported as lost and %d more reports, want 2 seqs once", n, len(w.lost))
	}
}

// readUntilHole reads one result.
func (w *world) readUntilHole(ch *hub.Channel, seq int64) []hub.Event {
	w.t.Helper()
	events, err := w.feed.Read(w.t.Context(), ch, seq)
	if err != nil {
		w.t.Fatal(err)
	}
	return events
}

// age makes a missing seq look as if it had been missing for holeTimeout.
func (w *world) age(c chat.ChannelID, seq int64) {
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	w.feed.missed[channelSeq{c, seq}] = time.Now().Add(-holeTimeout)
}

// An event that is in the stream, but in neither the tail nor the rows, is about to be stored and
// is not lost.
func TestHole_isNotWhatTheStreamHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := chat.NewChannelID()
	ch := w.join(c)
	w.appended(c, 3)
	w.awaitHead(ch, 3)
	if err := w.rdb.Del(t.Context(), rediskey.Tail(w.partition(c), c)).Err(); err != nil {
		t.Fatal(err)
	}
	w.age(c, 2)
	if err := w.feed.confirmMissing(t.Context(), c, 2, 3); !errors.Is(err, errHole) {
		t.Errorf("%v, want %v", err, errHole)
	}
	if _, recorded := w.feed.holeAt(c, 2); recorded || len(w.lost) != 0 {
		t.Error("an event of the stream counts as lost")
	}
}

func TestRecordHole_dropsAllHolesAtTheLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, other := chat.NewChannelID(), chat.NewChannelID()
	w.join(one)
	for _, c := range []chat.ChannelID{one, other} {
		if err := w.feed.recordHole(t.Context(), c, 1, 4); err != nil {
			t.Fatal(err)
		}
		w.feed.mu.Lock()
		w.feed.holesCount = maxHoles
		w.feed.mu.Unlock()
	}
	if _, recorded := w.feed.holeAt(one, 1); recorded {
		t.Error("the older hole is still remembered")
	}
	if h, _ := w.feed.holeAt(other, 4); h.From != 1 || h.To != 4 {
		t.Errorf("the newest hole is %+v, want 1 to 4", h)
	}
	if _, recorded := w.feed.holeAt(other, 5); recorded {
		t.Error("seq 5 is not in the hole")
	}
}

// After a repair, the gap event names the seqs that may be lost. Readers get tombstones for them
// without a delay.
func TestDiverged_startsAnEpochAndReadersSeeTheLoss(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := chat.NewChannelID()
	ch := w.join(c)
	w.appended(c, 5)
	w.awaitHead(ch, 5)
	known := w.feed.Known(c)
	p := w.partition(c)
	if err := w.rdb.Del(t.Context(), rediskey.Tail(p, c), rediskey.Stream(p)).Err(); err != nil {
		t.Fatal(err)
	}
	w.setCounter(c, 2) // Redis has lost 3 to 5
	if err := w.feed.Diverged(t.Context(), c, eventlog.Head{Seq: 2, Epoch: known.Epoch}); err != nil {
		t.Fatal(err)
	}
	w.awaitHead(ch, 6)
	if _, epoch := ch.Head(); !epoch.NewerThan(known.Epoch) {
		t.Errorf("epoch %s, want one newer than %s", epoch, known.Epoch)
	}
	events, err := w.feed.fetch(t.Context(), c, 3, 6)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []event.Kind
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	if want := []event.Kind{event.Lost, event.Lost, event.Lost, event.Gap}; !slices.Equal(kinds, want) {
		t.Fatalf("got %v, want %v", kinds, want)
	}
	for _, e := range events[:3] {
		if got := decoded(t, e).ID; got != chat.TombstoneID(c, e.Seq) {
			t.Errorf("the tombstone of seq %d has the id %s, not that of sync-service", e.Seq, got)
		}
	}
}

func TestReceived_sortsItemsByKind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := chat.NewChannelID()
	ch := w.join(c)
	got := make(chan string, 10)
	ch.Subscribe(&listener{got: got}, -1, func(int64, event.Epoch) bool { return false })
	w.publish(c, event.Item{Kind: event.KindReceipts, Sender: chat.NewUserID(), Frame: []byte("receipts")}.Encode())
	w.publish(c, event.Item{Kind: event.KindPresence, Sender: chat.NewUserID(), Frame: []byte("presence")}.Encode())
	w.publish(c, []byte("no item"))
	w.publish(c, event.Item{Kind: "typing", Sender: chat.NewUserID(), Frame: []byte("typing")}.Encode())
	if r := <-w.receipts; string(r) != "receipts" {
		t.Errorf("receipts %q", r)
	}
	if p := <-w.presence; string(p) != "presence" {
		t.Errorf("presence %q", p)
	}
	if e := <-got; e != "ephemeral typing" {
		t.Errorf("%q, want the typing frame", e)
	}
	w.appended(c, 1)
	if e := <-got; !strings.HasPrefix(e, "1 events") {
		t.Errorf("%q, want one event", e)
	}
}

func TestReceived_keepsTheFramesOfBlockedUsersApart(t *testing.T) {
	t.Parallel()
	blocked, sender := chat.NewUserID(), chat.NewUserID()
	w := newWorld(t, func(cfg *Config) {
		cfg.BlockedWith = func(u chat.UserID) map[chat.UserID]struct{} {
			if u != sender {
				return nil
			}
			return map[chat.UserID]struct{}{blocked: {}}
		}
	})
	c := chat.NewChannelID()
	ch := w.join(c)
	got := make(chan string, 10)
	ch.Subscribe(&listener{user: blocked, got: got}, -1, func(int64, event.Epoch) bool { return false })
	w.publish(c, event.Item{Kind: "typing", Sender: sender, Frame: []byte("hidden")}.Encode())
	w.publish(c, event.Item{Kind: "typing", Sender: chat.NewUserID(), Frame: []byte("shown")}.Encode())
	if e := <-got; e != "ephemeral shown" {
		t.Errorf("got %q, want only the frame of the user who is not blocked", e)
	}
}

// listener is a connection that reports the frames that it gets.
type listener struct {
	user chat.UserID
	got  chan string
}

func (l *listener) User() chat.UserID             { return l.user }
func (l *listener) Prefetch()                     {}
func (l *listener) Deliver(b []byte, n int)       { l.got <- fmt.Sprintf("%d events %s", n, b) }
func (l *listener) DeliverEphemeral(frame []byte) { l.got <- "ephemeral " + string(frame) }
func (l *listener) Replay(*hub.Subscription)      {}
func (l *listener) Ended(*hub.Subscription)       {}
func (l *listener) Resume()                       { l.got <- "resume" }

func TestWatch_getsNoticesUntilTheLastUnwatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	user := chat.NewUserID()
	topic := rediskey.UserTopic(w.log.Partition(user.UUID), user)
	for range 2 {
		if err := w.feed.Watch(t.Context(), user); err != nil {
			t.Fatal(err)
		}
	}
	w.feed.Unwatch(user)
	if err := w.rdb.SPublish(t.Context(), topic, "no notice").Err(); err != nil { // is skipped
		t.Fatal(err)
	}
	if err := w.log.Notify(t.Context(), notice.Notice{Kind: notice.Blocked, UserID: user}); err != nil {
		t.Fatal(err)
	}
	if n := <-w.notices; n.Kind != notice.Blocked || n.UserID != user {
		t.Errorf("notice %+v", n)
	}
	w.feed.Unwatch(user)
	testkit.Until(t, testkit.Timeout, func() error {
		n, err := w.rdb.SPublish(t.Context(), topic, "anyone?").Result()
		if err == nil && n != 0 {
			err = fmt.Errorf("%d subscribers", n)
		}
		return err
	})
}

func TestWatch_endsWithItsContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.redis.Stop(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	user := chat.NewUserID()
	if err := w.feed.Watch(ctx, user); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context canceled", err)
	}
	w.feed.Unwatch(user) // it is due after an error, too
}

// broken is a fake PostgreSQL that does not answer until the test sets seqs.
type broken struct {
	mu    sync.Mutex
	asked int
	seq   int64
}

func (b *broken) Seqs(_ context.Context, ids []chat.ChannelID) ([]int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	if b.seq == 0 {
		return nil, errors.New("no answer")
	}
	return slices.Repeat([]int64{b.seq}, len(ids)), nil
}

func (b *broken) Watermark(context.Context, int) (string, error) { return "0-0", nil }

func TestStoredSeqs_areAskedForAgainAfterAPause(t *testing.T) {
	t.Parallel()
	db := &broken{}
	f := &Feed{
		cfg:     Config{Stored: db, Logger: slog.New(slog.DiscardHandler)},
		toCheck: map[chat.ChannelID]struct{}{}, uncompared: map[chat.ChannelID]struct{}{}, wakeCheck: make(chan struct{}, 1),
	}
	one, other := chat.NewChannelID(), chat.NewChannelID()
	for _, c := range []chat.ChannelID{one, other} {
		if got := f.storedSeqs(t.Context(), []chat.ChannelID{c}); got != nil {
			t.Errorf("%v without an answer, want nil", got)
		}
	}
	if db.asked != 1 {
		t.Errorf("asked %d times, want once during the pause", db.asked)
	}
	f.compareAgain(time.Now())
	if got := f.nextToCheck(); len(got) != 0 {
		t.Errorf("%d channels are checked during the pause", len(got))
	}
	f.compareAgain(time.Now().Add(storedRetryAfter))
	got := f.nextToCheck()
	if len(got) != 2 || !slices.Contains(got, one) || !slices.Contains(got, other) {
		t.Errorf("%v are checked after the pause, want both channels", got)
	}
	f.compareAgain(time.Now().Add(storedRetryAfter))
	if got := f.nextToCheck(); len(got) != 0 {
		t.Errorf("%v are checked twice", got)
	}
}

// A Redis that is behind PostgreSQL has lost writes. The feed must detect that even if this gateway
// has seen no event of the channel.
func TestJoin_startsAnEpochIfRedisIsBehindPostgreSQL(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(cfg *Config) { cfg.Stored = &broken{seq: 9} })
	c := chat.NewChannelID()
	old, err := w.log.EnsureHead(t.Context(), c, func(context.Context, chat.ChannelID) (int64, error) { return 4, nil })
	if err != nil {
		t.Fatal(err)
	}
	ch := w.join(c)
	if seq, epoch := ch.Head(); seq <= 9 || !epoch.NewerThan(old.Epoch) {
		t.Errorf("the channel begins at %d in %s, want above 9 in an epoch newer than %s", seq, epoch, old.Epoch)
	}
}

func TestNextToCheck_isAPage(t *testing.T) {
	t.Parallel()
	f := &Feed{toCheck: map[chat.ChannelID]struct{}{}}
	ids := make([]chat.ChannelID, headsPage+1)
	for i := range ids {
		ids[i] = chat.NewChannelID()
	}
	f.requeue(ids)
	if n := len(f.nextToCheck()); n != headsPage {
		t.Errorf("%d channels at once, want %d", n, headsPage)
	}
	if n := len(f.nextToCheck()); n != 1 {
		t.Errorf("%d channels in the second page, want 1", n)
	}
}

func TestDueBetween(t *testing.T) {
	t.Parallel()
	var due []time.Duration
	for at := time.Second; at <= 200*time.Second; at += time.Second {
		if dueBetween(at-time.Second, at) {
			due = append(due, at/time.Second)
		}
	}
	if want := []time.Duration{1, 2, 4, 8, 16, 32, 60, 120, 180}; !slices.Equal(due, want) {
		t.Errorf("checks after %d s, want %d", due, want)
	}
	if !dueBetween(3500*time.Millisecond, 9*time.Second) {
		t.Error("a late tick skips the checks in between")
	}
	if dueBetween(5*time.Second, 7*time.Second) {
		t.Error("no check is due between 5 and 7 s")
	}
}

func TestChannelOf(t *testing.T) {
	t.Parallel()
	c, u := chat.NewChannelID(), chat.NewUserID()
	if got, ok := channelOf(rediskey.Topic(3, c)); !ok || got != c {
		t.Errorf("topic of a channel: %v, %v", got, ok)
	}
	for _, topic := range []string{rediskey.UserTopic(3, u), rediskey.PartitionTopic(3), "", "}:topic:", strings.Repeat("x", 40), "{1}:topic:" + strings.Repeat("x", 36)} {
		if got, ok := channelOf(topic); ok {
			t.Errorf("%q is a topic of channel %v", topic, got)
		}
	}
}

func TestFromItem_namesTheMemberWhoLeft(t *testing.T) {
	t.Parallel()
	u := chat.NewUserID()
	for _, kind := range []event.Kind{event.MemberLeft, event.MemberJoined} {
		b := encoded(t, frame.Event{Type: kind, ChannelID: chat.NewChannelID(), Seq: 3, ID: chat.NewEventID(), UserID: &u, Username: "ann", SentAt: chat.Now()}).Frame
		got := fromItem(event.Item{Seq: 3, Epoch: "1-a", Kind: kind, Frame: b})
		if got.Seq != 3 || got.Epoch != "1-a" || got.Kind != kind || !bytes.Equal(got.Frame, b) {
			t.Errorf("%+v", got)
		}
		if left := got.Left == u; left != (kind == event.MemberLeft) {
			t.Errorf("%s: the event ends the user's subscription: %v", kind, left)
		}
	}
}

func TestRemoveDeletedText(t *testing.T) {
	t.Parallel()
	c, ann := chat.NewChannelID(), chat.NewUserID()
	first := message(c, 1, ann, "first")
	first.Mentions = []chat.UserID{ann}
	edit := frame.Event{Type: event.Edit, ChannelID: c, Seq: 2, ID: chat.NewEventID(), SenderID: ann, MessageID: &first.ID, Body: "edited", SentAt: chat.Now()}
	other := message(c, 3, ann, "other")
	deletion := encoded(t, frame.Event{Type: event.Delete, ChannelID: c, Seq: 4, ID: chat.NewEventID(), SenderID: ann, MessageID: &first.ID, SentAt: chat.Now()})
	for name, test := range map[string]struct {
		withDeletion, following []hub.Event
		want                    []string
	}{
		"no deletion":                {want: []string{"first", "edited", "other"}},
		"the deletion is among them": {withDeletion: []hub.Event{deletion}, want: []string{"", "", "other"}},
		"the deletion follows":       {following: []hub.Event{deletion}, want: []string{"", "", "other"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			original := []hub.Event{encoded(t, first), encoded(t, edit), encoded(t, other)}
			events := append(slices.Clone(original), test.withDeletion...)
			before := string(events[0].Frame)
			removeDeletedText(events, test.following)
			for i, want := range test.want {
				got := decoded(t, events[i])
				if got.Body != want {
					t.Errorf("event %d says %q, want %q", i+1, got.Body, want)
				}
				if want == "" && len(got.Mentions) != 0 {
					t.Errorf("event %d still mentions %v", i+1, got.Mentions)
				}
			}
			if string(original[0].Frame) != before {
				t.Error("the original frame was changed")
			}
		})
	}
}

func TestRemoveNames_leavesTheOriginalEvents(t *testing.T) {
	t.Parallel()
	c, ann, bob := chat.NewChannelID(), chat.NewUserID(), chat.NewUserID()
	erased := map[chat.UserID]struct{}{ann: {}}
	f := &Feed{cfg: Config{Erased: func(context.Context) map[chat.UserID]struct{} { return erased }}}
	events := []hub.Event{encoded(t, message(c, 1, bob, "hi")), encoded(t, message(c, 2, ann, "ho"))}
	before := [2]string{string(events[0].Frame), string(events[1].Frame)}
	got := f.removeNames(t.Context(), events)
	if name := decoded(t, got[0]).SenderName; name != "Ann" {
		t.Errorf("the name of another sender is %q", name)
	}
	if e := decoded(t, got[1]); e.SenderName != "" || e.Body != "ho" {
		t.Errorf("a deleted account's message: %q says %q, want no name", e.SenderName, e.Body)
	}
	if string(events[0].Frame) != before[0] || string(events[1].Frame) != before[1] {
		t.Error("the shared events were changed")
	}
	erased = nil
	if got := f.removeNames(t.Context(), events); &got[0] != &events[0] {
		t.Error("without deleted accounts, the events are copied")
	}
}

func TestTruncate(t *testing.T) {
	t.Parallel()
	events := []hub.Event{{Seq: 1, Frame: make([]byte, 50)}, {Seq: 2, Frame: make([]byte, 10)}, {Seq: 3, Frame: make([]byte, 40)}}
	for name, test := range map[string]struct{ max, want int }{
		"the first never fits": {10, 1}, "two fit exactly": {62, 2}, "a byte is missing": {61, 1}, "all fit": {1000, 3},
	} {
		if got := truncate(events, test.max); len(got) != test.want {
			t.Errorf("%s: %d events in %d bytes, want %d", name, len(got), test.max, test.want)
		}
	}
	if got := truncate(nil, 10); len(got) != 0 {
		t.Errorf("%d events of none", len(got))
	}
}
