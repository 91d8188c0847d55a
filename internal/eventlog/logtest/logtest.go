// Package logtest gives each test a log of events in a private Redis server.
package logtest

import (
	"context"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/eventlog"
	"parley.chat/internal/platform/redisclient"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
)

// Log is an event log together with its Redis client.
type Log struct {
	*eventlog.Log
	Redis redis.UniversalClient
}

// New returns a log with 4 partitions in a new server.
func New(t testing.TB) (Log, *redistest.Server) {
	t.Helper()
	s := redistest.NewServer(t)
	return On(t, s.URL(), 4), s
}

// On returns the log in the Redis server or Redis Cluster at url. The client is closed when the
// test ends.
func On(t testing.TB, url string, partitions int) Log {
	t.Helper()
	rdb, err := redisclient.Open(url, redisclient.Options{NoRetry: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	return Log{eventlog.New(rdb, partitions), rdb}
}

// Empty is an eventlog.Floor for a database without rows: it always returns 0.
func Empty(context.Context, chat.ChannelID) (int64, error) { return 0, nil }

// Seeded returns the id of a new channel that has a counter in Redis.
func (l Log) Seeded(t testing.TB) chat.ChannelID {
	t.Helper()
	ch := chat.NewChannelID()
	if _, err := l.EnsureHead(t.Context(), ch, Empty); err != nil {
		t.Fatal(err)
	}
	return ch
}

// Entries returns the channel's entries in the stream of its partition.
func (l Log) Entries(t testing.TB, ch chat.ChannelID) []event.Entry {
	t.Helper()
	raw, err := l.Redis.XRange(context.Background(), rediskey.Stream(l.Partition(ch.UUID)), "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	var all []event.Entry
	for _, m := range raw {
		e, err := event.DecodeEntry(m.Values)
		if err != nil {
			t.Fatalf("entry %s: %v", m.ID, err)
		}
		if e.Channel == ch {
			all = append(all, e)
		}
	}
	return all
}

// Keys returns all keys of the server with their dumped values. Tests compare two results to check
// that nothing was written.
func (l Log) Keys(t testing.TB) map[string]string {
	t.Helper()
	ctx := context.Background()
	all := make(map[string]string)
	keys, err := l.Redis.Keys(ctx, "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		v, err := l.Redis.Dump(ctx, k).Result()
		if err != nil {
			t.Fatal(err)
		}
		ttl, err := l.Redis.PTTL(ctx, k).Result()
		if err != nil {
			t.Fatal(err)
		}
		all[k] = fmt.Sprintf("%x ttl %v", v, ttl > 0)
	}
	return all
}
