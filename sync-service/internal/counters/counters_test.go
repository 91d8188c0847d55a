package counters_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/appender"
	"parley.chat/internal/platform/redisclient"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/sync-service/internal/counters"
	"parley.chat/sync-service/internal/store"
)

// nothing is a store without rows.
type nothing struct{}

func (nothing) Channels(context.Context, chat.ChannelID, int) ([]store.ChannelRows, error) {
	return nil, nil
}

// TestRebuild_live checks that a rebuild does not find any counter to be behind while members send
// messages.
func TestRebuild_live(t *testing.T) {
	t.Parallel()
	const partitions = 4
	rdb, err := redisclient.Open(redistest.NewServer(t).URL(), redisclient.Options{NoRetry: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rdb.Close() }()
	log := eventlog.New(rdb, partitions)
	floor := func(context.Context, chat.ChannelID) (int64, error) { return 0, nil }
	a := appender.New(log, rdb, floor, appender.Config{})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	defer func() { stop(); <-ended }()

	channels := make([]chat.ChannelID, 20)
	for i := range channels {
		channels[i] = chat.NewChannelID()
	}
	writing, enough := context.WithCancel(ctx)
	written := make(chan error, 1)
	started := make(chan struct{})
	go func() {
		written <- func() error {
			ann := chat.NewUserID()
			for n := 0; writing.Err() == nil; n++ {
				id := chat.NewClientID()
				e := frame.Event{
					Type: event.Message, ChannelID: channels[n%len(channels)], ID: chat.NewEventID(), ClientID: &id, SenderID: ann,
					SenderName: "ann", Body: fmt.Sprint(n), SentAt: chat.Now(),
				}
				if _, err := a.Append(ctx, e, appender.Options{}); err != nil {
					return err
				}
				if n == len(channels) {
					close(started)
				}
			}
			return nil
		}()
	}()
	<-started
	for began, n := time.Now(), 0; n < 20 || time.Since(began) < 2*time.Second; n++ {
		r, err := counters.Rebuild(t.Context(), rdb, nothing{}, partitions, true)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Raised) > 0 {
			t.Fatalf("on a healthy system, attempt %d: %+v", n, r.Raised)
		}
	}
	enough()
	if err := <-written; err != nil {
		t.Error(err)
	}
}
