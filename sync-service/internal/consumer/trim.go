package consumer

import (
	"context"

	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/entryid"
	"parley.chat/sync-service/internal/group"
)

// trim removes stored entries that are older than the retention from every stream. If Redis exceeds
// its memory budget, trim removes stored entries of any age. It trims the partitions in turn, in
// small steps, so that the oldest entries of all partitions are removed first.
func (c *Consumer) trim(ctx context.Context) error {
	marks := make([]entryid.ID, c.cfg.Partitions)
	for p := range marks {
		mark, err := c.watermark(ctx, p)
		if err != nil {
			return err
		}
		marks[p] = mark
	}
	for more := true; more; {
		more = false
		over := 0.0
		for p, mark := range marks {
			step, err := group.Trim(ctx, c.rdb, rediskey.Stream(p), mark, group.Limits{Retention: c.cfg.Retention, At: c.cfg.TrimAt}, false)
			if err != nil {
				return err
			}
			more = more || step.More
			if step.Over {
				over = 1
			}
			c.m.trimmed.Add(float64(step.Removed))
		}
		c.m.overBudget.Set(over)
	}
	return nil
}

// reap removes dead consumers.
func (c *Consumer) reap(ctx context.Context) error {
	removed, err := c.work.Reap(ctx)
	c.m.reaped.Add(float64(removed))
	return err
}
