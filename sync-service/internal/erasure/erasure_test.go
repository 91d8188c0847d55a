package erasure_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/deadletter"
	"parley.chat/sync-service/internal/erasure"
	"parley.chat/sync-service/internal/store"
	"parley.chat/sync-service/internal/streamtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

type world struct {
	*streamtest.World
	channel chat.ChannelID
	seq     int64
}

func newWorld(t *testing.T) *world {
	return &world{World: streamtest.OpenPrepared(t), channel: chat.NewChannelID()}
}

// start runs a Scrubber until the test ends.
func (w *world) start(s erasure.Store, change func(*erasure.Config)) {
	w.T.Helper()
	cfg := erasure.Config{
		Redis: w.RDB, Store: s, Partitions: streamtest.Partitions, Registry: prometheus.NewRegistry(), Interval: 10 * time.Millisecond,
		Batch: 3, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	scrubber, err := erasure.New(cfg)
	if err != nil {
		w.T.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- scrubber.Run(ctx) }()
	w.T.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			w.T.Error(err)
		}
	})
}

func (w *world) erase(id chat.UserID) {
	w.T.Helper()
	w.Exec("update users set username = '~' || id::text, deleted_at = now() where id = $1", id.UUID)
}

func (w *world) entry(e frame.Event) event.Entry {
	w.T.Helper()
	w.seq++
	e.ChannelID, e.Seq, e.ID, e.SentAt = w.channel, w.seq, chat.NewEventID(), chat.Now()
	if e.Type == event.Message {
		e.ClientID = new(chat.NewClientID())
	}
	return streamtest.Entry(w.T, e)
}

func (w *world) put(events ...frame.Event) {
	w.T.Helper()
	rows := make([]store.Row, len(events))
	for i, e := range events {
		var err error
		if rows[i], err = store.RowOf(w.entry(e)); err != nil {
			w.T.Fatal(err)
		}
	}
	w.Save(rows...)
}

// life returns one event of each kind that contains the user's name or refers to the user.
func life(id, other chat.UserID, name string) []frame.Event {
	events := []frame.Event{{Type: event.MemberJoined, SenderID: other, UserID: &id, Username: name}}
	target := chat.NewEventID()
	for i := range 10 {
		events = append(events, frame.Event{Type: event.Message, SenderID: id, SenderName: name, Body: fmt.Sprint("hi ", i), Mentions: []chat.UserID{other}, ReplyTo: &target})
		events = append(events, frame.Event{Type: event.Message, SenderID: id, SenderName: name, Body: fmt.Sprint("ho ", i)})
	}
	return append(events, frame.Event{Type: event.MemberLeft, SenderID: id, UserID: &id, Username: name})
}

// rowsNaming returns the number of rows that contain a name.
func (w *world) rowsNaming(name string) int {
	w.T.Helper()
	return w.Count("select count(*) from messages m where m::text like '%' || $1 || '%'", name)
}

// naming returns how often rows and dead letters contain a name.
func (w *world) naming(name string) int {
	w.T.Helper()
	n := w.rowsNaming(name)
	for p := range streamtest.Partitions {
		letters, err := w.RDB.XRange(w.T.Context(), rediskey.Dead(p), "-", "+").Result()
		if err != nil {
			w.T.Fatal(err)
		}
		n += strings.Count(fmt.Sprint(letters), name)
	}
	return n
}

func (w *world) await(what string, check func() bool) {
	w.T.Helper()
	testkit.Until(w.T, testkit.Timeout, func() error {
		if check() {
			return nil
		}
		return errors.New(what)
	})
}

// letter creates a dead letter from an entry.
func (w *world) letter(e event.Entry) {
	w.T.Helper()
	id := w.Append(e)
	p := streamtest.Partition(w.channel)
	w.Deliver(rediskey.Stream(p), "c", 0)
	if moved, err := deadletter.Move(w.T.Context(), w.RDB, deadletter.Events, p, id, "for a test"); err != nil || !moved {
		w.T.Fatal(moved, err)
	}
}

func (w *world) letters() (list []deadletter.Letter) {
	w.T.Helper()
	list, err := deadletter.List(w.T.Context(), w.RDB, streamtest.Partitions, deadletter.Filter{})
	if err != nil {
		w.T.Fatal(err)
	}
	return list
}

// TestScrubber checks that the name of a deleted account, and nothing else, is removed from the
// rows and the dead letters.
func TestScrubber(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	vera, bob := w.User("qzxvera"), w.User("bobby")
	w.put(life(vera, bob, "qzxvera")...)
	w.put(life(bob, vera, "bobby")...)
	for _, id := range []struct {
		user chat.UserID
		name string
	}{{vera, "qzxvera"}, {bob, "bobby"}} {
		w.letter(w.entry(frame.Event{Type: event.Message, SenderID: id.user, SenderName: id.name, Body: "dead"}))
		broken := w.entry(frame.Event{Type: event.Message, SenderID: id.user, SenderName: id.name, Body: "broken"})
		broken.Payload = broken.Payload[:len(broken.Payload)-1]
		w.letter(broken)
	}
	others := w.naming("bobby")
	if vera, bob := w.rowsNaming("qzxvera"), w.rowsNaming("bobby"); vera == 0 || bob == 0 {
		t.Fatalf("before the deletion %d rows contain the one name and %d the other", vera, bob)
	}
	before := w.letters()
	w.erase(vera)
	w.start(w.Store, nil)
	w.await("names remain", func() bool {
		return w.naming("qzxvera") == 0 && w.Count("select count(*) from erasures where scrubbed_at is null") == 0
	})
	if n := w.naming("bobby"); n != others {
		t.Errorf("the other user's name occurred %d times, now %d", others, n)
	}
	if n := w.Count("select count(*) from messages where sender_id = $1 and body like 'h%' and (data is null or data ? 'reply_to' and data ? 'mentions')", vera.UUID); n != 20 {
		t.Errorf("%d messages are unchanged apart from the name, want 20", n)
	}
	after := w.letters()
	if len(after) != len(before) {
		t.Fatalf("%d dead letters, want %d", len(after), len(before))
	}
	for _, l := range after {
		if l.Reason != "for a test" || l.Attempts != 1 || l.At.IsZero() || l.Event.Channel != w.channel || l.Entry == "" {
			t.Errorf("dead letter changed: %+v", l)
		}
		if e, err := frame.DecodeEvent(l.Event.Payload); err == nil && e.SenderID == vera && (e.Body != "dead" || e.SenderName != "") {
			t.Errorf("payload: %+v", e)
		}
	}
}

// TestScrubber_storedLater checks that the name is also removed from rows that are stored after the
// deletion of the account.
func TestScrubber_storedLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	vera, bob := w.User("qzxvera"), w.User("bobby")
	w.erase(vera)
	w.start(w.Store, nil)
	w.await("the account is not done", func() bool { return w.Count("select count(*) from erasures where scrubbed_at is null") == 0 })
	w.put(life(vera, bob, "qzxvera")...)
	w.await("names remain", func() bool { return w.naming("qzxvera") == 0 })
}

// TestScrubber_storedMuchLater checks that a full pass finds a dead letter that is stored long
// after the deletion.
func TestScrubber_storedMuchLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	vera, bob := w.User("qzxvera"), w.User("bobby")
	w.erase(vera)
	w.Exec("update erasures set erased_at = now() - interval '1 year', scrubbed_at = now() - interval '1 year'")
	w.put(life(vera, bob, "qzxvera")...)
	w.letter(w.entry(frame.Event{Type: event.Message, SenderID: vera, SenderName: "qzxvera", Body: "dead"}))
	if w.rowsNaming("qzxvera") == 0 {
		t.Fatal("no row contains the name")
	}
	w.start(w.Store, func(c *erasure.Config) { c.FullInterval = 50 * time.Millisecond })
	w.await("names remain", func() bool { return w.naming("qzxvera") == 0 })
}

// failing is a store that sometimes fails.
type failing struct {
	*store.Store
	calls int
}

func (f *failing) RemoveName(ctx context.Context, user chat.UserID, limit int) ([]chat.ChannelID, error) {
	if f.calls++; f.calls%2 == 1 {
		return nil, errors.New("down")
	}
	return f.Store.RemoveName(ctx, user, limit)
}

// TestScrubber_interrupted checks that the Scrubber continues after every error and never waits for
// a locked row.
func TestScrubber_interrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	vera, bob := w.User("qzxvera"), w.User("bobby")
	w.put(life(vera, bob, "qzxvera")...)
	w.erase(vera)
	tx, err := w.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(t.Context(), "select from messages where seq = 2 for update"); err != nil {
		t.Fatal(err)
	}
	w.start(&failing{Store: w.Store}, nil)
	w.await("names remain", func() bool { return w.naming("qzxvera") == 1 })
	if n := w.Count("select count(*) from erasures where scrubbed_at is null"); n != 1 {
		t.Error("the account is marked as scrubbed although a row contains its name")
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.await("a name remains", func() bool { return w.naming("qzxvera") == 0 })
}
