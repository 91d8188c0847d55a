package receipts

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/shared-contracts/chat"
)

// newTestReceipts returns a Receipts on a Redis server of its own. The channel has 100 events, and
// Redis holds a receipt of the returned member.
func newTestReceipts(t *testing.T, cfg Config) (*Receipts, chat.MemberKey) {
	t.Helper()
	rdb := redistest.NewServer(t).Client(t)
	log := receiptlog.New(rdb, 4)
	member := chat.MemberKey{Channel: chat.NewChannelID(), User: chat.NewUserID()}
	floor := func(context.Context, chat.ChannelID) (int64, error) { return 100, nil }
	if _, err := eventlog.New(rdb, 4).EnsureHead(t.Context(), member.Channel, floor); err != nil {
		t.Fatal(err)
	}
	first := receiptlog.Move{Channel: member.Channel, User: member.User, Receipt: receiptlog.Receipt{Delivered: 1}}
	if _, err := log.Move(t.Context(), []receiptlog.Move{first}); err != nil {
		t.Fatal(err)
	}
	cfg.Log, cfg.Logger, cfg.Moved = log, slog.New(slog.DiscardHandler), func() {}
	if cfg.Dropped == nil {
		cfg.Dropped = func() { t.Error("dropped") }
	}
	r := New(cfg)
	r.writer.onFailure = func(err error) { t.Error(err) }
	return r, member
}

func run(t *testing.T, r *Receipts) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

func awaitPosition(t *testing.T, r *Receipts, member chat.MemberKey, want receiptlog.Receipt) {
	t.Helper()
	testkit.Until(t, testkit.Timeout, func() error {
		at, err := r.cfg.Log.Held(context.Background(), member.Channel, member.User)
		if err == nil && at[member.User] != want {
			err = fmt.Errorf("at %+v, want %+v", at[member.User], want)
		}
		return err
	})
}

// Moves must wait, and be merged, while the log refuses appends.
func TestWriter_waitsWhileLogRefuses(t *testing.T) {
	t.Parallel()
	var refused atomic.Int32
	var open atomic.Bool
	r, member := newTestReceipts(t, Config{Refuses: func(chat.ChannelID) bool { refused.Add(1); return !open.Load() }})
	run(t, r)
	r.Move(member, receiptlog.Receipt{Delivered: 7})
	testkit.Until(t, testkit.Timeout, func() error {
		if refused.Load() < 2 {
			return fmt.Errorf("refused %d times", refused.Load())
		}
		return nil
	})
	awaitPosition(t, r, member, receiptlog.Receipt{Delivered: 1})
	r.Move(member, receiptlog.Receipt{Read: 5})
	open.Store(true)
	awaitPosition(t, r, member, receiptlog.Receipt{Delivered: 7, Read: 5})
}

// A member's state must be removed when it is idle, and a move must be dropped when there are too
// many states.
func TestWriter_boundsItsStates(t *testing.T) {
	t.Parallel()
	dropped := 0
	r, member := newTestReceipts(t, Config{Dropped: func() { dropped++ }})
	w := r.writer
	for range maxStates {
		w.states[chat.MemberKey{Channel: member.Channel, User: chat.NewUserID()}] = &memberState{}
	}
	r.Move(member, receiptlog.Receipt{Read: 5})
	if dropped != 1 || len(w.states) != maxStates {
		t.Errorf("%d dropped, %d remembered", dropped, len(w.states))
	}
	clear(w.states)
	run(t, r)
	r.Move(member, receiptlog.Receipt{Read: 5})
	awaitPosition(t, r, member, receiptlog.Receipt{Delivered: 5, Read: 5})
	testkit.Until(t, testkit.Timeout, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.states)+len(w.ready)+len(w.cooling) > 0 {
			return fmt.Errorf("%d remembered", len(w.states))
		}
		return nil
	})
}

// Drain must write moves that arrived after Run has returned.
func TestDrain(t *testing.T) {
	t.Parallel()
	r, member := newTestReceipts(t, Config{})
	r.Move(member, receiptlog.Receipt{Read: 5})
	r.Drain(t.Context())
	at, err := r.cfg.Log.Held(t.Context(), member.Channel, member.User)
	if want := (receiptlog.Receipt{Delivered: 5, Read: 5}); err != nil || at[member.User] != want {
		t.Errorf("at %+v, %v, want %+v", at[member.User], err, want)
	}
}
