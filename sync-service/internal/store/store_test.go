package store_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/eventlog/eventrow"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-migrations/schematest"
	"parley.chat/sync-service/internal/entryid"
	"parley.chat/sync-service/internal/store"
	"parley.chat/sync-service/internal/streamtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func open(t testing.TB) (*store.Store, *pgxpool.Pool) {
	t.Helper()
	pg := schematest.Open(t)
	return streamtest.OpenStore(t, pg), pg.Pool(t)
}

func rowOf(t testing.TB, f frame.Event) store.Row {
	t.Helper()
	r, err := store.RowOf(streamtest.Entry(t, f))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func gap(ch chat.ChannelID, seq, from, to int64) frame.Event {
	return frame.Event{Type: event.Gap, ChannelID: ch, Seq: seq, ID: chat.NewEventID(), From: from, To: to, SentAt: chat.Now()}
}

// every returns one event of each kind.
func every(ch chat.ChannelID) []frame.Event {
	client, target, user := chat.NewClientID(), chat.NewEventID(), chat.NewUserID()
	gone := chat.NewEventID() // a deleted message has no text to compare
	base := frame.Event{ChannelID: ch, SenderID: chat.NewUserID(), SentAt: chat.Now()}
	var all []frame.Event
	add := func(kind event.Kind, set func(*frame.Event)) {
		e := base
		e.Type, e.Seq, e.ID = kind, int64(len(all)+1), chat.NewEventID()
		set(&e)
		all = append(all, e)
	}
	add(event.Message, func(e *frame.Event) {
		e.ClientID, e.SenderName, e.Body = &client, "Ann <3", "hi \"you\" & \\u0000 <b>\n\té 日本 🎉"
		e.Mentions, e.ReplyTo = []chat.UserID{user}, &target
	})
	add(event.Message, func(e *frame.Event) { e.ClientID, e.Body = nil, "bare" })
	add(event.Edit, func(e *frame.Event) {
		e.ClientID, e.MessageID, e.Body, e.Mentions = &client, &target, "better", []chat.UserID{user}
	})
	add(event.Delete, func(e *frame.Event) { e.ClientID, e.MessageID = &client, &gone })
	add(event.Reaction, func(e *frame.Event) { e.ClientID, e.MessageID, e.Emoji, e.Remove = &client, &target, "👍", true })
	add(event.Reaction, func(e *frame.Event) {
		e.ClientID, e.MessageID, e.Emoji, e.Remove, e.RemovedBy = &client, &target, "🎉", true, &user
	})
	add(event.MemberJoined, func(e *frame.Event) { e.UserID, e.Username = &user, "bob" })
	add(event.MemberLeft, func(e *frame.Event) { e.UserID, e.Username = &user, "bob" })
	add(event.ChannelUpdated, func(e *frame.Event) { e.Channel = []byte(`{"kind": "public", "name": "general"}`) })
	add(event.Gap, func(e *frame.Event) { e.SenderID, e.From, e.To = chat.UserID{}, 3, 4 })
	return all
}

// log reads a channel as "seq kind body" lines.
func log(t testing.TB, pool *pgxpool.Pool, ch chat.ChannelID) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `select seq || ' ' || kind || ' ' || body from messages where channel_id = $1 order by seq`, ch.UUID)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

func mustStore(t testing.TB, s *store.Store, seen bool, rows ...store.Row) store.Result {
	t.Helper()
	res, err := s.Store(t.Context(), store.Batch{Partitions: []int{0}, Rows: rows, MaybeStored: seen})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestStore_rowDecodesBackToTheFrame(t *testing.T) {
	t.Parallel()
	s, pool := open(t)
	for _, seen := range []bool{false, true} { // by COPY and by insert
		ch := chat.NewChannelID()
		events := every(ch)
		rows := make([]store.Row, len(events))
		for i, e := range events {
			rows[i] = rowOf(t, e)
		}
		if res := mustStore(t, s, seen, rows...); res.Inserted != len(rows) || res.Copied == seen {
			t.Fatalf("stored %+v of %d", res, len(rows))
		}
		for _, want := range events {
			var r eventrow.Row
			if err := pool.QueryRow(t.Context(), `select channel_id, seq, id, kind, sender_id, client_id, target, body, data, sent_at
				from messages where channel_id = $1 and seq = $2`, ch.UUID, want.Seq).
				Scan(&r.ChannelID.UUID, &r.Seq, &r.ID.UUID, &r.Kind, &r.SenderID.UUID, &r.ClientID, &r.Target, &r.Body, &r.Data, &r.SentAt); err != nil {
				t.Fatal(err)
			}
			got, err := r.Event()
			if err != nil {
				t.Fatal(err)
			}
			gotFrame, wantFrame := streamtest.Entry(t, got).Payload, streamtest.Entry(t, want).Payload
			if want.Type == event.ChannelUpdated { // jsonb does not preserve whitespace
				gotFrame, wantFrame = []byte(strings.ReplaceAll(string(gotFrame), " ", "")), []byte(strings.ReplaceAll(string(wantFrame), " ", ""))
			}
			if string(gotFrame) != string(wantFrame) {
				t.Errorf("seen %v: the row reads\n%s\nthe event was\n%s", seen, gotFrame, wantFrame)
			}
		}
	}
}

func TestStore_overlappingBatches(t *testing.T) {
	t.Parallel()
	s, pool := open(t)
	ch := chat.NewChannelID()
	var rows []store.Row
	for seq := range int64(50) {
		rows = append(rows, rowOf(t, streamtest.Message(ch, seq+1, "x")))
	}
	mustStore(t, s, false, rows[:20]...)
	res := mustStore(t, s, false, append(rows[10:], rows[40])...)
	if res.Inserted != 30 || res.Copied || len(res.Rejected) != 0 {
		t.Errorf("an overlapping batch, with a duplicate inside: %+v; want 30 inserted", res)
	}
	if n := len(log(t, pool, ch)); n != 50 {
		t.Errorf("%d rows, want 50", n)
	}
}

func TestStore_rejectsOnlyRefusedRows(t *testing.T) {
	t.Parallel()
	s, pool := open(t)
	ch := chat.NewChannelID()
	var rows []store.Row
	var want []int
	for i := range 100 {
		r := rowOf(t, streamtest.Message(ch, int64(i+1), "x"))
		switch i {
		case 17:
			r.Body = "a\x00b" // as if RowOf had not rejected it
		case 50:
			r.Data = []byte(`{"channel": "\u0000"}`)
		case 99:
			r.Body = "\xff"
		default:
			rows = append(rows, r)
			continue
		}
		want = append(want, i)
		rows = append(rows, r)
	}
	res := mustStore(t, s, false, rows...)
	var got []int
	for _, r := range res.Rejected {
		got = append(got, r.Row)
		if r.Reason != store.ReasonRefused || !strings.Contains(r.Detail, "SQLSTATE 22") {
			t.Errorf("row %d is rejected for %q (%s)", r.Row, r.Reason, r.Detail)
		}
	}
	if res.Inserted != 97 || !slices.Equal(got, want) {
		t.Errorf("inserted %d, rejected %v; want 97, %v", res.Inserted, got, want)
	}
	var texts int
	if err := pool.QueryRow(t.Context(), "select count(*) from messages where kind = 'failed' and data->>'reason' <> $1", store.ReasonRefused).Scan(&texts); err != nil || texts != 0 {
		t.Errorf("%d tombstones show an error text to clients, %v", texts, err)
	}
	lines := log(t, pool, ch)
	if len(lines) != 100 || lines[17] != "18 failed" || lines[50] != "51 failed" || lines[99] != "100 failed" || lines[0] != "1 message x" {
		t.Errorf("the log reads %q", lines)
	}
	if again := mustStore(t, s, true, rows...); again.Inserted != 0 || len(again.Rejected) != 3 || len(log(t, pool, ch)) != 100 {
		t.Errorf("again: %+v", again)
	}
}

func TestStore_conflicts(t *testing.T) {
	t.Parallel()
	ch := chat.NewChannelID()
	x, y := streamtest.Message(ch, 5, "x"), streamtest.Message(ch, 5, "y")
	moved := x
	moved.Seq = 9
	failedRow, _ := store.FailedRow(streamtest.Entry(t, x), "broken\x00", time.Now())
	for _, tt := range []struct {
		name   string
		first  []store.Row
		then   store.Row
		reason string
		want   []string
	}{
		{"another event at the seq", []store.Row{rowOf(t, x)}, rowOf(t, y), store.ReasonSeqTaken, []string{"5 message x"}},
		{"the id at another seq", []store.Row{rowOf(t, x)}, rowOf(t, moved), store.ReasonElsewhere, []string{"5 message x", "9 noop"}},
		{"an event replaces its tombstone", []store.Row{failedRow}, rowOf(t, x), "", []string{"5 message x"}},
		{"an event replaces a foreign tombstone", []store.Row{failedRow}, rowOf(t, y), "", []string{"5 message y"}},
		{"a tombstone replaces nothing", []store.Row{rowOf(t, y)}, failedRow, "", []string{"5 message y"}},
		{"a gap fills what is lacking", []store.Row{rowOf(t, x)}, rowOf(t, gap(ch, 8, 4, 7)), "", []string{"4 lost", "5 message x", "6 lost", "7 lost", "8 gap"}},
		{"an event replaces lost", []store.Row{rowOf(t, gap(ch, 6, 5, 5))}, rowOf(t, x), "", []string{"5 message x", "6 gap"}},
		{"a failed event whose id has another seq", []store.Row{rowOf(t, moved)}, failedRow, "", []string{"5 noop", "9 message x"}},
	} {
		for _, together := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/together=%v", tt.name, together), func(t *testing.T) {
				t.Parallel()
				s, pool := open(t)
				var res store.Result
				if together {
					res = mustStore(t, s, false, append(slices.Clone(tt.first), tt.then)...)
				} else {
					mustStore(t, s, false, tt.first...)
					res = mustStore(t, s, false, tt.then)
				}
				var reason string
				if len(res.Rejected) > 0 {
					reason = res.Rejected[0].Reason
				}
				if reason != tt.reason || len(res.Rejected) > 1 {
					t.Errorf("rejected %+v, want reason %q", res.Rejected, tt.reason)
				}
				if got := log(t, pool, ch); !slices.Equal(got, tt.want) {
					t.Errorf("the log reads %q, want %q", got, tt.want)
				}
			})
		}
	}
}

func TestStore_droppedTombstoneStays(t *testing.T) {
	t.Parallel()
	s, pool := open(t)
	x := streamtest.Message(chat.NewChannelID(), 1, "x")
	tombstone, _ := store.FailedRow(streamtest.Entry(t, x), "broken", time.Now())
	mustStore(t, s, false, tombstone)
	if _, err := pool.Exec(t.Context(), `update messages set data = data || '{"dropped": true}'`); err != nil {
		t.Fatal(err)
	}
	mustStore(t, s, false, rowOf(t, x))
	if got := log(t, pool, x.ChannelID); !slices.Equal(got, []string{"1 failed"}) {
		t.Errorf("the log reads %q", got)
	}
}

// TestStore_doesNotDependOnOrder stores a history in random orders and random batches, with
// repetitions and concurrently: the rows must be the same every time.
func TestStore_doesNotDependOnOrder(t *testing.T) {
	t.Parallel()
	s, pool := open(t)
	channel := chat.NewChannelID()
	var history []store.Row
	for seq := int64(1); seq <= 40; seq++ {
		switch {
		case seq == 20:
			history = append(history, rowOf(t, gap(channel, seq, 8, 19)))
		case seq == 12 || seq == 13: // lost
		case seq%7 == 0:
			e := streamtest.Message(channel, seq, "bad")
			tombstone, _ := store.FailedRow(streamtest.Entry(t, e), "broken", e.SentAt.Time)
			history = append(history, tombstone)
		default:
			history = append(history, rowOf(t, streamtest.Message(channel, seq, fmt.Sprint(seq))))
		}
	}
	var want []string
	for round := range 20 {
		if _, err := pool.Exec(t.Context(), `delete from messages`); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 2)
		for range 2 {
			rows := append(slices.Clone(history), history[rand.IntN(len(history))])
			rand.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
			go func() {
				for batch := range slices.Chunk(rows, 1+rand.IntN(20)) {
					if _, err := s.Store(t.Context(), store.Batch{Partitions: []int{3, 7}, Rows: batch}); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		got := log(t, pool, channel)
		if round == 0 {
			want = got
		}
		if !slices.Equal(got, want) || len(got) != 40 {
			t.Fatalf("round %d: %d rows\n%q\nfirst\n%q", round, len(got), got, want)
		}
	}
}

func TestRowOf_refuses(t *testing.T) {
	ch := chat.NewChannelID()
	good := streamtest.Entry(t, streamtest.Message(ch, 1, "x"))
	for _, tt := range []struct {
		name, want string
		change     func(*event.Entry)
	}{
		{"no JSON", "payload: decode", func(e *event.Entry) { e.Payload = []byte("{") }},
		{"NUL", "U+0000", func(e *event.Entry) {
			e.Payload = []byte(strings.Replace(string(e.Payload), `"body":"x"`, `"body":"x\u0000"`, 1))
		}},
		{"invalid UTF-8", "UTF-8", func(e *event.Entry) {
			e.Payload = []byte(strings.Replace(string(e.Payload), `"body":"x"`, "\"body\":\"\xff\"", 1))
		}},
		{"other seq", "seq is 1", func(e *event.Entry) { e.Seq = 2 }},
		{"other channel", "channel_id", func(e *event.Entry) { e.Channel = chat.NewChannelID() }},
		{"other id", "payload: id differs", func(e *event.Entry) { e.ID = chat.NewEventID() }},
		{"other sender", "sender_id", func(e *event.Entry) { e.Sender = chat.NewUserID() }},
		{"other kind", "type is", func(e *event.Entry) { e.Kind = event.Edit }},
		{"endless gap", "gap from", func(e *event.Entry) { *e = streamtest.Entry(t, gap(ch, 1, 1, 1<<40)) }},
	} {
		e := good
		tt.change(&e)
		if _, err := store.RowOf(e); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", tt.name, err, tt.want)
		}
	}
}

func TestRaise_onlyRaises(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	ctx := t.Context()
	for _, step := range []struct{ raise, want entryid.ID }{
		{entryid.ID{Ms: 5, Seq: 3}, entryid.ID{Ms: 5, Seq: 3}},
		{entryid.ID{Ms: 5, Seq: 2}, entryid.ID{Ms: 5, Seq: 3}},
		{entryid.ID{Ms: 4, Seq: 9}, entryid.ID{Ms: 5, Seq: 3}},
		{entryid.ID{Ms: 6, Seq: 0}, entryid.ID{Ms: 6, Seq: 0}},
	} {
		if err := s.Raise(ctx, map[int]entryid.ID{2: step.raise}); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Watermark(ctx, 2); err != nil || got != step.want {
			t.Errorf("raised to %v: the watermark is %v, %v; want %v", step.raise, got, err, step.want)
		}
	}
}
