package gateway

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/eventlog"
	"parley.chat/shared-contracts/chat"
	"parley.chat/ws-server/internal/store"
)

// newTestReceiptWriter returns a receiptWriter on a Redis server of its own. The channel has 100
// events, and Redis holds a receipt of the returned member.
func newTestReceiptWriter(t *testing.T) (*receiptWriter, store.MemberKey) {
	t.Helper()
	log := eventlog.New(redistest.NewServer(t).Client(t), 4)
	member := store.MemberKey{Channel: chat.NewChannelID(), User: chat.NewUserID()}
	floor := func(context.Context, chat.ChannelID) (int64, error) { return 100, nil }
	if _, err := log.EnsureHead(t.Context(), member.Channel, floor); err != nil {
		t.Fatal(err)
	}
	first := eventlog.CursorMove{Channel: member.Channel, User: member.User, Cursor: eventlog.Cursor{Delivered: 1}}
	if _, err := log.MoveCursors(t.Context(), []eventlog.CursorMove{first}); err != nil {
		t.Fatal(err)
	}
	return &receiptWriter{
		log: log, refuses: func(int) bool { return false }, onDropped: func() { t.Error("dropped") },
		moves: prometheus.NewCounter(prometheus.CounterOpts{Name: "moves"}), onFailure: func(err error) { t.Error(err) },
		wake: make(chan struct{}, 1), states: make(map[store.MemberKey]*receiptState),
	}, member
}

func runReceiptWriter(t *testing.T, c *receiptWriter) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); c.run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

func awaitPosition(t *testing.T, c *receiptWriter, member store.MemberKey, want eventlog.Cursor) {
	t.Helper()
	testkit.Until(t, testkit.Timeout, func() error {
		at, err := c.log.Cursors(context.Background(), member.Channel, member.User)
		if err == nil && at[member.User] != want {
			err = fmt.Errorf("at %+v, want %+v", at[member.User], want)
		}
		return err
	})
}

// Moves must wait, and be merged, while the log refuses appends.
func TestReceiptWriter_waitsWhileLogRefuses(t *testing.T) {
	c, member := newTestReceiptWriter(t)
	var refused atomic.Int32
	var open atomic.Bool
	c.refuses = func(int) bool { refused.Add(1); return !open.Load() }
	runReceiptWriter(t, c)
	c.request(member, eventlog.Cursor{Delivered: 7})
	testkit.Until(t, testkit.Timeout, func() error {
		if refused.Load() < 2 {
			return fmt.Errorf("refused %d times", refused.Load())
		}
		return nil
	})
	awaitPosition(t, c, member, eventlog.Cursor{Delivered: 1})
	c.request(member, eventlog.Cursor{Read: 5})
	open.Store(true)
	awaitPosition(t, c, member, eventlog.Cursor{Delivered: 7, Read: 5})
}

// A state is removed when it is idle, and a move is dropped when there are too many states.
func TestReceiptWriter_boundsItsStates(t *testing.T) {
	c, member := newTestReceiptWriter(t)
	dropped := 0
	c.onDropped = func() { dropped++ }
	for range maxReceiptStates {
		c.states[store.MemberKey{Channel: member.Channel, User: chat.NewUserID()}] = &receiptState{}
	}
	c.request(member, eventlog.Cursor{Read: 5})
	if dropped != 1 || len(c.states) != maxReceiptStates {
		t.Errorf("%d dropped, %d remembered", dropped, len(c.states))
	}
	clear(c.states)
	runReceiptWriter(t, c)
	c.request(member, eventlog.Cursor{Read: 5})
	awaitPosition(t, c, member, eventlog.Cursor{Delivered: 5, Read: 5})
	testkit.Until(t, testkit.Timeout, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.states)+len(c.ready)+len(c.cooling) > 0 {
			return fmt.Errorf("%d remembered", len(c.states))
		}
		return nil
	})
}
