package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
	syncservice "parley.chat/sync-service"
	"parley.chat/sync-service/internal/deadletter"
	"parley.chat/sync-service/internal/replay"
	"parley.chat/sync-service/internal/streamtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const partitions = streamtest.Partitions

// world is a deployment with a running sync-service and without gateways.
type world struct {
	*streamtest.World
	ann  chat.UserID
	stop func()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{World: streamtest.Open(t), ann: chat.NewUserID()}
}

// serve starts the service. The field stop stops it.
func (w *world) serve() {
	w.T.Helper()
	var cfg syncservice.Config
	w.Configure(&cfg)
	cfg.Addr = ""
	s, err := syncservice.New(cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		w.T.Fatal(err)
	}
	w.stop = streamtest.Serve(w.T, s)
}

// cli runs a command and returns its output and exit code.
func (w *world) cli(args ...string) (stdout string, code int) {
	w.T.Helper()
	ctx, cancel := context.WithTimeout(w.T.Context(), testkit.Timeout)
	defer cancel()
	return w.cliUntil(ctx, &bytes.Buffer{}, args...)
}

type printed interface {
	Write(p []byte) (int, error)
	String() string
}

func (w *world) cliUntil(ctx context.Context, out printed, args ...string) (stdout string, code int) {
	var stderr bytes.Buffer
	err := run(ctx, args, w.Getenv, out, &stderr)
	if err != nil {
		code = 1
		if e, ok := errors.AsType[interface {
			error
			ExitCode() int
		}](err); ok {
			code = e.ExitCode()
		}
		return out.String() + stderr.String() + err.Error(), code
	}
	return out.String(), 0
}

// must runs a command, which must exit with the given code, and decodes its JSON output into out.
func (w *world) must(code int, out any, args ...string) {
	w.T.Helper()
	text, got := w.cli(append(args, "-o", "json")...)
	if got != code {
		w.T.Fatalf("%v: exit code %d, want %d:\n%s", args, got, code, text)
	}
	if out != nil {
		if err := json.NewDecoder(strings.NewReader(text)).Decode(out); err != nil {
			w.T.Fatalf("%v: %v in\n%s", args, err, text)
		}
	}
}

func p(c chat.ChannelID) int { return streamtest.Partition(c) }

// say appends messages to a channel and raises its counter, as the append script does.
func (w *world) say(c chat.ChannelID, n int, change func(*event.Entry)) {
	w.T.Helper()
	for range n {
		seq := w.RDB.HIncrBy(w.T.Context(), rediskey.Counter(p(c), c), "seq", 1).Val()
		w.RDB.HSetNX(w.T.Context(), rediskey.Counter(p(c), c), "epoch", "1-a")
		f := streamtest.Message(c, seq, fmt.Sprint("message ", seq))
		f.SenderID = w.ann
		e := streamtest.Entry(w.T, f)
		if change != nil {
			change(&e)
		}
		w.Append(e)
	}
}

// stored waits until a channel has want rows.
func (w *world) stored(c chat.ChannelID, want int) {
	w.T.Helper()
	testkit.Until(w.T, testkit.Timeout, func() error {
		if n := w.Count(`select count(*) from messages where channel_id = $1`, c.UUID); n != want {
			return fmt.Errorf("%d rows of %d", n, want)
		}
		return nil
	})
}

func (w *world) kinds(c chat.ChannelID) (kinds []string) {
	w.T.Helper()
	if err := w.Pool.QueryRow(w.T.Context(), `select array_agg(kind order by seq) from messages where channel_id = $1`, c.UUID).Scan(&kinds); err != nil {
		w.T.Fatal(err)
	}
	return kinds
}

type problems struct {
	Rows, Entries, Dead, Repaired int64
	Problems                      []struct {
		Kind     string
		Channel  chat.ChannelID `json:"channel_id"`
		From, To int64
	}
}

func (r problems) kinds() []string {
	var list []string
	for _, p := range r.Problems {
		list = append(list, fmt.Sprintf("%s %d-%d", p.Kind, p.From, p.To))
	}
	return list
}

func TestVerify_findsAndRepairs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, other := chat.NewChannelID(), chat.NewChannelID()
	w.say(c, 100, nil)
	w.say(other, 10, nil)

	// No service is storing entries, so verify cannot check anything.
	if text, code := w.cli("verify", "--wait", "300ms"); code != 2 || !strings.Contains(text, "could not check") {
		t.Fatalf("without a service: exit code %d, want 2:\n%s", code, text)
	}
	w.serve()
	w.stored(c, 100)
	var r problems
	w.must(0, &r, "verify")
	if r.Rows != 110 || r.Entries != 110 || len(r.Problems) != 0 {
		t.Errorf("verify: %+v; want 110 rows and entries", r)
	}

	w.Exec(`delete from messages where channel_id = $1 and seq in (1, 2, 3, 50, 100)`, c.UUID)
	w.Exec(`update messages set id = gen_random_uuid() where channel_id = $1 and seq = 7`, other.UUID)
	w.Exec(`update messages set kind = 'failed' where channel_id = $1 and seq = 9`, other.UUID)
	w.must(1, &r, "verify")
	want := []string{
		"hole 1-3", "hole 50-50", "hole 100-100", "missing 1-1", "missing 2-2", "missing 3-3", "missing 50-50", "missing 100-100",
		"conflict 7-7", "no_dead_letter 9-9",
	}
	got := r.kinds()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("verify finds %q, want %q", got, want)
	}
	if text, code := w.cli("verify"); code != 1 || !strings.Contains(text, "50") || !strings.Contains(text, "conflict") {
		t.Errorf("the table, exit code %d:\n%s", code, text)
	}
	// The repair restores the events that the stream contains; the operator has to resolve the
	// conflict.
	w.must(1, &r, "verify", "--repair")
	if got := r.kinds(); !slices.Equal(got, []string{"conflict 7-7"}) || r.Repaired != 6 {
		t.Errorf("after the repair: %q, %d repaired; want the conflict, 6", got, r.Repaired)
	}
}

func TestVerify_acceptsDeadLettersAndFindsLostOnes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := chat.NewChannelID()
	w.say(c, 5, nil)
	w.say(c, 1, func(e *event.Entry) { e.Payload = []byte("{") })
	w.say(c, 5, nil)
	w.serve()
	w.stored(c, 11)
	var r problems
	w.must(0, &r, "verify")
	if r.Dead != 1 {
		t.Errorf("verify: %+v, want a dead letter", r)
	}
	// A dead letter that was deleted by hand is reported.
	w.RDB.Del(t.Context(), rediskey.Dead(p(c)))
	w.must(1, &r, "verify")
	if got := r.kinds(); !slices.Equal(got, []string{"no_dead_letter 6-6"}) {
		t.Errorf("verify finds %q", got)
	}
	// Create two events with the same client id, and a counter that has lost writes.
	twice := chat.NewClientID()
	w.say(c, 2, func(e *event.Entry) { e.ClientID = twice })
	w.stored(c, 13)
	w.RDB.HSet(t.Context(), rediskey.Counter(p(c), c), "seq", 3)
	w.must(1, &r, "verify")
	if got := r.kinds(); !slices.Contains(got, "counter_behind 4-13") || !slices.Contains(got, "duplicate 13-13") {
		t.Errorf("verify finds %q", got)
	}
	var raised struct {
		Raised []struct {
			From, To int64
			Gap      bool
		}
	}
	for _, args := range [][]string{{"rebuild-counters", "--dry-run"}, {"rebuild-counters"}} {
		w.must(0, &raised, args...)
		if len(raised.Raised) != 1 || raised.Raised[0].From != 3 || raised.Raised[0].To != 14 || !raised.Raised[0].Gap {
			t.Errorf("%v: %+v; want from 3 to 14, the gap event", args, raised)
		}
	}
	counter := w.RDB.HGetAll(t.Context(), rediskey.Counter(p(c), c)).Val()
	if counter["seq"] != "14" || !event.Epoch(counter["epoch"]).NewerThan("1-a") {
		t.Errorf("the counter is %v; want 14 and a newer epoch", counter)
	}
	w.stored(c, 14)
	if kinds := w.kinds(c); kinds[13] != "gap" {
		t.Errorf("the rows are %v; want a gap event at the end", kinds)
	}
	w.must(1, &r, "verify")
	if got := r.kinds(); !slices.Equal(got, []string{"no_dead_letter 6-6", "duplicate 13-13"}) {
		t.Errorf("after the rebuild verify finds %q", got)
	}

	w.RDB.HSet(t.Context(), rediskey.Counter(p(c), c), "seq", 99)
	w.must(0, &raised, "rebuild-counters")
	if len(raised.Raised) != 0 || w.RDB.HGet(t.Context(), rediskey.Counter(p(c), c), "seq").Val() != "99" {
		t.Errorf("a counter was lowered: %+v", raised)
	}
	w.RDB.Del(t.Context(), rediskey.Counter(p(c), c))
	w.must(0, &raised, "rebuild-counters")
	if len(raised.Raised) != 1 || raised.Raised[0].From != -1 || raised.Raised[0].To != 14 || raised.Raised[0].Gap {
		t.Errorf("a missing counter: %+v; want it seeded at 14, without a gap", raised)
	}
}

// TestVerify_live checks that an audit reports no problems while events are continuously appended.
func TestVerify_live(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve()
	c := chat.NewChannelID()
	w.say(c, 1, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int64)
	go func() {
		seq := int64(1)
		for ctx.Err() == nil {
			seq++
			e := streamtest.Entry(t, streamtest.Message(c, seq, "x"))
			// Write both in one step, as the append script does.
			if _, err := w.RDB.TxPipelined(t.Context(), func(pipe redis.Pipeliner) error {
				pipe.XAdd(ctx, &redis.XAddArgs{Stream: rediskey.Stream(p(c)), Values: e.Fields()})
				pipe.HSet(ctx, rediskey.Counter(p(c), c), "seq", seq)
				return nil
			}); err != nil {
				t.Error(err)
				break
			}
		}
		ended <- seq
	}()
	var r problems
	var last int64
	for range 5 {
		w.must(0, &r, "verify")
		if r.Rows <= last {
			t.Errorf("%d rows, no more than before", r.Rows)
		}
		last = r.Rows
	}
	cancel()
	if n := <-ended; n <= last {
		t.Errorf("%d events, %d were audited: none were appended in the meantime", n, last)
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := chat.NewChannelID()
	w.say(c, 1500, nil)
	w.say(c, 1, func(e *event.Entry) { e.Payload = []byte("{") })
	w.serve()
	w.stored(c, 1501)
	before := w.kinds(c)
	var group []redis.XInfoGroup
	testkit.Until(t, testkit.Timeout, func() error { // a row exists before its entry is acknowledged
		if group = w.RDB.XInfoGroups(t.Context(), rediskey.Stream(p(c))).Val(); len(group) != 1 || group[0].Pending > 0 {
			return fmt.Errorf("the group: %+v", group)
		}
		return nil
	})
	w.Exec(`delete from messages where seq > 100`) // like a restore of an older backup
	type report struct {
		Read, Inserted, Stored int64
		UnknownUsers           []replay.UnknownUser    `json:"unknown_users"`
		UnknownChannels        []replay.UnknownChannel `json:"unknown_channels"`
	}
	var r report
	w.must(0, &r, "replay", "--since", "1h", "--dry-run")
	if r.Read != 1501 || r.Inserted != 1401 || r.Stored != 100 {
		t.Errorf("dry run: %+v; want 1501, 1401, 100", r)
	}
	if n := len(w.kinds(c)); n != 100 {
		t.Fatalf("the dry run has left %d rows", n)
	}
	// Interrupt the replay after the first page is stored, while it waits because of --rate. Then
	// resume it from there.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type ended struct {
		text string
		code int
	}
	done := make(chan ended, 1)
	go func() {
		text, code := w.cliUntil(ctx, &bytes.Buffer{}, "replay", "--all", "--rate", "100")
		done <- ended{text, code}
	}()
	testkit.Until(t, testkit.Timeout, func() error {
		if n := len(w.kinds(c)); n <= 100 {
			return fmt.Errorf("%d rows", n)
		}
		return nil
	})
	cancel()
	end := <-done
	_, resume, found := strings.Cut(end.text, "--resume ")
	if end.code != 3 || !found {
		t.Fatalf("interrupted: exit code %d:\n%s", end.code, end.text)
	}
	n := len(w.kinds(c))
	w.must(0, &r, "replay", "--all", "--resume", resume)
	// If the page was committed but the reply was lost, it is read again.
	if n != 1000 || r.Read != 501 && r.Read != 1501 || len(w.kinds(c)) != 1501 {
		t.Errorf("%d rows after the interruption; then read %d, %d rows; want 1000, 501, 1501", n, r.Read, len(w.kinds(c)))
	}
	if got := w.kinds(c); !slices.Equal(got, before) {
		t.Error("the rows differ from those before the restore")
	}
	if len(r.UnknownUsers) != 1 || r.UnknownUsers[0].ID != w.ann || len(r.UnknownChannels) != 1 || r.UnknownChannels[0].ID != c || r.UnknownChannels[0].Events == 0 {
		t.Errorf("unknown: %v, %v; want ann and the channel", r.UnknownUsers, r.UnknownChannels)
	}
	for args, want := range map[string]int64{
		"--all": 1501, "--all --channel " + chat.NewChannelID().String(): 0, "--all --channel " + c.String(): 1501,
		"--since 0s": 0, "--all --until 1h": 0, fmt.Sprint("--all --partition ", (p(c)+1)%partitions): 0,
		"--from-id 1 --to-id 2": 0,
	} {
		w.must(0, &r, append([]string{"replay"}, strings.Fields(args)...)...)
		if r.Read != want || r.Inserted != 0 {
			t.Errorf("replay %s: %+v; want %d read, none inserted", args, r, want)
		}
	}
	if now := w.RDB.XInfoGroups(t.Context(), rediskey.Stream(p(c))).Val(); fmt.Sprint(now) != fmt.Sprint(group) {
		t.Errorf("the consumer group has moved: %+v, was %+v", now, group)
	}
	w.must(0, nil, "verify")
	for _, bad := range []string{"replay", "replay --all --since 1h", "replay --since yesterday", "replay --all --partition 99", "replay --all --resume x"} {
		if _, code := w.cli(strings.Fields(bad)...); code != 2 {
			t.Errorf("%s: exit code %d, want 2", bad, code)
		}
	}
}

func TestDead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := chat.NewChannelID()
	w.say(c, 3, nil)
	w.serve()
	w.stored(c, 3)
	// Add a constraint that PostgreSQL enforces only for a while.
	w.Exec(`alter table messages add constraint moody check (body <> 'message 5' and body <> 'message 6')`)
	w.say(c, 3, nil)
	w.say(c, 1, func(e *event.Entry) { e.Payload = []byte("{") })
	w.stored(c, 7)
	type letters struct {
		Letters []struct {
			Letter, Reason, Err string
			Seq                 int64
			Done                bool
			Fields              map[string]any
		}
	}
	var list letters
	testkit.Until(t, testkit.Timeout, func() error {
		if w.must(0, &list, "dead", "list"); len(list.Letters) != 3 {
			return fmt.Errorf("%d letters", len(list.Letters))
		}
		return nil
	})
	w.must(0, &list, "dead", "list", "--reason", "SQLSTATE 23514")
	if len(list.Letters) != 2 || list.Letters[0].Seq != 5 || list.Letters[1].Seq != 6 {
		t.Fatalf("dead list: %+v; want those of seq 5 and 6", list)
	}
	five := list.Letters[0].Letter
	w.must(0, &list, "dead", "show", five)
	if len(list.Letters) != 1 || !strings.Contains(fmt.Sprint(list.Letters[0].Fields["payload"]), "message 5") {
		t.Errorf("dead show: %+v", list)
	}
	w.must(1, &list, "dead", "retry", five) // the constraint still exists
	if len(list.Letters) != 1 || list.Letters[0].Done || !strings.Contains(list.Letters[0].Err, "moody") {
		t.Errorf("dead retry: %+v", list)
	}
	w.Exec(`alter table messages drop constraint moody`)
	w.must(0, &list, "dead", "retry", five)
	w.must(0, &list, "dead", "drop", "--channel", c.String(), "--reason", "decode")
	if got, want := w.kinds(c), []string{"message", "message", "message", "message", "message", "failed", "failed"}; !slices.Equal(got, want) {
		t.Errorf("the log has %q, want %q", got, want)
	}
	w.must(0, nil, "verify")
	w.must(0, &list, "dead", "drop", "--all")
	w.must(0, nil, "verify")
	w.must(0, nil, "replay", "--all")
	if got := w.kinds(c); got[5] != "failed" || got[6] != "failed" {
		t.Errorf("after a replay the log has %q: what was dropped is back", got)
	}
	for _, bad := range [][]string{{"dead", "retry"}, {"dead", "drop"}, {"dead"}, {"dead", "list", "--since", "x"}} {
		if _, code := w.cli(bad...); code != 2 {
			t.Errorf("%v: exit code %d, want 2", bad, code)
		}
	}
	if text, code := w.cli("dead", "list"); code != 0 || strings.Count(text, "\n") != 1 {
		t.Errorf("dead list prints, code %d\n%s", code, text)
	}
}

// TestDead_packed checks an entry with more fields than a Redis command can take. Its dead letter
// must keep all fields, and it must be possible to store it.
func TestDead_packed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	c := chat.NewChannelID()
	w.say(c, 1, nil)
	stream := rediskey.Stream(p(c))
	entry := w.RDB.XRange(ctx, stream, "-", "+").Val()[0]
	for i := range 2100 {
		entry.Values[fmt.Sprint("more", i)] = strings.Repeat("x", i%300)
	}
	id := w.Add(stream, entry.Values)
	w.CreateGroup(stream)
	w.Deliver(stream, "x", 0)
	if moved, err := deadletter.Move(ctx, w.RDB, deadletter.Events, p(c), id, "for a test"); !moved || err != nil {
		t.Fatal(moved, err)
	}
	letters, err := deadletter.List(ctx, w.RDB, partitions, deadletter.Filter{Channel: &c})
	if err != nil || len(letters) != 1 || len(letters[0].Fields) != 2109 || letters[0].Fields["more299"] != entry.Values["more299"] {
		t.Fatalf("%d letters, %v; want one with 2109 fields", len(letters), err)
	}
	w.must(0, nil, "dead", "retry", "--all")
	w.stored(c, 1)
	if kinds := w.kinds(c); kinds[0] != "message" {
		t.Errorf("the rows are %v", kinds)
	}
}

func TestBacklogAndTrim(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, other := chat.NewChannelID(), chat.NewChannelID()
	w.say(c, 20, nil)
	w.say(other, 3, nil)
	stream := rediskey.Stream(p(c))
	w.CreateGroup(stream)
	w.Deliver(stream, "slow", 5)
	var r struct {
		Pending, Undelivered int64
		Channels             []struct {
			Channel              string `json:"channel_id"`
			Pending, Undelivered int64
		}
		Ages []struct {
			Below   string
			Entries int64
		}
	}
	w.must(0, &r, "backlog")
	var aged int64
	for _, b := range r.Ages {
		aged += b.Entries
	}
	if r.Pending != 5 || r.Undelivered != 18 || aged != 23 || len(r.Channels) != 2 || r.Channels[0].Channel != c.String() || r.Channels[0].Pending != 5 {
		t.Errorf("backlog: %+v", r)
	}
	w.serve()
	w.stored(c, 20)
	w.stored(other, 3)
	w.stop() // this raises the watermarks
	w.Env["STREAM_RETENTION"] = "1ns"
	var trims struct{ Partitions []struct{ Entries int64 } }
	w.must(0, &trims, "trim", "--dry-run")
	var may int64
	for _, x := range trims.Partitions {
		may += x.Entries
	}
	if left := w.RDB.XLen(t.Context(), stream).Val(); may < 20 || left < 20 {
		t.Errorf("trim --dry-run: %d would be removed, %d remain; want all except the newest of each stream, and all", may, left)
	}
	w.must(0, &trims, "trim")
}

// buffer is a bytes.Buffer that may be read and written at the same time.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) { b.mu.Lock(); defer b.mu.Unlock(); return b.b.Write(p) }

func (b *buffer) String() string { b.mu.Lock(); defer b.mu.Unlock(); return b.b.String() }

func TestTail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, other := chat.NewChannelID(), chat.NewChannelID()
	w.say(c, 2, nil)
	var out buffer
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int)
	go func() {
		_, code := w.cliUntil(ctx, &out, "tail", "--channel", c.String(), "--since", "1h", "--kind", "message", "--bodies", "-o", "json")
		done <- code
	}()
	w.say(other, 1, nil)
	w.say(c, 1, nil)
	testkit.Until(t, testkit.Timeout, func() error {
		if n := strings.Count(out.String(), "\n"); n != 3 {
			return fmt.Errorf("%d lines", n)
		}
		return nil
	})
	cancel()
	if code := <-done; code != 0 || !strings.Contains(out.String(), "message 3") || strings.Contains(out.String(), other.String()) {
		t.Errorf("tail: exit code %d:\n%s", code, out.String())
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	w := &world{World: &streamtest.World{Streams: &streamtest.Streams{T: t}}}
	for _, command := range []string{
		"status", "backlog", "replay", "verify", "dead list", "dead show", "dead retry", "dead drop", "tail", "trim", "repair", "rebuild-counters",
	} {
		text, code := w.cli(append(strings.Fields(command), "--help")...)
		for _, want := range []string{"Examples:", "sync-service " + command, "Exit codes:", "REDIS_TRIM_AT", "--output"} {
			if code != 0 || !strings.Contains(text, want) {
				t.Errorf("%s --help, code %d, lacks %q", command, code, want)
			}
		}
	}
	if _, code := w.cli("nonsense"); code != 2 {
		t.Errorf("nonsense: exit code %d, want 2", code)
	}
}

// TestCommandLine checks that an option that cannot match anything causes an error that names it,
// rather than an empty result or an endless wait.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, bad := range []struct {
		args  string
		names string
		code  int
	}{
		{"dead show x/y", "x/y", 2},
		{"dead show 1", "1", 2},
		{"dead drop nonsense", "nonsense", 2},
		{"dead retry 99/1769828400000-0", "partition 99", 2},
		{"dead show 1/1769828400000-0", "1/1769828400000-0", 1},
		{"dead drop 1/1769828400000-0", "1/1769828400000-0", 1},
		{"dead list --since 1h --until 2h", "--until", 2},
		{"tail --kind mesage", "mesage", 2},
		{"tail --partition 99", "partition 99", 2},
		{"replay --since 1h --until 2h", "--until", 2},
		{"replay --from-id 20-0 --to-id 10-0", "10-0", 2},
		{"replay --all --rate -1", "-1", 2},
		{"backlog --limit -1", "-1", 2},
		{"verify --wait -1s", "-1s", 2},
	} {
		text, code := w.cli(strings.Fields(bad.args)...)
		if code != bad.code || !strings.Contains(text, bad.names) {
			t.Errorf("%s: exit code %d, want %d with %q:\n%s", bad.args, code, bad.code, bad.names, text)
		}
	}
}

// TestMoment checks that a time without a zone is read as UTC, regardless of the operator's time
// zone.
func TestMoment(t *testing.T) {
	local := time.Local
	time.Local = time.FixedZone("the operator's", 5*60*60)
	t.Cleanup(func() { time.Local = local })
	var m moment
	if err := m.UnmarshalText([]byte("2026-01-01 10:00")); err != nil || !m.Equal(time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)) {
		t.Errorf("2026-01-01 10:00 is %v, %v", m.Time, err)
	}
	if err := m.UnmarshalText([]byte("2026-01-01T10:00:00+02:00")); err != nil || !m.Equal(time.Date(2026, 1, 1, 8, 0, 0, 0, time.UTC)) {
		t.Errorf("2026-01-01T10:00:00+02:00 is %v, %v", m.Time, err)
	}
}

func TestTools_otherNumberOfPartitions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.RDB.Set(t.Context(), rediskey.Partitions, 16, 0)
	if text, code := w.cli("backlog"); code != 1 || !strings.Contains(text, "STREAM_PARTITIONS") {
		t.Errorf("exit code %d:\n%s", code, text)
	}
	if _, code := w.cli("verify"); code != 2 {
		t.Errorf("verify: exit code %d, want 2", code)
	}
}

func TestBarLine(t *testing.T) {
	if got, want := barLine("entries", 500, 0.5, 10*time.Second), "[===============               ]  50% entries 500, 50/s, 10s left"; got != want {
		t.Errorf("the bar is %q, want %q", got, want)
	}
	var out bytes.Buffer
	b := newProgressBar(&out) // not a terminal
	b.set("entries", 1, 0.5)
	b.end()
	if out.Len() != 0 {
		t.Errorf("without a terminal it prints %q", out.String())
	}
}
