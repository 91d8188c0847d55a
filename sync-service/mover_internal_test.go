package syncservice

import (
	"context"
	"log/slog"
	"testing"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/unstored"
	"parley.chat/internal/platform/database"
	"parley.chat/internal/platform/redisclient"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/streamtest"
)

// TestMover_once checks that an event is appended only once, no matter how often its entry is
// moved, and not at all if its sender has left.
func TestMover_once(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := streamtest.Open(t)
	db, err := database.Open(w.PG.URL, database.Options{Role: "parley_sync"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rdb, err := redisclient.Open(w.RedisURL, redisclient.Options{NoRetry: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rdb.Close() }()
	m := newMover(eventlog.New(rdb, streamtest.Partitions), rdb, unstored.Rows{DB: db}, slog.New(slog.DiscardHandler))
	running, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.appender.Run(running) }()
	defer func() { stop(); <-ended }()

	f := streamtest.Message(chat.NewChannelID(), 7, "x")
	f.ClientID = nil
	p := streamtest.Partition(f.ChannelID)
	entry := func(kind event.Kind) event.Entry {
		f.Type = kind
		return streamtest.Entry(t, f)
	}
	for range 3 {
		if moved, err := m.move(ctx, entry(event.Message)); err != nil || !moved {
			t.Fatalf("move = %v, %v", moved, err)
		}
	}
	if n := rdb.XLen(ctx, rediskey.Stream(p)).Val(); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
	f.UserID = &f.SenderID
	if moved, err := m.move(ctx, entry(event.MemberLeft)); err != nil || moved {
		t.Errorf("member_left: move = %v, %v; want false", moved, err)
	}
	rdb.Set(ctx, rediskey.Removed(p, f.ChannelID, f.SenderID), "1", 0)
	f.ID = chat.NewEventID()
	if moved, err := m.move(ctx, entry(event.Message)); err != nil || moved {
		t.Errorf("sender has left: move = %v, %v; want false", moved, err)
	}
}
