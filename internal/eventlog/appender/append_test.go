package appender

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/logtest"
	"parley.chat/internal/platform/resp"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
)

// appendScript is append.lua as go-redis runs it.
var appendScript = redis.NewScript(appendSource)

// call runs append.lua with events, as the appender does. known is the newest head of the channel
// that the caller has seen.
func call(t testing.TB, l logtest.Log, known eventlog.Head, o Options, events ...frame.Event) ([]string, error) {
	t.Helper()
	a := New(l.Log, l.Redis, logtest.Empty, Config{Logger: quiet})
	for _, e := range events {
		if err := a.Submit(&e, o, func(Ack, error) {}); err != nil {
			t.Fatal(err)
		}
	}
	keys, args := argsOf(t, a, takeBack(a.lanes[0]))
	args[2], args[3] = string(known.Epoch), known.Seq
	return appendScript.Run(context.Background(), l.Redis, keys, args...).StringSlice()
}

// takeBack removes and returns the events that wait in a lane.
func takeBack(l *lane) (waiting []*pending) {
	for _, q := range l.ready {
		waiting = append(waiting, q.waiting...)
	}
	l.ready = nil
	clear(l.queues)
	return waiting
}

// argsOf returns the arguments of the append.lua call for the events, in the form that go-redis
// expects.
func argsOf(t testing.TB, a *Appender, call []*pending) (keys []string, args []any) {
	t.Helper()
	wire := a.lanes[0].appendCall(nil, scriptCall{events: call})
	reader := resp.NewReader(bytes.NewReader(wire))
	var command resp.Value
	for whole := false; !whole; {
		var err error
		if command, whole, err = reader.Buffered(); err == nil && !whole {
			err = reader.Fill()
		}
		if err != nil {
			t.Fatalf("the call is not one command: %v", err)
		}
	}
	if rest, more, err := reader.Buffered(); more || err != nil {
		t.Fatalf("the call is more than one command: %v, %v", rest, err)
	}
	fields := command.Fields
	count, err := strconv.Atoi(string(fields[2]))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fields[3 : 3+count] {
		keys = append(keys, string(f))
	}
	for _, f := range fields[3+count:] {
		args = append(args, string(f))
	}
	return keys, args
}

// mustCall is like call, for a caller that has seen no head of the channel yet. It returns the
// results without the epoch.
func mustCall(t testing.TB, l logtest.Log, events ...frame.Event) []string {
	t.Helper()
	results, err := call(t, l, eventlog.Head{}, Options{}, events...)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != len(events)+1 {
		t.Fatalf("%d results for %d events", len(results), len(events))
	}
	return results[1:]
}

func wantResults(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("results %q, want %q", got, want)
	}
}

func dup(l logtest.Log, e frame.Event, seq int) string {
	return fmt.Sprintf("dup %s %s %d %s", digestText(&e), e.ID, seq, e.SentAt)
}

func TestAppendScript_numbers(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	ch, other, ann := l.Seeded(t), l.Seeded(t), chat.NewUserID()
	three := func(c chat.ChannelID) []frame.Event {
		return []frame.Event{message(c, ann, "a"), message(c, ann, "b"), message(c, ann, "c")}
	}
	wantResults(t, mustCall(t, l, three(ch)...), "ok 1", "ok 2", "ok 3")
	wantResults(t, mustCall(t, l, three(other)...), "ok 1", "ok 2", "ok 3")
	wantResults(t, mustCall(t, l, three(ch)...), "ok 4", "ok 5", "ok 6")
	heads, err := l.Heads(t.Context(), []chat.ChannelID{ch, other})
	if err != nil || heads[0].Seq != 6 || heads[1].Seq != 3 {
		t.Errorf("heads %+v, %v", heads, err)
	}
	for i, e := range l.Entries(t, ch) {
		if e.Seq != int64(i+1) || bodyOf(t, e.Payload) != string("abcabc"[i]) || e.Epoch != heads[0].Epoch {
			t.Errorf("entry %d is %+v", i+1, e)
		}
	}
	results, err := call(t, l, eventlog.Head{Epoch: heads[0].Epoch, Seq: 6}, Options{}, three(ch)[0])
	if err != nil || results[0] != string(heads[0].Epoch) || results[1] != "ok 7" {
		t.Errorf("with a known head: %q, %v", results, err)
	}
}

// The test uses seqs beyond 2^31, up to the largest integer that a float64 represents exactly.
func TestAppendScript_bigNumbers(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	ch := l.Seeded(t)
	for _, seq := range []int64{1 << 31, 1<<53 - 10} {
		rdb.HSet(t.Context(), rediskey.Counter(l.Partition(ch.UUID), ch), "seq", seq)
		wantResults(t, mustCall(t, l, message(ch, chat.NewUserID(), "x"), message(ch, chat.NewUserID(), "x")),
			"ok "+strconv.FormatInt(seq+1, 10), "ok "+strconv.FormatInt(seq+2, 10))
		all := l.Entries(t, ch)
		if last := all[len(all)-1]; last.Seq != seq+2 || !strings.Contains(string(last.Payload), fmt.Sprintf(`"seq":%d,`, seq+2)) {
			t.Errorf("%+v", last)
		}
	}
}

// everyKind returns one event of each kind that is appended.
func everyKind(ch chat.ChannelID) []frame.Event {
	ann := chat.NewUserID()
	of := func(k event.Kind) frame.Event {
		e := message(ch, ann, "")
		e.Type, e.SenderName = k, ""
		return e
	}
	m := message(ch, ann, "<b>\n\ttab & \"quote\" \u2028 👍")
	m.Mentions, m.ReplyTo = []chat.UserID{chat.NewUserID()}, ref(chat.NewEventID())
	edit, del, react, gap := of(event.Edit), of(event.Delete), of(event.Reaction), of(event.Gap)
	edit.MessageID, edit.Body = &m.ID, "two\nlines"
	del.MessageID, react.MessageID, react.Emoji = &m.ID, &m.ID, "👍"
	about := of(event.ChannelUpdated)
	about.Channel = []byte("{\n\"name\":\"x\"\n}")
	gap.From, gap.To = 3, 4
	return []frame.Event{m, edit, del, react, membership(event.MemberJoined, ch, chat.NewUserID()), membership(event.MemberLeft, ch, chat.NewUserID()), about, gap}
}

// Stream, tail and topic get the same encoding, and Go can decode the data that Lua writes.
func TestAppendScript_writesWhatGoReads(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	ctx := t.Context()
	ch := l.Seeded(t)
	p := l.Partition(ch.UUID)
	sub := rdb.SSubscribe(ctx, rediskey.Topic(p, ch))
	defer sub.Close()
	if _, err := sub.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	head, err := l.EnsureHead(ctx, ch, logtest.Empty)
	if err != nil {
		t.Fatal(err)
	}
	events := everyKind(ch)
	// Each of the first two events is appended by its own call; the others share one call.
	mustCall(t, l, events[0])
	mustCall(t, l, events[1])
	mustCall(t, l, events[2:]...)

	raw, err := rdb.Do(ctx, "XRANGE", rediskey.Stream(p), "-", "+").Slice()
	if err != nil || len(raw) != len(events) {
		t.Fatalf("%d entries, %v", len(raw), err)
	}
	var items [][]byte
	for i, r := range raw {
		entryID := r.([]any)[0].(string)
		fields := r.([]any)[1].([]any)
		e := events[i]
		e.Seq = int64(i + 1)
		payload, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		want := event.Entry{
			Version: event.Version, Channel: ch, Seq: e.Seq, Epoch: head.Epoch, Kind: e.Type, ID: e.ID,
			Sender: e.SenderID, ClientID: *e.ClientID, Payload: payload,
		}
		var wantFields []string
		for _, f := range want.Fields() {
			if b, ok := f.([]byte); ok {
				f = string(b)
			}
			wantFields = append(wantFields, fmt.Sprint(f))
		}
		if got := fmt.Sprintf("%q", fields); got != fmt.Sprintf("%q", wantFields) {
			t.Errorf("entry of %s:\n got %s\nwant %q", e.Type, got, wantFields)
		}
		m := make(map[string]any)
		for j := 0; j+1 < len(fields); j += 2 {
			m[fields[j].(string)] = fields[j+1]
		}
		if got, err := event.DecodeEntry(m); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("entry of %s reads as %+v, %v", e.Type, got, err)
		}
		items = append(items, event.Item{Epoch: head.Epoch, Seq: e.Seq, EntryID: entryID, Kind: e.Type, Sender: e.SenderID, Frame: payload}.Encode())
	}

	tail, err := rdb.LRange(ctx, rediskey.Tail(p, ch), 0, -1).Result()
	if err != nil || len(tail) != len(items) {
		t.Fatalf("tail of %d, %v", len(tail), err)
	}
	for i := range tail {
		if tail[i] != string(items[i]) {
			t.Errorf("tail:\n got %q\nwant %q", tail[i], items[i])
		}
	}
	var published [][]byte
	for _, n := range []int{1, 1, len(events) - 2} {
		m, err := sub.ReceiveMessage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		if err := event.DecodeItems([]byte(m.Payload), func(it event.Item) {
			published = append(published, it.Encode())
			got++
		}); err != nil || got != n {
			t.Errorf("a message of %d items: %d, %v", n, got, err)
		}
	}
	if !reflect.DeepEqual(published, items) {
		t.Errorf("published %q\nwant %q", published, items)
	}
}

func TestAppendScript_idempotency(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	ch, ann := l.Seeded(t), chat.NewUserID()
	first := message(ch, ann, "hi")
	wantResults(t, mustCall(t, l, first), "ok 1")

	retry := first
	retry.ID, retry.SentAt = chat.NewEventID(), chat.At(time.Now().Add(time.Minute))
	wantResults(t, mustCall(t, l, retry), dup(l, first, 1))

	for what, change := range map[string]func(*frame.Event){
		"body":     func(e *frame.Event) { e.Body = "ho" },
		"reply_to": func(e *frame.Event) { e.ReplyTo = ref(chat.NewEventID()) },
		"kind":     func(e *frame.Event) { e.Type = event.Delete; e.MessageID = ref(chat.NewEventID()) },
		"emoji":    func(e *frame.Event) { e.Emoji = "x" },
		"remove":   func(e *frame.Event) { e.Remove = true },
		"target":   func(e *frame.Event) { e.MessageID = ref(chat.NewEventID()) },
	} {
		other := retry
		change(&other)
		if got := mustCall(t, l, other); got[0] != "conflict" {
			t.Errorf("a different %s with the same client id: %q", what, got)
		}
	}

	sender := first
	sender.SenderID = chat.NewUserID()
	channel := first
	channel.ChannelID = l.Seeded(t)
	wantResults(t, mustCall(t, l, sender), "ok 2")
	wantResults(t, mustCall(t, l, channel), "ok 1")

	// Within one call, one event is sent twice and another one three times, between other events.
	a, b := message(ch, ann, "a"), message(ch, ann, "b")
	again, changed := a, a
	again.ID, changed.ID, changed.Body = chat.NewEventID(), chat.NewEventID(), "other"
	wantResults(t, mustCall(t, l, a, again, b, changed, again), "ok 3", dup(l, a, 3), "ok 4", "conflict", dup(l, a, 3))
	if all := l.Entries(t, ch); len(all) != 4 || all[2].ID != a.ID || all[3].ID != b.ID {
		t.Errorf("%d entries, want 4", len(all))
	}
	if tail, err := l.Tail(t.Context(), ch, 50); err != nil || len(tail) != 4 {
		t.Errorf("the tail has %d items, %v; want 4", len(tail), err)
	}
}

func TestAppendScript_keepsTheRecordFor(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	ch := l.Seeded(t)
	for _, retention := range []time.Duration{0, time.Hour, 7 * 24 * time.Hour} {
		e := message(ch, chat.NewUserID(), "x")
		if _, err := call(t, l, eventlog.Head{}, Options{Retention: retention}, e); err != nil {
			t.Fatal(err)
		}
		want := retention
		if want == 0 {
			want = 10 * time.Minute
		}
		key := rediskey.Idempotency(l.Partition(ch.UUID), ch, e.SenderID, *e.ClientID)
		if ttl := rdb.PTTL(t.Context(), key).Val(); ttl > want || ttl < want-time.Minute {
			t.Errorf("retention %v: the record expires in %v", retention, ttl)
		}
	}
}

// A call that is refused as a whole does not change Redis.
func TestAppendScript_refusesAll(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	ch, none := l.Seeded(t), chat.NewChannelID()
	mustCall(t, l, message(ch, chat.NewUserID(), "x"), message(ch, chat.NewUserID(), "y"))
	heads, err := l.Heads(t.Context(), []chat.ChannelID{ch})
	if err != nil {
		t.Fatal(err)
	}
	epoch := heads[0].Epoch
	half := chat.NewChannelID()
	rdb.HSet(t.Context(), rediskey.Counter(l.Partition(half.UUID), half), "seq", 5) // no epoch
	before := l.Keys(t)
	bob := chat.NewUserID()
	for _, tt := range []struct {
		name  string
		ch    chat.ChannelID
		known eventlog.Head
		want  string
	}{
		{"no counter", none, eventlog.Head{}, "UNSEEDED"},
		{"no counter, though one is known", none, eventlog.Head{Seq: 4, Epoch: epoch}, "UNSEEDED"},
		{"half a counter", half, eventlog.Head{}, "UNSEEDED"},
		{"another epoch", ch, eventlog.Head{Seq: 2, Epoch: "1-other"}, "EPOCH 2 " + string(epoch)},
		{"another epoch, ahead", ch, eventlog.Head{Seq: 9, Epoch: "1-other"}, "EPOCH 2 " + string(epoch)},
		{"behind", ch, eventlog.Head{Seq: 3, Epoch: epoch}, "STALE 2 " + string(epoch)},
		{"behind, of any epoch", ch, eventlog.Head{Seq: 3}, "STALE 2 " + string(epoch)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			results, err := call(t, l, tt.known, Options{}, message(tt.ch, bob, "a"), membership(event.MemberLeft, tt.ch, bob), message(tt.ch, bob, "b"))
			if err == nil || results != nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("%q, %v; want %s", results, err, tt.want)
			}
			if after := l.Keys(t); !maps.Equal(after, before) {
				t.Errorf("Redis has changed:\n%v\n%v", slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)))
			}
		})
	}
	// If a call is not refused, its events are appended.
	for _, known := range []eventlog.Head{{Seq: 2, Epoch: epoch}, {Seq: 3, Epoch: epoch}, {}} {
		if _, err := call(t, l, known, Options{}, message(ch, bob, "a")); err != nil {
			t.Errorf("known %+v: %v", known, err)
		}
	}
}

func TestAppendScript_removalMarks(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	ch, other := l.Seeded(t), l.Seeded(t)
	ann, bob := chat.NewUserID(), chat.NewUserID()
	of := func(k event.Kind) frame.Event {
		e := message(ch, bob, "x")
		e.Type, e.MessageID, e.Emoji = k, ref(chat.NewEventID()), "x"
		return e
	}
	before := message(ch, bob, "before")
	late := message(ch, bob, "late")
	// Within one call, events after member_left are refused; events before it and events of other
	// users are not.
	wantResults(t, mustCall(t, l, before, membership(event.MemberLeft, ch, bob), late, message(ch, ann, "ann")),
		"ok 1", "ok 2", "forbidden", "ok 3")
	mark := rediskey.Removed(l.Partition(ch.UUID), ch, bob)
	if ttl := rdb.PTTL(t.Context(), mark).Val(); ttl > 120*time.Second || ttl < 100*time.Second {
		t.Errorf("the mark expires in %v, want 120 s", ttl)
	}
	// Later calls also refuse events from this user, for every kind of event by members, but only
	// in this channel.
	wantResults(t, mustCall(t, l, of(event.Message), of(event.Edit), of(event.Delete), of(event.Reaction), message(ch, ann, "ann")),
		"forbidden", "forbidden", "forbidden", "forbidden", "ok 4")
	wantResults(t, mustCall(t, l, message(other, bob, "elsewhere")), "ok 1")
	// A retry of an event that was appended in time still gets its ack; a refused event is refused
	// again.
	wantResults(t, mustCall(t, l, before, late), dup(l, before, 1), "forbidden")
	// member_joined allows events again, in the same call and in later ones.
	wantResults(t, mustCall(t, l, message(ch, bob, "early"), membership(event.MemberJoined, ch, bob), message(ch, bob, "back")),
		"forbidden", "ok 5", "ok 6")
	wantResults(t, mustCall(t, l, late), "ok 7")
	if n := rdb.Exists(t.Context(), mark).Val(); n != 0 {
		t.Error("the mark is still there")
	}
	// After several membership changes, the last one counts.
	wantResults(t, mustCall(t, l, membership(event.MemberLeft, ch, bob), membership(event.MemberJoined, ch, bob),
		membership(event.MemberLeft, ch, bob), message(ch, bob, "x")), "ok 8", "ok 9", "ok 10", "forbidden")
	if n := rdb.Exists(t.Context(), mark).Val(); n != 1 {
		t.Error("the mark is missing")
	}
	// The relay may append an old member_left again after the user has rejoined.
	left := membership(event.MemberLeft, ch, ann)
	mustCall(t, l, left, membership(event.MemberJoined, ch, ann))
	wantResults(t, mustCall(t, l, left, message(ch, ann, "here")), dup(l, left, 11), "ok 13")
}

// A tail expires only while everything in it is stored, so a new item must remove the expiry.
func TestAppendScript_persistsTheTail(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	ch := l.Seeded(t)
	tail := rediskey.Tail(l.Partition(ch.UUID), ch)
	e := message(ch, chat.NewUserID(), "x")
	mustCall(t, l, e)
	if ttl := rdb.PTTL(t.Context(), tail).Val(); ttl != -1 {
		t.Errorf("a new tail expires in %v", ttl)
	}
	rdb.PExpire(t.Context(), tail, time.Hour)
	mustCall(t, l, e) // a duplicate adds nothing to the tail
	if ttl := rdb.PTTL(t.Context(), tail).Val(); ttl <= 0 {
		t.Error("a duplicate has changed the tail")
	}
	mustCall(t, l, message(ch, chat.NewUserID(), "y"))
	if ttl := rdb.PTTL(t.Context(), tail).Val(); ttl != -1 {
		t.Errorf("the tail expires in %v", ttl)
	}
}

// The append succeeds, and is reported as successful, even if the tail cannot be written, because
// the tail can be rebuilt.
func TestAppendScript_badTail(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	ch := l.Seeded(t)
	p := l.Partition(ch.UUID)
	rdb.Set(t.Context(), rediskey.Tail(p, ch), "no list", 0)
	sub := rdb.SSubscribe(t.Context(), rediskey.Topic(p, ch))
	defer sub.Close()
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	e := message(ch, chat.NewUserID(), "x")
	wantResults(t, mustCall(t, l, e), "ok 1")
	wantResults(t, mustCall(t, l, e), dup(l, e, 1))
	if all := l.Entries(t, ch); len(all) != 1 || all[0].ID != e.ID {
		t.Errorf("%d entries", len(all))
	}
	if m, err := sub.ReceiveMessage(t.Context()); err != nil || !strings.Contains(m.Payload, e.ID.String()) {
		t.Errorf("published %v, %v", m, err)
	}
}

// Writes that may fail come first, so that a failure never leaves an append half done.
func TestAppendScript_writesNothingWhereItFails(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	ch, bob := l.Seeded(t), chat.NewUserID()
	p := l.Partition(ch.UUID)
	e := message(ch, bob, "x")
	for name, key := range map[string]string{
		"stream": rediskey.Stream(p), "record": rediskey.Idempotency(p, ch, bob, *e.ClientID),
	} {
		t.Run(name, func(t *testing.T) {
			rdb.RPush(t.Context(), key, "of another type")
			defer rdb.Del(t.Context(), key)
			before := l.Keys(t)
			_, err := call(t, l, eventlog.Head{}, Options{}, membership(event.MemberLeft, ch, chat.NewUserID()), e)
			if !redis.HasErrorPrefix(err, "WRONGTYPE") {
				t.Errorf("%v, want WRONGTYPE", err)
			}
			if after := l.Keys(t); !maps.Equal(after, before) {
				t.Errorf("Redis has changed:\n%v\n%v", before, after)
			}
		})
	}
	wantResults(t, mustCall(t, l, e), "ok 1")
}

// A full Redis refuses the first write, so the append is never half done.
func TestAppendScript_writesNothingIntoAFullRedis(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	rdb := l.Redis
	ch := l.Seeded(t)
	before := l.Keys(t)
	rdb.ConfigSet(t.Context(), "maxmemory", "1")
	_, err := call(t, l, eventlog.Head{}, Options{}, message(ch, chat.NewUserID(), "x"))
	if !redis.HasErrorPrefix(err, "OOM") {
		t.Errorf("%v, want OOM", err)
	}
	rdb.ConfigSet(t.Context(), "maxmemory", "0")
	if after := l.Keys(t); !maps.Equal(after, before) {
		t.Errorf("Redis has changed:\n%v\n%v", before, after)
	}
}

// A Cluster runs a script only if all its keys are declared and in one slot. The largest call, with
// maxPerCall events, must work there.
func TestAppendScript_fullCallOnCluster(t *testing.T) {
	t.Parallel()
	l, _ := logtest.New(t)
	ch := l.Seeded(t)
	var events []frame.Event
	for i := range maxPerCall {
		events = append(events, message(ch, chat.NewUserID(), strconv.Itoa(i)))
	}
	results := mustCall(t, l, events...)
	if last := results[maxPerCall-1]; last != fmt.Sprintf("ok %d", maxPerCall) {
		t.Errorf("the last is %q", last)
	}
	if tail, err := l.Tail(t.Context(), ch, 1000); err != nil || len(tail) != maxPerCall {
		t.Errorf("the tail has %d items, %v", len(tail), err)
	}
}
