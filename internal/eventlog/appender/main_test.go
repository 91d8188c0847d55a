package appender

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testkit.Redialing()) }

var quiet = slog.New(slog.DiscardHandler)

func ref[T any](v T) *T { return &v }

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

// bodyOf returns the body in an entry's frame.
func bodyOf(t testing.TB, payload []byte) string {
	t.Helper()
	var f struct{ Body string }
	if err := json.Unmarshal(payload, &f); err != nil {
		t.Fatal(err)
	}
	return f.Body
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
