package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/entryid"
)

// trimMax bounds how much one call of the trim script removes, and so for how long it holds up Redis.
const trimMax = 10_000

// trim removes from every stream what is stored and older than the retention, or, past the memory budget,
// what is stored. It goes round the partitions in small steps, so that the oldest entries of all go first.
func (c *Consumer) trim(ctx context.Context) error {
	marks := make([]string, c.cfg.Partitions)
	for p := range marks {
		mark, err := c.watermark(ctx, p)
		if err != nil {
			return err
		}
		marks[p] = mark.String()
	}
	for removed := int64(1); removed > 0; {
		removed = 0
		over := 0.0
		for p, mark := range marks {
			step, err := trimStream(ctx, c.rdb, p, mark, c.cfg.Retention, c.cfg.TrimAt, false)
			if err != nil {
				return err
			}
			removed += step.Removed
			if step.Over {
				over = 1
			}
			c.m.trimmed.Add(float64(step.Removed))
		}
		c.m.overBudget.Set(over)
	}
	return nil
}

// Trimmed is one step of trimming one stream.
type Trimmed struct {
	Removed int64
	Over    bool       // memory was over the budget
	Bound   entryid.ID // what lies below it may go
}

// TrimStream removes from the stream of a partition, of which all up to the watermark is stored, what may
// go, some thousand entries at a time. A dry run tells the bound and removes nothing.
func TrimStream(ctx context.Context, rdb redis.UniversalClient, p int, watermark entryid.ID, retention time.Duration, at float64, dryRun bool) (Trimmed, error) {
	return trimStream(ctx, rdb, p, watermark.String(), retention, at, dryRun)
}

func trimStream(ctx context.Context, rdb redis.UniversalClient, p int, watermark string, retention time.Duration, at float64, dryRun bool) (Trimmed, error) {
	dry := "0"
	if dryRun {
		dry = "1"
	}
	answer, err := trimScript.Run(ctx, rdb, []string{rediskey.Stream(p)}, rediskey.ConsumerGroup, watermark,
		retention.Milliseconds(), trimMax, at, dry).Slice()
	if err != nil {
		return Trimmed{}, fmt.Errorf("trim stream %d: %w", p, err)
	}
	removed, ok1 := answer[0].(int64)
	over, ok2 := answer[1].(int64)
	bound, ok3 := answer[2].(string)
	if !ok1 || !ok2 || !ok3 {
		return Trimmed{}, fmt.Errorf("trim.lua answered %v", answer)
	}
	id, err := entryid.Parse(bound)
	return Trimmed{removed, over == 1, id}, err
}

// reap removes consumers that have been silent for long and have nothing pending.
func (c *Consumer) reap(ctx context.Context) error {
	for p := range c.cfg.Partitions {
		names, err := reapScript.Run(ctx, c.rdb, []string{rediskey.Stream(p)},
			rediskey.ConsumerGroup, c.cfg.Name, c.cfg.GoneAfter.Milliseconds()).StringSlice()
		if err != nil {
			return fmt.Errorf("remove consumers of stream %d: %w", p, err)
		}
		for _, name := range names {
			c.m.reaped.Inc()
			c.cfg.Logger.InfoContext(ctx, "consumer removed", "partition", p, "consumer", name)
		}
	}
	return nil
}
