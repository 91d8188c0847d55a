package consumer

import (
	"context"
	"fmt"

	"parley.chat/shared-contracts/rediskey"
)

// trimMax bounds how much one call of the trim script removes, and so for how long it holds up Redis.
const trimMax = 10_000

// trim removes from every stream what is stored and older than the retention.
func (c *Consumer) trim(ctx context.Context) error {
	for p := range c.cfg.Partitions {
		mark, err := c.watermark(ctx, p)
		if err != nil {
			return err
		}
		for {
			n, err := trimScript.Run(ctx, c.rdb, []string{rediskey.Stream(p)},
				rediskey.ConsumerGroup, mark.String(), c.cfg.Retention.Milliseconds(), trimMax).Int64()
			if err != nil {
				return fmt.Errorf("trim stream %d: %w", p, err)
			}
			c.m.trimmed.Add(float64(n))
			if n == 0 {
				break
			}
		}
	}
	return nil
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
