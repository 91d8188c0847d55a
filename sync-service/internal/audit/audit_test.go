package audit_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/audit"
	"parley.chat/sync-service/internal/deadletter"
	"parley.chat/sync-service/internal/store"
	"parley.chat/sync-service/internal/streamtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// world is a deployment without running services.
type world struct{ *streamtest.World }

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{streamtest.OpenPrepared(t)}
}

// entry returns the entry of a new message.
func entry(t *testing.T, c chat.ChannelID, seq int64) event.Entry {
	t.Helper()
	return streamtest.Entry(t, streamtest.Message(c, seq, "hi"))
}

// appended adds an entry to its stream, with the given time unless it is 0. To the group, the entry
// is stored.
func (w *world) appended(e event.Entry, ms int64) {
	w.T.Helper()
	id := "*"
	if ms > 0 {
		id = fmt.Sprintf("%d-0", ms)
	}
	stream := rediskey.Stream(streamtest.Partition(e.Channel))
	w.AddAt(stream, id, e.Fields())
	w.settle(stream)
}

// settle delivers and acknowledges the entries of a stream.
func (w *world) settle(stream string) {
	w.T.Helper()
	w.Ack(stream, w.Deliver(stream, "a", 0)...)
}

// stored stores the event of an entry.
func (w *world) stored(e event.Entry) {
	w.T.Helper()
	row, err := store.RowOf(e)
	if err != nil {
		w.T.Fatal(err)
	}
	w.Save(row)
}

// failed stores the tombstone of an entry.
func (w *world) failed(e event.Entry) {
	w.T.Helper()
	row, ok := store.FailedRow(e, "x", time.Now())
	if !ok {
		w.T.Fatal("the entry has no tombstone")
	}
	w.Save(row)
}

func (w *world) run() audit.Report {
	w.T.Helper()
	r, err := audit.Run(w.T.Context(), w.RDB, w.Store, audit.Options{Partitions: streamtest.Partitions})
	if err != nil {
		w.T.Fatal(err)
	}
	return r
}

// problems returns the problems of a channel in a short form.
func problems(r audit.Report, c chat.ChannelID) (list []string) {
	for _, p := range r.Problems {
		if p.Channel == c {
			list = append(list, fmt.Sprintf("%s %d-%d", p.Kind, p.From, p.To))
		}
	}
	return list
}

func TestRun_findsNothingInACleanSystem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if r := w.run(); !r.Clean() || r.Channels != 0 || r.Problems == nil {
		t.Errorf("without events: %+v", r)
	}
	c, trimmed := chat.NewChannelID(), chat.NewChannelID()
	for seq := range int64(3) {
		e := entry(t, c, seq+1)
		w.appended(e, 0)
		w.stored(e)
		w.stored(entry(t, trimmed, seq+1)) // its entry is gone
	}
	w.SetCounter(c, 3)
	w.SetCounter(trimmed, 3)
	w.SetCounter(chat.NewChannelID(), 0)
	steps := map[string]bool{}
	r, err := audit.Run(t.Context(), w.RDB, w.Store, audit.Options{Partitions: streamtest.Partitions, Progress: func(what string, done float64) {
		if done < 0 || done > 1 {
			t.Errorf("%s: %v done", what, done)
		}
		steps[what] = true
	}})
	if err != nil || !r.Clean() || r.Channels != 2 || r.Rows != 6 || r.Entries != 3 || r.Tombstones != 0 || r.Dead != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if want := (map[string]bool{"comparing channels": true, "comparing entries": true}); !maps.Equal(steps, want) {
		t.Errorf("progress of %v, want %v", steps, want)
	}
}

func TestRun_comparesCountersWithRows(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		counter int64
		rows    []int64
		want    []string
	}{
		"no rows":                {3, nil, []string{"hole 1-3"}},
		"holes":                  {7, []int64{2, 3, 6}, []string{"hole 1-1", "hole 4-5", "hole 7-7"}},
		"the counter is behind":  {2, []int64{1, 2, 3, 4}, []string{"counter_behind 3-4"}},
		"behind, and with holes": {3, []int64{1, 3, 5}, []string{"hole 2-2", "counter_behind 4-5"}},
		"no counter":             {0, []int64{1, 2}, nil},
		"no counter, and a hole": {0, []int64{1, 3}, []string{"hole 2-2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := chat.NewChannelID()
			for _, seq := range test.rows {
				w.stored(entry(t, c, seq))
			}
			if test.counter > 0 {
				w.SetCounter(c, test.counter)
			}
			r := w.run()
			if got := problems(r, c); !slices.Equal(got, test.want) || len(r.Problems) != len(test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
			if r.Channels != 1 || r.Clean() != (len(test.want) == 0) {
				t.Errorf("%d channels, clean: %v", r.Channels, r.Clean())
			}
		})
	}
}

func TestRun_comparesEntriesWithRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := chat.NewChannelID()
	w.SetCounter(c, 6)
	entries := make([]event.Entry, 7)
	for seq := 1; seq <= 6; seq++ {
		entries[seq] = entry(t, c, int64(seq))
	}
	w.stored(entries[1])
	w.stored(entry(t, c, 2)) // another event
	w.failed(entries[4])
	w.failed(entries[5])
	if _, err := w.Store.Drop(t.Context(), streamtest.Partition(c), c, 5); err != nil {
		t.Fatal(err)
	}
	w.failed(entries[6])
	for seq := 1; seq <= 5; seq++ {
		w.appended(entries[seq], 0)
	}
	w.Append(entries[6])
	stream := rediskey.Stream(streamtest.Partition(c))
	ids := w.Deliver(stream, "a", 0)
	if moved, err := deadletter.Move(t.Context(), w.RDB, deadletter.Events, streamtest.Partition(c), ids[0], "x"); !moved || err != nil {
		t.Fatal(moved, err)
	}
	r := w.run()
	// An operator has dropped the dead letter for seq 5, and seq 6 still has a dead letter.
	want := []string{"conflict 2-2", "hole 3-3", "missing 3-3", "no_dead_letter 4-4"}
	got := problems(r, c)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if r.Entries != 6 || r.Tombstones != 3 || r.Dead != 1 || r.Rows != 5 {
		t.Errorf("%d entries, %d tombstones, %d dead letters, %d rows; want 6, 3, 1, 5", r.Entries, r.Tombstones, r.Dead, r.Rows)
	}
	if broken := r.Broken(); !slices.Equal(broken, []chat.ChannelID{c}) {
		t.Errorf("broken channels %v, want %s once", broken, c)
	}
	for i := 1; i < len(r.Problems); i++ {
		if r.Problems[i].From < r.Problems[i-1].From {
			t.Errorf("the problems are not in the order of their seqs: %q", problems(r, c))
		}
	}
}

func TestRun_skipsEntriesWithoutAPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := entry(t, chat.NewChannelID(), 0)
	w.appended(e, 0) // no seq
	other := entry(t, chat.NewChannelID(), 1)
	stream := rediskey.Stream((streamtest.Partition(other.Channel) + 1) % streamtest.Partitions)
	w.Add(stream, other.Fields()) // of another partition
	if err := w.RDB.XGroupSetID(t.Context(), stream, rediskey.ConsumerGroup, "$").Err(); err != nil {
		t.Fatal(err)
	}
	if r := w.run(); !r.Clean() || r.Entries != 2 {
		t.Errorf("%+v", r)
	}
}

func TestRun_findsRepeatedClientIDs(t *testing.T) {
	t.Parallel()
	const start = 1_700_000_000_000
	for name, test := range map[string]struct {
		change func(first, second *event.Entry)
		after  time.Duration
		want   []string
	}{
		"within the window":       {nil, 4 * time.Minute, []string{"duplicate 2-2"}},
		"in the other half of it": {nil, 9 * time.Minute, []string{"duplicate 2-2"}},
		"after the window":        {nil, 21 * time.Minute, nil},
		"another sender":          {func(_, e *event.Entry) { e.Sender = chat.NewUserID() }, 0, nil},
		"another client id":       {func(_, e *event.Entry) { e.ClientID = chat.NewClientID() }, 0, nil},
		"the same event again":    {func(first, e *event.Entry) { e.Seq = first.Seq }, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := chat.NewChannelID()
			between, first, second := entry(t, c, 3), entry(t, c, 1), entry(t, c, 2)
			second.Sender, second.ClientID = first.Sender, first.ClientID
			if test.change != nil {
				test.change(&first, &second)
			}
			w.appended(first, start)
			w.appended(between, start+max(1, test.after.Milliseconds()/2))
			w.appended(second, start+max(2, test.after.Milliseconds()))
			var got []string
			for _, p := range problems(w.run(), c) {
				if strings.HasPrefix(p, audit.Duplicate) {
					got = append(got, p)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestRun_waitsForTheGroup(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := chat.NewChannelID()
	e, second := entry(t, c, 1), entry(t, c, 2)
	stream := rediskey.Stream(streamtest.Partition(c))
	w.Append(e)
	w.stored(e)
	run := func(wait time.Duration) (audit.Report, error) {
		return audit.Run(t.Context(), w.RDB, w.Store, audit.Options{Partitions: streamtest.Partitions, Wait: wait, Progress: func(what string, _ float64) {
			if what == "waiting for the consumer group" && wait > time.Minute { // the group catches up
				w.stored(second)
				w.settle(stream)
			}
		}})
	}
	_, err := run(time.Nanosecond)
	if !errors.Is(err, audit.ErrGroupBehind) || !strings.Contains(err.Error(), fmt.Sprintf("partition %d: delivered up to 0-0", streamtest.Partition(c))) {
		t.Errorf("undelivered: %v", err)
	}
	id := w.Deliver(stream, "a", 0)[0]
	if _, err := run(time.Nanosecond); !errors.Is(err, audit.ErrGroupBehind) || !strings.Contains(err.Error(), "1 pending, the oldest "+id) {
		t.Errorf("pending: %v", err)
	}
	w.Ack(stream, id)
	w.Append(second)
	if r, err := run(time.Hour); err != nil || !r.Clean() || r.Rows != 2 {
		t.Errorf("after a while: %+v, %v", r, err)
	}
}

func TestBroken_leavesOutWhatARepairCannotMend(t *testing.T) {
	t.Parallel()
	one, two, three := chat.NewChannelID(), chat.NewChannelID(), chat.NewChannelID()
	r := audit.Report{Problems: []audit.Problem{
		{Kind: audit.Duplicate, Channel: one},
		{Kind: audit.Hole, Channel: two},
		{Kind: audit.Missing, Channel: two},
		{Kind: audit.Behind, Channel: three},
		{Kind: audit.NoDeadLetter, Channel: one},
	}}
	if got := r.Broken(); !slices.Equal(got, []chat.ChannelID{two, one}) {
		t.Errorf("%v, want %v", got, []chat.ChannelID{two, one})
	}
}
