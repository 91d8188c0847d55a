package unstored_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/appender"
	"parley.chat/internal/eventlog/unstored"
	"parley.chat/internal/platform/database"
	"parley.chat/internal/platform/redisclient"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-migrations/schematest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func newDB(t *testing.T) *bun.DB {
	t.Helper()
	db, err := database.Open(schematest.Open(t).URL, database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func exec(t *testing.T, db *bun.DB, sql string, args ...any) {
	t.Helper()
	if _, err := db.NewRaw(sql, args...).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// appended returns the log of a private Redis, with n events in a channel, and their items.
func appended(t *testing.T, n int) (*eventlog.Log, chat.ChannelID, []event.Item) {
	t.Helper()
	return appendedAbove(t, 0, n)
}

// appendedAbove is like appended, for events whose seqs begin above floor.
func appendedAbove(t *testing.T, floor int64, n int) (*eventlog.Log, chat.ChannelID, []event.Item) {
	t.Helper()
	rdb, err := redisclient.Open(redistest.NewServer(t).URL(), redisclient.Options{NoRetry: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	log := eventlog.New(rdb, 4)
	a := appender.New(log, rdb, func(context.Context, chat.ChannelID) (int64, error) { return floor, nil }, appender.Config{Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }() // awaited below
	defer func() { cancel(); <-ended }()
	c, user := chat.NewChannelID(), chat.NewUserID()
	results := make(chan error, n)
	for range n {
		e := frame.Event{Type: event.Message, ChannelID: c, ID: chat.NewEventID(), ClientID: new(chat.NewClientID()), SenderID: user, Body: "hi", SentAt: chat.Now()}
		if err := a.Submit(&e, appender.Options{}, func(_ appender.Ack, err error) { results <- err }); err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	items, err := log.Tail(t.Context(), c, n+1)
	if err != nil || len(items) != n {
		t.Fatalf("the tail has %d items, %v", len(items), err)
	}
	return log, c, items
}

// markAt returns the mark at an item.
func markAt(t *testing.T, it event.Item) (m unstored.Mark) {
	t.Helper()
	if _, err := fmt.Sscanf(it.EntryID, "%d-%d", &m.MS, &m.Seq); err != nil {
		t.Fatal(err)
	}
	return m
}

func seqs(items []event.Item) (list []int64) {
	for _, it := range items {
		list = append(list, it.Seq)
	}
	return list
}

// span returns the numbers from first to last.
func span(first, last int64) (list []int64) {
	for n := first; n <= last; n++ {
		list = append(list, n)
	}
	return list
}

func TestMark_Before(t *testing.T) {
	t.Parallel()
	m := unstored.Mark{MS: 1000, Seq: 5}
	for entry, want := range map[string]bool{
		"999-9": false, "1000-4": false, "1000-5": false, "1000-6": true, "1001-0": true,
		"": true, "1000": true, "x-1": true, "1000-x": true, // unreadable: it may be unstored
	} {
		if got := m.Before(entry); got != want {
			t.Errorf("entry %q: %v, want %v", entry, got, want)
		}
	}
	if !(unstored.Mark{}).Before("0-1") {
		t.Error("without a watermark, the first entry counts as stored")
	}
}

func TestMarks(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	exec(t, db, "insert into sync_watermarks (partition, entry_ms, entry_seq) values (1, 1000, 5), (3, 2000, 0)")
	marks, err := unstored.Marks(t.Context(), db)
	if want := (map[int]unstored.Mark{1: {MS: 1000, Seq: 5}, 3: {MS: 2000}}); err != nil || !maps.Equal(marks, want) {
		t.Errorf("%v, %v; want %v", marks, err, want)
	}
	for p, want := range map[int]unstored.Mark{0: {}, 1: {MS: 1000, Seq: 5}, 3: {MS: 2000}} {
		if got, err := unstored.MarkOf(t.Context(), db, p); err != nil || got != want {
			t.Errorf("partition %d: %v, %v; want %v", p, got, err, want)
		}
	}
	for p, want := range map[int]string{0: "0-0", 1: "1000-5"} {
		if got, err := (unstored.Rows{DB: db}).Watermark(t.Context(), p); err != nil || got != want {
			t.Errorf("watermark of partition %d: %q, %v; want %q", p, got, err, want)
		}
	}
}

func TestRows_highestSeqs(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	rows := unstored.Rows{DB: db}
	one, two, none := chat.NewChannelID(), chat.NewChannelID(), chat.NewChannelID()
	for _, row := range []struct {
		c   chat.ChannelID
		seq int64
	}{{one, 7}, {one, 3}, {two, 1}} {
		exec(t, db, "insert into messages (channel_id, seq, id, kind, sender_id, sent_at) values (?, ?, ?, 'message', ?, now())", row.c, row.seq, chat.NewEventID(), chat.NewUserID())
	}
	got, err := rows.Seqs(t.Context(), []chat.ChannelID{two, none, one, two})
	if want := []int64{1, 0, 7, 1}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	if got, err := rows.Seqs(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("without channels: %v, %v", got, err)
	}
	for c, want := range map[chat.ChannelID]int64{one: 7, none: 0} {
		if got, err := rows.MaxSeq(t.Context(), c); err != nil || got != want {
			t.Errorf("%d, %v; want %d", got, err, want)
		}
	}
}

func TestRows_failWithoutPostgreSQL(t *testing.T) {
	t.Parallel()
	db := newDB(t)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	rows := unstored.Rows{DB: db}
	_, seqs := rows.Seqs(t.Context(), []chat.ChannelID{chat.NewChannelID()})
	_, highest := rows.MaxSeq(t.Context(), chat.NewChannelID())
	_, mark := rows.Watermark(t.Context(), 1)
	_, marks := unstored.Marks(t.Context(), db)
	for i, err := range []error{seqs, highest, mark, marks} {
		if err == nil || !strings.HasPrefix(err.Error(), "read ") {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

func never([]event.Item) bool { return false }

func TestAbove_returnsWhatMayBeUnstored(t *testing.T) {
	t.Parallel()
	const n = 300 // more than two pages
	log, c, items := appended(t, n)
	for name, test := range map[string]struct {
		mark unstored.Mark
		want []int64
	}{
		"nothing is stored":        {unstored.Mark{}, span(1, n)},
		"everything is stored":     {markAt(t, items[n-1]), nil},
		"the newest one is not":    {markAt(t, items[n-2]), span(n, n)},
		"exactly a page is not":    {markAt(t, items[n-65]), span(n-63, n)},
		"one more than a page":     {markAt(t, items[n-66]), span(n-64, n)},
		"only the first one is":    {markAt(t, items[0]), span(2, n)},
		"a mark above every entry": {unstored.Mark{MS: 1 << 60}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := unstored.Above(t.Context(), log, c, test.mark, never)
			if err != nil || !slices.Equal(seqs(got), test.want) {
				t.Errorf("%v, %v; want %v", seqs(got), err, test.want)
			}
		})
	}
	if got, err := unstored.Above(t.Context(), log, chat.NewChannelID(), unstored.Mark{}, never); err != nil || len(got) != 0 {
		t.Errorf("a channel without events: %v, %v", seqs(got), err)
	}
}

func TestAbove_stopsWhenItIsEnough(t *testing.T) {
	t.Parallel()
	log, c, _ := appended(t, 300)
	var asked []int
	got, err := unstored.Above(t.Context(), log, c, unstored.Mark{}, func(items []event.Item) bool {
		asked = append(asked, len(items))
		return len(items) > 100
	})
	if err != nil || !slices.Equal(seqs(got), span(45, 300)) {
		t.Errorf("%v, %v; want the newest 256", seqs(got), err)
	}
	if want := []int{64, 256}; !slices.Equal(asked, want) {
		t.Errorf("asked with %v items, want %v", asked, want)
	}
}

func TestNewest(t *testing.T) {
	t.Parallel()
	const n = 40 // more items than Newest reads
	log, c, items := appended(t, n)
	newest, err := unstored.Newest(t.Context(), log, c)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		mark   unstored.Mark
		enough bool
		want   []int64
		ok     bool
	}{
		"everything is stored":       {markAt(t, items[n-1]), false, nil, true},
		"some are not":               {markAt(t, items[n-4]), false, span(n-2, n), true},
		"there may be more":          {markAt(t, items[2]), false, span(n-15, n), false},
		"there may be more, no need": {markAt(t, items[2]), true, span(n-15, n), true},
	} {
		got, ok := newest.Above(test.mark, func([]event.Item) bool { return test.enough })
		if !slices.Equal(seqs(got), test.want) || ok != test.ok {
			t.Errorf("%s: %v, %v; want %v, %v", name, seqs(got), ok, test.want, test.ok)
		}
	}
	log, c, _ = appendedAbove(t, 10, 5)
	if newest, err = unstored.Newest(t.Context(), log, c); err != nil {
		t.Fatal(err)
	}
	if got, ok := newest.Above(unstored.Mark{}, never); !ok || !slices.Equal(seqs(got), span(11, 15)) {
		t.Errorf("the whole tail: %v, %v", seqs(got), ok)
	}
}

func TestTail_failsWithoutRedis(t *testing.T) {
	t.Parallel()
	log, c, _ := appended(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := unstored.Above(ctx, log, c, unstored.Mark{}, never); !errors.Is(err, context.Canceled) {
		t.Errorf("Above: %v", err)
	}
	if _, err := unstored.Newest(ctx, log, c); !errors.Is(err, context.Canceled) {
		t.Errorf("Newest: %v", err)
	}
}
