package gateway

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/testkit"
	"parley.chat/internal/testkit/redistest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/ws-server/internal/store"
)

// cursorsOn returns cursors on a Redis of the test's own, in which a channel has 100 events and a member
// whom Redis holds.
func cursorsOn(t *testing.T) (*cursors, store.MemberKey) {
	t.Helper()
	log := eventlog.New(redistest.NewServer(t).Client(t), 4)
	who := store.MemberKey{Channel: chat.NewChannelID(), User: chat.NewUserID()}
	floor := func(context.Context, chat.ChannelID) (int64, error) { return 100, nil }
	if _, err := log.EnsureHead(t.Context(), who.Channel, floor); err != nil {
		t.Fatal(err)
	}
	first := eventlog.CursorMove{Channel: who.Channel, User: who.User, Cursor: eventlog.Cursor{Delivered: 1}}
	if _, err := log.MoveCursors(t.Context(), []eventlog.CursorMove{first}); err != nil {
		t.Fatal(err)
	}
	return &cursors{
		log: log, refuses: func(int) bool { return false }, dropped: func() { t.Error("dropped") },
		moves: prometheus.NewCounter(prometheus.CounterOpts{Name: "moves"}), failed: func(err error) { t.Error(err) },
		wake: make(chan struct{}, 1), states: make(map[store.MemberKey]*cursorState),
	}, who
}

func runCursors(t *testing.T, c *cursors) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); c.run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

func awaitAt(t *testing.T, c *cursors, who store.MemberKey, want eventlog.Cursor) {
	t.Helper()
	testkit.Until(t, testkit.Timeout, func() error {
		at, err := c.log.Cursors(context.Background(), who.Channel, who.User)
		if err == nil && at[who.User] != want {
			err = fmt.Errorf("at %+v, want %+v", at[who.User], want)
		}
		return err
	})
}

// While the log takes nothing more, moves wait, merged.
func TestCursors_waitWhileTheLogRefuses(t *testing.T) {
	c, who := cursorsOn(t)
	var refused atomic.Int32
	var open atomic.Bool
	c.refuses = func(int) bool { refused.Add(1); return !open.Load() }
	runCursors(t, c)
	c.ask(who, eventlog.Cursor{Delivered: 7})
	testkit.Until(t, testkit.Timeout, func() error {
		if refused.Load() < 2 {
			return fmt.Errorf("refused %d times", refused.Load())
		}
		return nil
	})
	awaitAt(t, c, who, eventlog.Cursor{Delivered: 1})
	c.ask(who, eventlog.Cursor{Read: 5})
	open.Store(true)
	awaitAt(t, c, who, eventlog.Cursor{Delivered: 7, Read: 5})
}

// Who is at rest is forgotten, and who comes when too many are remembered is dropped.
func TestCursors_areBounded(t *testing.T) {
	c, who := cursorsOn(t)
	dropped := 0
	c.dropped = func() { dropped++ }
	for range maxCursors {
		c.states[store.MemberKey{Channel: who.Channel, User: chat.NewUserID()}] = &cursorState{}
	}
	c.ask(who, eventlog.Cursor{Read: 5})
	if dropped != 1 || len(c.states) != maxCursors {
		t.Errorf("%d dropped, %d remembered", dropped, len(c.states))
	}
	clear(c.states)
	runCursors(t, c)
	c.ask(who, eventlog.Cursor{Read: 5})
	awaitAt(t, c, who, eventlog.Cursor{Delivered: 5, Read: 5})
	testkit.Until(t, testkit.Timeout, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.states)+len(c.ready)+len(c.cooling) > 0 {
			return fmt.Errorf("%d remembered", len(c.states))
		}
		return nil
	})
}
