package replay_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/entryid"
	"parley.chat/sync-service/internal/replay"
	"parley.chat/sync-service/internal/streamtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// TestRun_resumes checks that a replay that is interrupted after each page reads each entry only
// once.
func TestRun_resumes(t *testing.T) {
	t.Parallel()
	const n = 4500
	w := streamtest.Open(t)
	channels := []chat.ChannelID{chat.NewChannelID(), chat.NewChannelID(), chat.NewChannelID(), chat.NewChannelID()}
	pipe := w.RDB.Pipeline()
	for i := range n {
		e := streamtest.Entry(t, streamtest.Message(channels[i%4], int64(i/4+1), "x"))
		pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: rediskey.Stream(streamtest.Partition(e.Channel)), Values: e.Fields()})
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
		r, err := replay.Run(ctx, w.RDB, w.Store, replay.Options{
			Partitions: streamtest.Partitions, Resume: resume, Progress: func(replay.Report, float64) { cancel() },
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
