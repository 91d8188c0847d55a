package replay_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/platform/database"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/shared-migrations/schematest"
	"parley.chat/sync-service/internal/entryid"
	"parley.chat/sync-service/internal/replay"
	"parley.chat/sync-service/internal/store"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// TestRun_resumes checks that a replay that is interrupted after each page reads each entry only
// once.
func TestRun_resumes(t *testing.T) {
	t.Parallel()
	const partitions, n = 2, 4500
	pg, rdb := schematest.Open(t), redistest.NewServer(t).Client(t)
	db, err := database.Open(pg.URL, database.Options{Role: "parley_sync"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	channels := []chat.ChannelID{chat.NewChannelID(), chat.NewChannelID(), chat.NewChannelID(), chat.NewChannelID()}
	pipe := rdb.Pipeline()
	for i := range n {
		f := frame.Event{
			Type: event.Message, ChannelID: channels[i%4], Seq: int64(i/4 + 1), ID: chat.NewEventID(), SenderID: chat.NewUserID(),
			SenderName: "ann", Body: "x", SentAt: chat.Now(),
		}
		payload, err := f.Encode()
		if err != nil {
			t.Fatal(err)
		}
		e := event.Entry{Version: event.Version, Channel: f.ChannelID, Seq: f.Seq, Epoch: "1-a", Kind: f.Type, ID: f.ID, Sender: f.SenderID, Payload: payload}
		pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: rediskey.Stream(rediskey.Of(f.ChannelID.UUID, partitions)), Values: e.Fields()})
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	var read, inserted int64
	var resume replay.Position
	runs := 0
	for {
		runs++
		ctx, cancel := context.WithCancel(t.Context())
		r, err := replay.Run(ctx, rdb, store.New(db), replay.Options{
			Partitions: partitions, Resume: resume, Progress: func(replay.Report, float64) { cancel() },
		})
		cancel()
		read, inserted = read+r.Read, inserted+r.Inserted
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) || runs > 20 {
			t.Fatal(runs, err)
		}
		if resume, err = replay.ParsePosition(r.Resume); err != nil {
			t.Fatal(err)
		}
	}
	if read != n || inserted != n || runs < 5 {
		t.Errorf("%d runs have read %d and inserted %d; want 5 or more, %d of each", runs, read, inserted, n)
	}
}

func TestParsePosition(t *testing.T) {
	want := replay.Position{Partition: 3, After: entryid.ID{Ms: 5, Seq: 6}}
	if got, err := replay.ParsePosition(want.String()); err != nil || got != want {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	for _, bad := range []string{"", "3", "3/", "x/5-6", "-1/5-6", "3/x"} {
		if got, err := replay.ParsePosition(bad); err == nil {
			t.Errorf("ParsePosition(%q) = %v", bad, fmt.Sprint(got))
		}
	}
}
