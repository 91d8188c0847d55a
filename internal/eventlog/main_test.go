package eventlog

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/platform/redisclient"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testkit.Redialing()) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func ref[T any](v T) *T { return &v }

// open returns a client configured like that of ws-server's appender.
func open(t testing.TB, url string) redis.UniversalClient {
	t.Helper()
	rdb, err := redisclient.Open(url, redisclient.Options{NoRetry: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// newLog returns the log of a server that only this test uses.
func newLog(t testing.TB) (*Log, redis.UniversalClient, *redistest.Server) {
	t.Helper()
	s := redistest.NewServer(t)
	rdb := open(t, s.URL())
	return New(rdb, 4), rdb, s
}

// empty is the Floor of a PostgreSQL without rows.
func empty(context.Context, chat.ChannelID) (int64, error) { return 0, nil }

// seeded returns a channel with a counter.
func seeded(t testing.TB, l *Log) chat.ChannelID {
	t.Helper()
	ch := chat.NewChannelID()
	if _, err := l.EnsureHead(t.Context(), ch, empty); err != nil {
		t.Fatal(err)
	}
	return ch
}

// message returns a message of sender with a new client id.
func message(ch chat.ChannelID, sender chat.UserID, body string) frame.Event {
	return frame.Event{
		Type: event.Message, ChannelID: ch, ID: chat.NewEventID(), ClientID: ref(chat.NewClientID()), SenderID: sender,
		SenderName: "Ann", Body: body, SentAt: chat.Now(),
	}
}

// membership returns a member_joined or member_left event for user.
func membership(kind event.Kind, ch chat.ChannelID, user chat.UserID) frame.Event {
	id := chat.NewEventID()
	return frame.Event{
		Type: kind, ChannelID: ch, ID: id, ClientID: &chat.ClientID{UUID: id.UUID}, SenderID: chat.NewUserID(),
		UserID: &user, Username: "bob", SentAt: chat.Now(),
	}
}

// run runs a component until the test ends. stop may be called before that.
func run(t testing.TB, component func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- component(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(testkit.Timeout):
			t.Error("Run did not return")
		}
	})
	t.Cleanup(stop)
	return stop
}

// startAppender runs an appender until the test ends. stop may be called before that.
func startAppender(t testing.TB, a *Appender) (stop func()) {
	t.Helper()
	return run(t, a.Run)
}

// entries returns the channel's entries in the stream of its partition.
func entries(t testing.TB, l *Log, ch chat.ChannelID) []event.Entry {
	t.Helper()
	raw, err := l.rdb.XRange(context.Background(), rediskey.Stream(l.Partition(ch.UUID)), "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	var all []event.Entry
	for _, m := range raw {
		e, err := event.DecodeEntry(m.Values)
		if err != nil {
			t.Fatalf("entry %s: %v", m.ID, err)
		}
		if e.Channel == ch {
			all = append(all, e)
		}
	}
	return all
}

// bodyOf returns the body in an entry's frame.
func bodyOf(t testing.TB, payload []byte) string {
	t.Helper()
	var f struct{ Body string }
	if err := json.Unmarshal(payload, &f); err != nil {
		t.Fatal(err)
	}
	return f.Body
}

// keysOf returns all keys of the server with their dumped values, to check that nothing was
// written.
func keysOf(t testing.TB, rdb redis.UniversalClient) map[string]string {
	t.Helper()
	ctx := context.Background()
	all := make(map[string]string)
	keys, err := rdb.Keys(ctx, "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		v, err := rdb.Dump(ctx, k).Result()
		if err != nil {
			t.Fatal(err)
		}
		ttl, err := rdb.PTTL(ctx, k).Result()
		if err != nil {
			t.Fatal(err)
		}
		all[k] = fmt.Sprintf("%x ttl %v", v, ttl > 0)
	}
	return all
}

// calls returns how often Redis has run a command.
func calls(t testing.TB, rdb redis.UniversalClient, command string) int {
	t.Helper()
	info, err := rdb.Info(context.Background(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(info) {
		if rest, ok := strings.CutPrefix(line, "cmdstat_"+command+":calls="); ok {
			var n int
			if _, err := fmt.Sscanf(rest, "%d", &n); err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	return 0
}
