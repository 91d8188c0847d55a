// Package scan reads the streams outside the consumer group. It does not affect the group, and the
// entries that it reads may or may not be stored.
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

// Page is the number of entries read at a time.
const Page = 1000

// Last is an id above every entry.
var Last = entryid.ID{Ms: math.MaxInt64, Seq: math.MaxInt64}

// Stream reads the entries of a stream between from and to, both included, and calls page for each
// page of entries. It stops at the end or when page returns an error.
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

// Ends returns the id of the last entry in each partition's stream, or the zero ID for an empty
// stream.
func Ends(ctx context.Context, rdb redis.UniversalClient, partitions int) ([]entryid.ID, error) {
	ends := make([]entryid.ID, partitions)
	for p := range ends {
		info, err := rdb.XInfoStream(ctx, rediskey.Stream(p)).Result()
		if err != nil && err.Error() == "ERR no such key" {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("inspect stream %d: %w", p, err)
		}
		if info.Length == 0 {
			continue
		}
		if ends[p], err = entryid.Parse(info.LastEntry.ID); err != nil {
			return nil, fmt.Errorf("inspect stream %d: %w", p, err)
		}
	}
	return ends, nil
}

// Row returns the row that the consumer group would store for an entry. An entry that cannot be
// decoded becomes a tombstone. ok is false if the entry has a newer format, belongs to another
// partition, or has no readable channel and seq.
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

// Channels calls visit for every channel that has a key of a given kind. The kind is given by key,
// the function of package rediskey that builds the key's name. A key that is created or deleted
// during the scan may be missed, and a channel may be visited twice. In Redis Cluster, visit is
// called from several goroutines.
func Channels(ctx context.Context, rdb redis.UniversalClient, partitions int, key func(int, chat.ChannelID) string, visit func(p int, c chat.ChannelID)) error {
	prefix := strings.TrimSuffix(key(0, chat.ChannelID{}), chat.ChannelID{}.String())
	pattern := strings.Replace(prefix, "{0}", "{*}", 1) + "*"
	scanNode := func(ctx context.Context, node redis.Cmdable) error {
		found := node.Scan(ctx, 0, pattern, Page).Iterator()
		for found.Next(ctx) {
			id, err := chat.ParseChannelID(found.Val()[strings.LastIndexByte(found.Val(), ':')+1:])
			if err != nil {
				continue // not one of our keys
			}
			if p := rediskey.Of(id.UUID, partitions); found.Val() == key(p, id) {
				visit(p, id)
			}
		}
		return found.Err()
	}
	var err error
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return scanNode(ctx, node) })
	} else {
		err = scanNode(ctx, rdb)
	}
	if err != nil {
		return fmt.Errorf("scan for keys %s: %w", pattern, err)
	}
	return nil
}
