// Package group is what a consumer does with the consumer group of one stream, whatever its entries say:
// it makes the group, claims what a silent consumer has left pending, acknowledges, trims what is stored
// and removes consumers that are gone.
//
// The package starts no goroutines and keeps no state. Every call may be repeated.
package group

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/entryid"
)

// Make makes the consumer group of a stream, and the stream with it, unless it is there: a new stream, or
// one whose group Redis has lost. It begins at start, up to which all is stored, or at the end of the
// stream if that is lower (Redis has lost its newest entries, and may give new ones ids below start).
// Never at '$', which would skip what nobody has stored. made is false when the group was there.
func Make(ctx context.Context, rdb redis.UniversalClient, stream string, start entryid.ID) (made bool, err error) {
	info, err := rdb.XInfoStream(ctx, stream).Result()
	switch {
	case err != nil && err.Error() == "ERR no such key":
		start = entryid.ID{}
	case err != nil:
		return false, fmt.Errorf("look at %s: %w", stream, err)
	default:
		last, err := entryid.Parse(info.LastGeneratedID)
		if err != nil {
			return false, fmt.Errorf("look at %s: %w", stream, err)
		}
		if last.Less(start) {
			start = last
		}
	}
	err = rdb.XGroupCreateMkStream(ctx, stream, rediskey.ConsumerGroup, start.String()).Err()
	if redis.HasErrorPrefix(err, "BUSYGROUP") {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("make the consumer group of %s: %w", stream, err)
	}
	return true, nil
}

// Claim takes over entries that have been pending for at least idle, on whomever, and calls take with a
// page of them at a time.
func Claim(ctx context.Context, rdb redis.UniversalClient, stream, consumer string, idle time.Duration, page int64, take func([]redis.XMessage) error) error {
	// An empty page is not the end: the cursor is.
	for cursor := "0-0"; ctx.Err() == nil; {
		messages, next, err := rdb.XAutoClaim(ctx, &redis.XAutoClaimArgs{
			Stream: stream, Group: rediskey.ConsumerGroup, Consumer: consumer, MinIdle: idle, Start: cursor, Count: page,
		}).Result()
		if err != nil {
			return err // as it is: its prefix says what to do
		}
		if len(messages) > 0 {
			if err := take(messages); err != nil {
				return err
			}
		}
		if next == "0-0" {
			return nil
		}
		cursor = next
	}
	return nil
}

// Reap removes consumers of a stream that have been silent for gone and have nothing pending, but not
// the one called self. It returns their names.
func Reap(ctx context.Context, rdb redis.UniversalClient, stream, self string, gone time.Duration) ([]string, error) {
	names, err := reapScript.Run(ctx, rdb, []string{stream}, rediskey.ConsumerGroup, self, gone.Milliseconds()).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("remove consumers of %s: %w", stream, err)
	}
	return names, nil
}

// trimMax bounds how much one call of the trim script removes, and so for how long it holds up Redis.
const trimMax = 10_000

// Trimmed is one step of trimming one stream.
type Trimmed struct {
	Removed int64
	Over    bool       // memory was over the budget
	Bound   entryid.ID // what lies below it may go
	More    bool       // there may be more to remove
}

// Limits are how long stored entries stay in a stream.
type Limits struct {
	Retention time.Duration
	At        float64 // share of maxmemory past which the retention does not count; 1: never
}

// Trim removes from a stream, of which all up to the watermark is stored, what may go, some thousand
// entries at a time. A dry run tells the bound and removes nothing.
func Trim(ctx context.Context, rdb redis.UniversalClient, stream string, watermark entryid.ID, l Limits, dryRun bool) (Trimmed, error) {
	dry := "0"
	if dryRun {
		dry = "1"
	}
	answer, err := trimScript.Run(ctx, rdb, []string{stream}, rediskey.ConsumerGroup, watermark.String(),
		l.Retention.Milliseconds(), trimMax, l.At, dry).Slice()
	if err != nil {
		return Trimmed{}, fmt.Errorf("trim %s: %w", stream, err)
	}
	removed, ok1 := answer[0].(int64)
	over, ok2 := answer[1].(int64)
	bound, ok3 := answer[2].(string)
	more, ok4 := answer[3].(int64)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return Trimmed{}, fmt.Errorf("trim.lua answered %v", answer)
	}
	id, err := entryid.Parse(bound)
	return Trimmed{removed, over == 1, id, more == 1}, err
}
