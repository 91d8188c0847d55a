package logconn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/platform/redisclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testkit.Redialing()) }

// topic is what the Listener in these tests subscribes to.
const topic = "{0}:x"

// listener forwards each push to a channel, as text.
type listener chan string

func (l listener) Topics() []string                { return []string{topic} }
func (l listener) Changes() (join, leave []string) { return nil, nil }
func (l listener) Flush()                          {}

func (l listener) Pushed(fields [][]byte) (answered bool, err error) {
	l <- fmt.Sprintf("%s %s", fields[0], fields[2])
	return string(fields[0]) == "ssubscribe", nil
}

func (l listener) want(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-l:
		if got != want {
			t.Fatalf("pushed %q, want %q", got, want)
		}
	case <-time.After(testkit.Timeout):
		t.Fatalf("nothing was pushed, want %q", want)
	}
}

// warnings is a log handler that forwards warnings.
type warnings struct{ seen chan string }

func (w warnings) Enabled(context.Context, slog.Level) bool { return true }
func (w warnings) WithAttrs([]slog.Attr) slog.Handler       { return w }
func (w warnings) WithGroup(string) slog.Handler            { return w }
func (w warnings) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		select {
		case w.seen <- r.Message:
		default:
		}
	}
	return nil
}

// start runs a connection to a server until the test ends. It pings after the first duration of
// silence and is closed after the second.
func start(t *testing.T, s *redistest.Server, ping, silence time.Duration) (listener, warnings) {
	t.Helper()
	rdb, err := redisclient.Open(s.URL(), redisclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, w := make(listener, 100), warnings{make(chan string, 10)}
	conns := New(rdb, 4, slog.New(w))
	k := conns.All()[0]
	k.ping, k.silence = ping, silence
	k.SetListener(l)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- conns.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		_ = rdb.Close()
	})
	l.want(t, "ssubscribe 1")
	return l, w
}

func publish(t *testing.T, rdb *redis.Client, payload string) {
	t.Helper()
	if err := rdb.SPublish(t.Context(), topic, payload).Err(); err != nil {
		t.Fatal(err)
	}
}

// There is one connection to a single server, and one per partition to a Cluster.
func TestNew(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		url  string
		want int
	}{{"redis://127.0.0.1:1", 1}, {"redis://127.0.0.1:1,redis://127.0.0.1:2", 16}} {
		rdb, err := redisclient.Open(tt.url, redisclient.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer rdb.Close()
		conns := New(rdb, 16, slog.New(slog.DiscardHandler))
		if n := len(conns.All()); n != tt.want {
			t.Errorf("%s: %d connections, want %d", tt.url, n, tt.want)
		}
		for p := range 16 {
			if i := conns.Of(p); i != p%tt.want {
				t.Errorf("%s: partition %d is served by connection %d", tt.url, p, i)
			}
		}
	}
}

// A silent connection is closed, because a half-open one never fails by itself.
func TestConn_silent(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t)
	l, w := start(t, s, 20*time.Millisecond, 200*time.Millisecond)
	s.Pause(t)
	select {
	case <-w.seen:
	case <-time.After(testkit.Timeout):
		t.Error("the connection was not closed")
	}
	s.Resume(t)
	l.want(t, "ssubscribe 1")
	testkit.Until(t, testkit.Timeout, func() error {
		publish(t, s.Client(t), "x")
		for {
			select {
			case got := <-l:
				if got == "smessage x" {
					return nil
				}
			default:
				return errors.New("not received yet")
			}
		}
	})
}

// A connection that is merely quiet is kept open, because it answers pings.
func TestConn_quiet(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t)
	const silence = time.Second
	l, w := start(t, s, 50*time.Millisecond, silence)
	begun, rdb := time.Now(), s.Client(t)
	testkit.Until(t, testkit.Timeout, func() error {
		info, err := rdb.Info(t.Context(), "commandstats").Result()
		if err != nil {
			return err
		}
		var pings int
		if _, rest, ok := strings.Cut(info, "cmdstat_ping:calls="); ok {
			if _, err := fmt.Sscanf(rest, "%d", &pings); err != nil {
				return err
			}
		}
		if pings < 5 || time.Since(begun) < 2*silence {
			return fmt.Errorf("%d pings so far", pings)
		}
		return nil
	})
	publish(t, rdb, "x")
	l.want(t, "smessage x") // not subscribed a second time before this
	select {
	case m := <-w.seen:
		t.Errorf("warned: %s", m)
	default:
	}
}
