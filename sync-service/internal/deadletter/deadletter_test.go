package deadletter_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/deadletter"
	"parley.chat/sync-service/internal/store"
	"parley.chat/sync-service/internal/streamtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// world is a deployment without services.
type world struct{ *streamtest.World }

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{streamtest.OpenPrepared(t)}
}

// pending adds an entry to a stream and delivers it to a consumer.
func (w *world) pending(stream string, values any) (id string) {
	w.T.Helper()
	id = w.Add(stream, values)
	w.Deliver(stream, "a", 0)
	return id
}

// bury turns an entry into a dead letter and returns it.
func (w *world) bury(from deadletter.Source, p int, values any, reason string) deadletter.Letter {
	w.T.Helper()
	stream := rediskey.Stream(p)
	if from == deadletter.Receipts {
		stream = rediskey.Receipts(p)
	}
	id := w.pending(stream, values)
	if moved, err := deadletter.Move(w.T.Context(), w.RDB, from, p, id, reason); !moved || err != nil {
		w.T.Fatalf("moved: %v, %v", moved, err)
	}
	list := w.letters()
	return list[slices.IndexFunc(list, func(l deadletter.Letter) bool { return l.Source == from && l.Partition == p && l.Entry == id })]
}

func (w *world) letters() []deadletter.Letter {
	w.T.Helper()
	list, err := deadletter.List(w.T.Context(), w.RDB, streamtest.Partitions, deadletter.Filter{})
	if err != nil {
		w.T.Fatal(err)
	}
	return list
}

func message(seq int64) frame.Event {
	f := streamtest.Message(chat.NewChannelID(), seq, "hi")
	f.SenderName = "Ann" // "ann" is also a part of other fields
	return f
}

func TestMove_keepsTheEntryAndAcknowledgesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := streamtest.Entry(t, message(5))
	p := streamtest.Partition(e.Channel)
	before := time.Now().Truncate(time.Millisecond)
	l := w.bury(deadletter.Events, p, e.Fields(), "a reason")
	if l.Reason != "a reason" || l.Attempts != 1 || l.At.Before(before) || l.At.After(time.Now().Add(testkit.Timeout)) || l.Event.ID != e.ID || l.Event.Seq != 5 {
		t.Errorf("dead letter %+v", l)
	}
	if len(l.Fields) != len(e.Fields())/2 || l.Fields["payload"] != string(e.Payload) {
		t.Errorf("fields %v, want those of the entry", l.Fields)
	}
	if want := fmt.Sprintf("%d/%s", p, l.ID); l.Name() != want {
		t.Errorf("name %s, want %s", l.Name(), want)
	}
	if n := w.RDB.XPending(t.Context(), rediskey.Stream(p), rediskey.ConsumerGroup).Val().Count; n != 0 {
		t.Errorf("%d entries are still pending", n)
	}
	moved, err := deadletter.Move(t.Context(), w.RDB, deadletter.Events, p, l.Entry, "again")
	if moved || err != nil || len(w.letters()) != 1 {
		t.Errorf("moved again: %v, %v, %d dead letters", moved, err, len(w.letters()))
	}
}

func TestMove_ofAnEntryThatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.pending(rediskey.Stream(2), []any{"a", "b"})
	if err := w.RDB.XDel(t.Context(), rediskey.Stream(2), id).Err(); err != nil {
		t.Fatal(err)
	}
	if moved, err := deadletter.Move(t.Context(), w.RDB, deadletter.Events, 2, id, "it is gone"); !moved || err != nil {
		t.Fatal(moved, err)
	}
	if l := w.letters()[0]; l.Entry != id || l.Reason != "it is gone" || len(l.Fields) != 0 {
		t.Errorf("dead letter %+v, want the id and the reason only", l)
	}
}

func TestDecode_parsesAsMuchAsPossible(t *testing.T) {
	t.Parallel()
	l := deadletter.Decode(redis.XMessage{ID: "1-1", Values: map[string]any{
		"dead_entry": "7-0", "dead_attempts": "many", "dead_at": "?", "dead_packed": "\xc1", "dead_stream": "receipts", "other": "x",
	}})
	if l.ID != "1-1" || l.Entry != "7-0" || l.Attempts != 0 || !l.At.IsZero() || l.Source != deadletter.Receipts || !maps.Equal(l.Fields, map[string]any{"other": "x"}) {
		t.Errorf("%+v", l)
	}
	if l := deadletter.Decode(redis.XMessage{Values: map[string]any{"a": "b"}}); l.Source != deadletter.Events {
		t.Errorf("the source is %q, want that of events", l.Source)
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	c := chat.NewChannelID()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	l := deadletter.Letter{Partition: 3, ID: "9-0", Reason: "SQLSTATE 23514", At: at, Event: event.Entry{Channel: c}}
	for name, test := range map[string]struct {
		filter deadletter.Filter
		want   bool
	}{
		"no condition":           {deadletter.Filter{}, true},
		"its name":               {deadletter.Filter{IDs: []string{"3/8-0", "3/9-0"}}, true},
		"a name elsewhere":       {deadletter.Filter{IDs: []string{"2/9-0"}}, false},
		"its channel":            {deadletter.Filter{Channel: &c}, true},
		"another channel":        {deadletter.Filter{Channel: new(chat.NewChannelID())}, false},
		"a part of its reason":   {deadletter.Filter{Reason: "23514"}, true},
		"another reason":         {deadletter.Filter{Reason: "decode"}, false},
		"since that moment":      {deadletter.Filter{Since: at}, true},
		"since a later moment":   {deadletter.Filter{Since: at.Add(1)}, false},
		"until that moment":      {deadletter.Filter{Until: at}, false},
		"until a later moment":   {deadletter.Filter{Until: at.Add(1)}, true},
		"one condition is false": {deadletter.Filter{Channel: &c, Reason: "decode"}, false},
	} {
		if got := test.filter.Match(l); got != test.want {
			t.Errorf("%s: selected: %v, want %v", name, got, test.want)
		}
	}
}

func TestList_isInTheOrderOfPartitionsAndAges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, p := range []int{3, 0, 3} {
		w.bury(deadletter.Events, p, []any{"a", "b"}, fmt.Sprintf("letter %d", len(w.letters())))
	}
	var got []string
	for _, l := range w.letters() {
		got = append(got, fmt.Sprintf("%d %s", l.Partition, l.Reason))
	}
	if want := []string{"0 letter 1", "3 letter 0", "3 letter 2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	list, err := deadletter.List(t.Context(), w.RDB, streamtest.Partitions, deadletter.Filter{Reason: "letter 2"})
	if err != nil || len(list) != 1 {
		t.Errorf("%d letters with that reason, %v", len(list), err)
	}
	stop := errors.New("stop")
	if err := deadletter.Each(t.Context(), w.RDB, streamtest.Partitions, func(deadletter.Letter) error { return stop }); err != stop {
		t.Errorf("%v, want the visitor's error", err)
	}
}

func TestRetry_storesTheEventInPlaceOfItsTombstone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := streamtest.Entry(t, message(5))
	p := streamtest.Partition(e.Channel)
	tombstone, ok := store.FailedRow(e, "x", time.Now())
	if !ok {
		t.Fatal("the entry has no tombstone")
	}
	w.Save(tombstone)
	l := w.bury(deadletter.Events, p, e.Fields(), "x")
	for range 2 { // it may be repeated
		if err := deadletter.Retry(t.Context(), w.RDB, w.Store, streamtest.Partitions, l); err != nil {
			t.Fatal(err)
		}
	}
	var kind, body string
	if err := w.Pool.QueryRow(t.Context(), `select kind, body from messages where channel_id = $1 and seq = 5`, e.Channel.UUID).Scan(&kind, &body); err != nil || kind != "message" || body != "hi" {
		t.Errorf("the row is a %s %q, %v", kind, body, err)
	}
	if n := len(w.letters()); n != 0 {
		t.Errorf("%d dead letters are left", n)
	}
}

func TestRetry_leavesWhatCannotBeStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Exec(`alter table messages add constraint moody check (body <> 'refused')`)
	refused := message(1)
	refused.Body = "refused"
	bad := streamtest.Entry(t, message(1))
	bad.Payload = []byte("{")
	elsewhere := streamtest.Entry(t, message(1))
	for name, test := range map[string]struct {
		from   deadletter.Source
		p      int
		values any
		want   string
	}{
		"an unreadable entry":     {deadletter.Events, 1, []any{"a", "b"}, "channel_id"},
		"an unreadable payload":   {deadletter.Events, streamtest.Partition(bad.Channel), bad.Fields(), "payload"},
		"an event of another one": {deadletter.Events, (streamtest.Partition(elsewhere.Channel) + 1) % streamtest.Partitions, elsewhere.Fields(), "it belongs to partition"},
		"a row that is refused":   {deadletter.Events, streamtest.Partition(refused.ChannelID), streamtest.Entry(t, refused).Fields(), "moody"},
		"unreadable receipts":     {deadletter.Receipts, 1, []any{"a", "b"}, "channel_id"},
		"receipts of another one": {deadletter.Receipts, (streamtest.Partition(elsewhere.Channel) + 1) % streamtest.Partitions, event.Receipts{Channel: elsewhere.Channel, Moves: []event.Receipt{{User: chat.NewUserID(), Delivered: 1}}}.Fields(), "it belongs to partition"},
	} {
		l := w.bury(test.from, test.p, test.values, name)
		err := deadletter.Retry(t.Context(), w.RDB, w.Store, streamtest.Partitions, l)
		if !errors.Is(err, deadletter.ErrRemains) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), l.Name()) {
			t.Errorf("%s: %v, want %v and %q", name, err, deadletter.ErrRemains, test.want)
		}
		if !slices.ContainsFunc(w.letters(), func(x deadletter.Letter) bool { return x.Name() == l.Name() }) {
			t.Errorf("%s: the dead letter is gone", name)
		}
	}
}

func TestRetry_raisesReceiptsOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.User("ann"), w.User("bob")
	c := w.Channel(ann, bob)
	w.Exec(`update channel_members set last_delivered_seq = 9, last_read_seq = 9 where user_id = $1`, ann.UUID)
	w.Exec(`update channel_members set last_delivered_seq = 1, last_read_seq = 1 where user_id = $1`, bob.UUID)
	r := event.Receipts{Channel: c, Moves: []event.Receipt{{User: ann, Delivered: 5, Read: 4}, {User: bob, Delivered: 5, Read: 4}}}
	l := w.bury(deadletter.Receipts, streamtest.Partition(c), r.Fields(), "x")
	if err := deadletter.Retry(t.Context(), w.RDB, w.Store, streamtest.Partitions, l); err != nil {
		t.Fatal(err)
	}
	for u, want := range map[chat.UserID][2]int64{ann: {9, 9}, bob: {5, 4}} {
		var got [2]int64
		if err := w.Pool.QueryRow(t.Context(), `select last_delivered_seq, last_read_seq from channel_members where user_id = $1`, u.UUID).Scan(&got[0], &got[1]); err != nil || got != want {
			t.Errorf("receipts %v, %v; want %v", got, err, want)
		}
	}
	if n := len(w.letters()); n != 0 {
		t.Errorf("%d dead letters are left", n)
	}
}

func TestDrop_makesTheTombstonePermanent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := streamtest.Entry(t, message(5))
	p := streamtest.Partition(e.Channel)
	tombstone, _ := store.FailedRow(e, "x", time.Now())
	w.Save(tombstone)
	l := w.bury(deadletter.Events, p, e.Fields(), "x")
	unreadable := w.bury(deadletter.Events, 1, []any{"a", "b"}, "y")
	for _, l := range []deadletter.Letter{l, unreadable, l} { // it may be repeated
		if err := deadletter.Drop(t.Context(), w.RDB, w.Store, l); err != nil {
			t.Fatal(err)
		}
	}
	var dropped bool
	if err := w.Pool.QueryRow(t.Context(), `select (data->'dropped')::boolean from messages where channel_id = $1 and seq = 5`, e.Channel.UUID).Scan(&dropped); err != nil || !dropped {
		t.Errorf("dropped: %v, %v", dropped, err)
	}
	if n := len(w.letters()); n != 0 {
		t.Errorf("%d dead letters are left", n)
	}
}

func TestNamedUser(t *testing.T) {
	t.Parallel()
	m := message(1)
	joined := frame.Event{Type: event.MemberJoined, ChannelID: m.ChannelID, Seq: 2, ID: chat.NewEventID(), SenderID: m.SenderID, UserID: new(chat.NewUserID()), Username: "bob", SentAt: chat.Now()}
	cut := streamtest.Entry(t, m)
	cut.Payload = cut.Payload[:len(cut.Payload)-5] // the sender can still be read
	garbage := streamtest.Entry(t, m)
	garbage.Payload = []byte("{")
	empty := streamtest.Entry(t, m)
	empty.Payload = nil
	nameless := m
	nameless.SenderName = ""
	for name, test := range map[string]struct {
		from   deadletter.Source
		values []any
		want   chat.UserID
	}{
		"a message":              {deadletter.Events, streamtest.Entry(t, m).Fields(), m.SenderID},
		"a member who joined":    {deadletter.Events, streamtest.Entry(t, joined).Fields(), *joined.UserID},
		"a message without name": {deadletter.Events, streamtest.Entry(t, nameless).Fields(), chat.UserID{}},
		"a truncated payload":    {deadletter.Events, cut.Fields(), m.SenderID},
		"an unreadable payload":  {deadletter.Events, garbage.Fields(), m.SenderID},
		"an empty payload":       {deadletter.Events, empty.Fields(), chat.UserID{}},
		"receipts":               {deadletter.Receipts, streamtest.Entry(t, m).Fields(), chat.UserID{}},
	} {
		values := map[string]any{"dead_stream": string(test.from)}
		for i := 0; i < len(test.values); i += 2 {
			v := test.values[i+1]
			if b, ok := v.([]byte); ok {
				v = string(b)
			}
			values[test.values[i].(string)] = fmt.Sprint(v)
		}
		l := deadletter.Decode(redis.XMessage{ID: "1-0", Values: values})
		if got, ok := l.NamedUser(); got != test.want || ok != !test.want.IsZero() {
			t.Errorf("%s: %v, %v; want %v", name, got, ok, test.want)
		}
	}
}

func TestRemoveName_replacesTheDeadLetter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := streamtest.Entry(t, message(5))
	large := e.Fields()
	for i := range 4100 { // more fields than a script can pass to a command
		large = append(large, fmt.Sprint("more", i), "x")
	}
	bad := streamtest.Entry(t, message(6))
	bad.Payload = []byte(`{"sender_name":"Ann`)
	for name, test := range map[string]struct {
		values []any
		body   bool // the rest of the payload is kept
	}{
		"a message":              {e.Fields(), true},
		"an entry of 8218 parts": {large, true},
		"an unreadable payload":  {bad.Fields(), false},
	} {
		old := w.bury(deadletter.Events, 1, test.values, name)
		if done, err := deadletter.RemoveName(t.Context(), w.RDB, old); !done || err != nil {
			t.Fatalf("%s: %v, %v", name, done, err)
		}
		if done, err := deadletter.RemoveName(t.Context(), w.RDB, old); done || err != nil {
			t.Errorf("%s: replaced twice: %v, %v", name, done, err)
		}
		list := w.letters()
		if len(list) != 1 {
			t.Fatalf("%s: %d dead letters, want 1", name, len(list))
		}
		l := list[0]
		if _, named := l.NamedUser(); named || l.ID == old.ID {
			t.Errorf("%s: dead letter %s still has a name", name, l.Name())
		}
		payload, _ := l.Fields["payload"].(string)
		if strings.Contains(payload, "Ann") || strings.Contains(payload, `"body":"hi"`) != test.body {
			t.Errorf("%s: the payload is %q", name, payload)
		}
		l.ID, old.ID = "", ""
		delete(l.Fields, "payload")
		delete(old.Fields, "payload")
		if l.Entry != old.Entry || l.Reason != old.Reason || l.Attempts != old.Attempts || !l.At.Equal(old.At) || l.Source != old.Source || !maps.Equal(l.Fields, old.Fields) {
			t.Errorf("%s: the rest was changed: %d fields of %d", name, len(l.Fields), len(old.Fields))
		}
		if err := w.RDB.Del(t.Context(), rediskey.Dead(1)).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRemoveName_noFields checks a dead letter that an operator has added by hand, without any
// field of an entry.
func TestRemoveName_noFields(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.Add(rediskey.Dead(1), []string{"dead_reason", "by hand"})
	if done, err := deadletter.RemoveName(t.Context(), w.RDB, deadletter.Letter{Partition: 1, ID: id}); !done || err != nil {
		t.Errorf("%v, %v", done, err)
	}
	if list := w.letters(); len(list) != 1 || list[0].ID == id {
		t.Errorf("dead letters %+v, want a new one", list)
	}
}

func TestCalls_failWithoutRedis(t *testing.T) {
	t.Parallel()
	s := streamtest.OpenStreams(t)
	s.Redis.Stop(t)
	l := deadletter.Decode(redis.XMessage{ID: "1-0", Values: map[string]any{"a": "b"}})
	l.Partition = 2
	if _, err := deadletter.Move(t.Context(), s.RDB, deadletter.Receipts, 2, "1-0", "x"); err == nil || !strings.Contains(err.Error(), rediskey.Receipts(2)) {
		t.Errorf("Move: %v", err)
	}
	if _, err := deadletter.RemoveName(t.Context(), s.RDB, l); err == nil || !strings.Contains(err.Error(), "2/1-0") {
		t.Errorf("RemoveName: %v", err)
	}
	if err := deadletter.Drop(t.Context(), s.RDB, nil, l); err == nil || !strings.Contains(err.Error(), "2/1-0") {
		t.Errorf("Drop: %v", err)
	}
}
