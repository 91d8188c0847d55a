// Package group manages the consumer group of one stream, regardless of the contents of its
// entries. It creates the group, claims entries that idle consumers left pending, acknowledges
// entries, trims stored entries and removes idle consumers.
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

// Create creates the consumer group of a stream, and the stream if necessary. The group is missing
// if the stream is new or if Redis has lost the group. The group begins at start, the id up to
// which everything is stored. If the end of the stream is lower, Redis has lost its newest entries
// and may give new entries ids below start, so the group begins at the end of the stream. It never
// begins at '$', which would skip entries that are not stored. created is false if the group
// already exists.
func Create(ctx context.Context, rdb redis.UniversalClient, stream string, start entryid.ID) (created bool, err error) {
	info, err := rdb.XInfoStream(ctx, stream).Result()
	switch {
	case err != nil && err.Error() == "ERR no such key":
		start = entryid.ID{}
	case err != nil:
		return false, fmt.Errorf("inspect %s: %w", stream, err)
	default:
		last, err := entryid.Parse(info.LastGeneratedID)
		if err != nil {
			return false, fmt.Errorf("inspect %s: %w", stream, err)
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
		return false, fmt.Errorf("create the consumer group of %s: %w", stream, err)
	}
	return true, nil
}

// Claim claims entries that any consumer has left pending for at least the given idle time. It
// calls handle for each page of claimed entries.
func Claim(ctx context.Context, rdb redis.UniversalClient, stream, consumer string, idle time.Duration, page int64, handle func([]redis.XMessage) error) error {
	// An empty page does not mean the end of the list; only the cursor "0-0" does.
	for cursor := "0-0"; ctx.Err() == nil; {
		messages, next, err := rdb.XAutoClaim(ctx, &redis.XAutoClaimArgs{
			Stream: stream, Group: rediskey.ConsumerGroup, Consumer: consumer, MinIdle: idle, Start: cursor, Count: page,
		}).Result()
		if err != nil {
			return err // not wrapped: callers check its prefix
		}
		if len(messages) > 0 {
			if err := handle(messages); err != nil {
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

// Reap removes the consumers of a stream that have been idle for at least minIdle and have no
// pending entries, except self. It returns their names.
func Reap(ctx context.Context, rdb redis.UniversalClient, stream, self string, minIdle time.Duration) ([]string, error) {
	names, err := reapScript.Run(ctx, rdb, []string{stream}, rediskey.ConsumerGroup, self, minIdle.Milliseconds()).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("remove consumers of %s: %w", stream, err)
	}
	return names, nil
}

// maxTrim is the maximum number of entries that one call of the trim script removes. It limits how
// long the call blocks Redis.
const maxTrim = 10_000

// Trimmed is the result of one trim step.
type Trimmed struct {
	Removed int64
	Over    bool       // memory was over the budget
	Bound   entryid.ID // entries below it may be removed
	More    bool       // there may be more to remove
}

// Limits determine how long stored entries stay in a stream.
type Limits struct {
	Retention time.Duration
	At        float64 // fraction of maxmemory above which the retention is ignored; 1 means never
}

// Trim trims a stream. All entries up to the watermark must be stored. One call removes at most
// maxTrim entries. A dry run removes nothing and returns the id below which entries could be
// removed.
func Trim(ctx context.Context, rdb redis.UniversalClient, stream string, watermark entryid.ID, l Limits, dryRun bool) (Trimmed, error) {
	dry := "0"
	if dryRun {
		dry = "1"
	}
	answer, err := trimScript.Run(ctx, rdb, []string{stream}, rediskey.ConsumerGroup, watermark.String(),
		l.Retention.Milliseconds(), maxTrim, l.At, dry).Slice()
	if err != nil {
		return Trimmed{}, fmt.Errorf("trim %s: %w", stream, err)
	}
	removed, ok1 := answer[0].(int64)
	over, ok2 := answer[1].(int64)
	bound, ok3 := answer[2].(string)
	more, ok4 := answer[3].(int64)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return Trimmed{}, fmt.Errorf("trim.lua returned %v", answer)
	}
	id, err := entryid.Parse(bound)
	return Trimmed{removed, over == 1, id, more == 1}, err
}
