// Package scan reads the streams from outside the consumer group: it disturbs nobody, and what it reads
// may be stored already or not yet.
package scan

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/entryid"
	"parley.chat/sync-service/internal/store"
)

// Page is how many entries are read at a time.
const Page = 1000

// Last is above every entry.
var Last = entryid.ID{Ms: math.MaxInt64, Seq: math.MaxInt64}

// Stream calls page for the entries of a stream from one id to another, both included, a page at a time,
// until there are no more or page returns an error.
func Stream(ctx context.Context, rdb redis.UniversalClient, stream string, from, to entryid.ID, page func([]redis.XMessage) error) error {
	start := from.String()
	for {
		messages, err := rdb.XRangeN(ctx, stream, start, to.String(), Page).Result()
		if err != nil {
			return fmt.Errorf("read %s from %s: %w", stream, start, err)
		}
		if len(messages) == 0 {
			return nil
		}
		if err := page(messages); err != nil {
			return err
		}
		if len(messages) < Page {
			return nil
		}
		start = "(" + messages[len(messages)-1].ID
	}
}

// Ends returns the id of the last entry in the stream of each partition, the zero ID for none.
func Ends(ctx context.Context, rdb redis.UniversalClient, partitions int) ([]entryid.ID, error) {
	ends := make([]entryid.ID, partitions)
	for p := range ends {
		info, err := rdb.XInfoStream(ctx, rediskey.Stream(p)).Result()
		if err != nil && err.Error() == "ERR no such key" {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at stream %d: %w", p, err)
		}
		if info.Length == 0 {
			continue
		}
		if ends[p], err = entryid.Parse(info.LastEntry.ID); err != nil {
			return nil, fmt.Errorf("look at stream %d: %w", p, err)
		}
	}
	return ends, nil
}

// Row returns what the consumer group would store of an entry, as far as it would: ok is false for an
// entry of a newer version, of another partition, or of which not even the place can be read. An entry
// that cannot be decoded becomes a tombstone.
func Row(m redis.XMessage, partition, partitions int) (row store.Row, e event.Entry, ok bool) {
	e, err := event.DecodeEntry(m.Values)
	if e.Channel.IsZero() || e.Version > event.Version || rediskey.Of(e.Channel.UUID, partitions) != partition {
		return store.Row{}, e, false
	}
	if err == nil {
		row, err = store.RowOf(e)
	}
	if err == nil {
		return row, e, true
	}
	at := time.Now()
	if id, bad := entryid.Parse(m.ID); bad == nil {
		at = id.Time()
	}
	row, ok = store.FailedRow(e, store.ReasonUnreadable, at)
	return row, e, ok
}

// Channels calls visit for every channel that has a key of the given kind, as rediskey names it. A key
// that comes or goes meanwhile may be missed, and one may be visited twice. On a Cluster visit is called
// from several goroutines.
func Channels(ctx context.Context, rdb redis.UniversalClient, partitions int, key func(int, chat.ChannelID) string, visit func(p int, c chat.ChannelID)) error {
	prefix := strings.TrimSuffix(key(0, chat.ChannelID{}), chat.ChannelID{}.String())
	pattern := strings.Replace(prefix, "{0}", "{*}", 1) + "*"
	look := func(ctx context.Context, node redis.Cmdable) error {
		found := node.Scan(ctx, 0, pattern, Page).Iterator()
		for found.Next(ctx) {
			id, err := chat.ParseChannelID(found.Val()[strings.LastIndexByte(found.Val(), ':')+1:])
			if err != nil {
				continue // none of ours
			}
			if p := rediskey.Of(id.UUID, partitions); found.Val() == key(p, id) {
				visit(p, id)
			}
		}
		return found.Err()
	}
	var err error
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return look(ctx, node) })
	} else {
		err = look(ctx, rdb)
	}
	if err != nil {
		return fmt.Errorf("look for %s: %w", pattern, err)
	}
	return nil
}
