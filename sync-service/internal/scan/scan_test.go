package scan_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/entryid"
	"parley.chat/sync-service/internal/scan"
	"parley.chat/sync-service/internal/store"
	"parley.chat/sync-service/internal/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testkit.Redialing()) }

// fill adds the entries "1-1" to "1-n".
func fill(t *testing.T, rdb redis.UniversalClient, stream string, n int) {
	t.Helper()
	pipe := rdb.Pipeline()
	for i := range n {
		pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, ID: fmt.Sprintf("1-%d", i+1), Values: []any{"a", "b"}})
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestStream_readsInPages(t *testing.T) {
	t.Parallel()
	rdb := redistest.NewServer(t).Client(t)
	fill(t, rdb, "s", 2*scan.Page)
	for name, test := range map[string]struct {
		from, to entryid.ID
		pages    []int
		first    string
	}{
		"everything":             {entryid.ID{}, scan.Last, []int{scan.Page, scan.Page}, "1-1"},
		"both ends are included": {entryid.ID{Ms: 1, Seq: 7}, entryid.ID{Ms: 1, Seq: 9}, []int{3}, "1-7"},
		"from the second page":   {entryid.ID{Ms: 1, Seq: 2}, scan.Last, []int{scan.Page, scan.Page - 1}, "1-2"},
		"nothing is left":        {entryid.ID{Ms: 2}, scan.Last, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var pages []int
			var ids []string
			err := scan.Stream(t.Context(), rdb, "s", test.from, test.to, func(page []redis.XMessage) error {
				pages = append(pages, len(page))
				for _, m := range page {
					ids = append(ids, m.ID)
				}
				return nil
			})
			if err != nil || !slices.Equal(pages, test.pages) {
				t.Errorf("pages of %d entries, %v; want %d", pages, err, test.pages)
			}
			if test.first != "" && (len(ids) == 0 || ids[0] != test.first) {
				t.Errorf("the first of %d entries is not %s", len(ids), test.first)
			}
			for i := 1; i < len(ids); i++ {
				a, _ := entryid.Parse(ids[i-1])
				if b, _ := entryid.Parse(ids[i]); b != a.Next() {
					t.Fatalf("%s follows %s", b, a)
				}
			}
		})
	}
}

func TestStream_stopsAtAnError(t *testing.T) {
	t.Parallel()
	server := redistest.NewServer(t)
	rdb := server.Client(t)
	fill(t, rdb, "s", scan.Page+1)
	stop, pages := errors.New("stop"), 0
	err := scan.Stream(t.Context(), rdb, "s", entryid.ID{}, scan.Last, func([]redis.XMessage) error { pages++; return stop })
	if err != stop || pages != 1 {
		t.Errorf("%v after %d pages, want %v after 1", err, pages, stop)
	}
	server.Stop(t)
	if err := scan.Stream(t.Context(), rdb, "s", entryid.ID{}, scan.Last, nil); err == nil || !strings.Contains(err.Error(), "read s from 0-0") {
		t.Errorf("without Redis: %v", err)
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	server := redistest.NewServer(t)
	rdb := server.Client(t)
	fill(t, rdb, rediskey.Stream(1), 3)
	fill(t, rdb, rediskey.Stream(2), 1)
	rdb.XDel(t.Context(), rediskey.Stream(2), "1-1") // the stream is empty now
	fill(t, rdb, rediskey.Stream(3), 2)
	rdb.XDel(t.Context(), rediskey.Stream(3), "1-2")
	ends, err := scan.Ends(t.Context(), rdb, 4)
	if want := []entryid.ID{{}, {Ms: 1, Seq: 3}, {}, {Ms: 1, Seq: 1}}; err != nil || !slices.Equal(ends, want) {
		t.Errorf("ends %v, %v; want %v", ends, err, want)
	}
	rdb.Set(t.Context(), rediskey.Stream(0), "no stream", 0)
	if _, err := scan.Ends(t.Context(), rdb, 4); err == nil {
		t.Error("no error for a key that is no stream")
	}
}

const partitions = 4

func entry(t *testing.T, change func(*event.Entry)) (event.Entry, redis.XMessage) {
	t.Helper()
	e := streamtest.Entry(t, streamtest.Message(chat.NewChannelID(), 7, "hi"))
	if change != nil {
		change(&e)
	}
	m := redis.XMessage{ID: "1700000000000-5", Values: map[string]any{}}
	for i, fields := 0, e.Fields(); i < len(fields); i += 2 {
		m.Values[fmt.Sprint(fields[i])] = text(fields[i+1])
	}
	return e, m
}

// text returns a value as Redis does.
func text(v any) string {
	if b, ok := v.([]byte); ok {
		return string(b)
	}
	return fmt.Sprint(v)
}

func TestRow(t *testing.T) {
	t.Parallel()
	none := func(*event.Entry) {}
	for name, test := range map[string]struct {
		change    func(*event.Entry)
		raw       map[string]any
		elsewhere bool // the entry is in the stream of another partition
		want      event.Kind
	}{
		"an event":              {change: none, want: event.Message},
		"an unreadable payload": {change: func(e *event.Entry) { e.Payload = []byte("{") }, want: event.Failed},
		"a payload of another seq": {change: func(e *event.Entry) {
			e.Payload = []byte(strings.Replace(string(e.Payload), `"seq":7`, `"seq":8`, 1))
		}, want: event.Failed},
		"an unreadable field": {change: none, raw: map[string]any{"sender_id": "nobody"}, want: event.Failed},
		"a newer version":     {change: func(e *event.Entry) { e.Version = event.Version + 1 }},
		"another partition":   {change: none, elsewhere: true},
		"no channel":          {change: none, raw: map[string]any{"channel_id": "?"}},
		"no seq":              {change: none, raw: map[string]any{"seq": "?"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, m := entry(t, test.change)
			for field, value := range test.raw {
				if _, ok := m.Values[field]; !ok {
					t.Fatalf("an entry has no field %q", field)
				}
				m.Values[field] = value
			}
			p := rediskey.Of(want.Channel.UUID, partitions)
			if test.elsewhere {
				p++
			}
			row, e, ok := scan.Row(m, p, partitions)
			if ok != (test.want != "") {
				t.Fatalf("ok is %v: %+v", ok, row)
			}
			if !ok {
				return
			}
			if row.Kind != test.want || row.Channel != want.Channel || row.Seq != want.Seq || e.ID != want.ID {
				t.Errorf("row %+v, want %s of seq %d", row, test.want, want.Seq)
			}
			if test.want == event.Failed && (row.SentAt.UnixMilli() != 1700000000000 || !strings.Contains(string(row.Data), store.ReasonUnreadable)) {
				t.Errorf("tombstone of %v with data %s, want the time of the entry and the reason", row.SentAt, row.Data)
			}
		})
	}
}

func TestChannels_visitsTheKeysOfOneKind(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, rdb redis.UniversalClient) {
		t.Helper()
		want := map[chat.ChannelID]int{}
		set := func(key string) {
			t.Helper()
			if err := rdb.Set(t.Context(), key, "x", 0).Err(); err != nil {
				t.Fatal(err)
			}
		}
		for range 50 {
			c := chat.NewChannelID()
			p := rediskey.Of(c.UUID, partitions)
			want[c] = p
			set(rediskey.Counter(p, c))
			set(rediskey.Tail(p, chat.NewChannelID())) // another kind
			moved := chat.NewChannelID()               // its key was built for a different number of partitions
			set(rediskey.Counter((rediskey.Of(moved.UUID, partitions)+1)%partitions, moved))
			set(strings.Replace(rediskey.Counter(p, c), c.String(), "no-id", 1)) // not one of our keys
		}
		visits := make(chan func() (int, chat.ChannelID), 1000)
		err := scan.Channels(t.Context(), rdb, partitions, rediskey.Counter, func(p int, c chat.ChannelID) {
			visits <- func() (int, chat.ChannelID) { return p, c }
		})
		if err != nil {
			t.Fatal(err)
		}
		close(visits)
		found := map[chat.ChannelID]int{}
		for visit := range visits {
			p, c := visit()
			found[c] = p
			if got, ok := want[c]; !ok || got != p {
				t.Errorf("channel %s in partition %d", c, p)
			}
		}
		if len(found) != len(want) {
			t.Errorf("visited %d channels, want %d", len(found), len(want))
		}
	}
	t.Run("single server", func(t *testing.T) {
		t.Parallel()
		test(t, redistest.NewServer(t).Client(t))
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		test(t, redistest.Cluster(t, 3, 0).Client(t))
	})
}
