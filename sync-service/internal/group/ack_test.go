package group_test

import (
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/group"
	"parley.chat/sync-service/internal/streamtest"
)

// stale is a stream whose entries are delivered and acknowledged, but whose group has an outdated
// entries-read, as after a failover.
type stale struct {
	total, delivered, pending int
	read                      int   // entries-read in Redis
	mirrored                  int64 // count in the mirror, -1 for no mirror
}

func (s stale) build(on *streamtest.Streams, stream, mirror string) {
	t, rdb, ctx := on.T, on.RDB, on.T.Context()
	t.Helper()
	rdb.Del(ctx, stream, mirror)
	if _, err := rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := range s.total {
			pipe.XAdd(ctx, &redis.XAddArgs{Stream: stream, ID: fmt.Sprintf("%d-0", i+1), Values: []any{"a", "b"}})
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	on.CreateGroup(stream)
	on.Ack(stream, on.Deliver(stream, "a", s.delivered)[:s.delivered-s.pending]...)
	if err := rdb.Do(ctx, "xgroup", "setid", stream, rediskey.ConsumerGroup, fmt.Sprintf("%d-0", s.delivered), "entriesread", s.read).Err(); err != nil {
		t.Fatal(err)
	}
	if s.mirrored >= 0 {
		rdb.HSet(ctx, mirror, "entry", "1-0", "added", s.mirrored)
	}
}

// TestAck_correctsEntriesRead checks that a wrong entries-read is recomputed from the contents of
// the stream, and that a correct one is not changed.
func TestAck_correctsEntriesRead(t *testing.T) {
	t.Parallel()
	on := streamtest.OpenStreams(t)
	rdb := on.RDB
	stream, mirror := rediskey.Stream(0), rediskey.Stored(0)
	for name, tt := range map[string]struct {
		stale
		added, read int64
		corrected   bool
	}{
		"right":                       {stale{10, 6, 2, 6, 4}, 4, 6, false},
		"all delivered":               {stale{10, 10, 0, 3, -1}, 10, 10, true},
		"all delivered, some pending": {stale{10, 10, 3, 3, -1}, 7, 10, true},
		"below the mirror":            {stale{10, 6, 0, 2, 5}, 6, 6, true},
		"below the mirror, many wait": {stale{12_000, 6, 0, 2, 5}, -1, 2, false},
		"not known to be wrong":       {stale{10, 6, 0, 5, 5}, 5, 5, false},
	} {
		tt.build(on, stream, mirror)
		wrong, err := group.Check(t.Context(), rdb, []group.Acks{{Stream: stream, Mirror: mirror}})
		if err != nil || tt.corrected != (len(wrong) == 1) || tt.corrected && (wrong[0].Read != int64(tt.stale.read) || wrong[0].Right != tt.read) {
			t.Errorf("%s: Check = %+v, %v", name, wrong, err)
		}
		got, err := group.Ack(t.Context(), rdb, []group.Acks{{Stream: stream, Mirror: mirror}})
		if err != nil {
			t.Fatal(err)
		}
		info := rdb.XInfoGroups(t.Context(), stream).Val()
		if got[0].Added != tt.added || got[0].Corrected != tt.corrected || info[0].EntriesRead != tt.read || info[0].LastDeliveredID != fmt.Sprintf("%d-0", tt.delivered) {
			t.Errorf("%s: %+v, entries-read %d, delivered %s; want %+v", name, got[0], info[0].EntriesRead, info[0].LastDeliveredID, tt)
		}
	}
}
