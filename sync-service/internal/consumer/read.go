package consumer

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/group"
)

// Bounds of a chunk. Its first read takes at most readMax entries, so one of large bodies stays bounded
// too; it is read on by up to moreMax, by what those have shown an entry to weigh, until it has chunkMax
// entries or chunkBytes. Fewer reads are cheaper, each costs Redis a write to its log; but what is read
// takes several times its size until it is decoded.
const (
	readMax    = 256
	moreMax    = 512
	chunkMax   = 2048
	chunkBytes = 1 << 20
)

// read is the reader of one partition. It returns when ctx is done and its last chunk is stored.
func (c *Consumer) read(ctx context.Context, p int) {
	log := c.cfg.Logger.With("partition", p)
	retry := c.backoff()
	for ctx.Err() == nil {
		err := c.consume(ctx, p, retry)
		if err == nil || errors.Is(err, errStopped) {
			return
		}
		c.m.retries.WithLabelValues("read").Inc()
		if redis.HasErrorPrefix(err, "NOGROUP") {
			if err = c.makeGroup(ctx, p); err == nil {
				continue
			}
		}
		if ctx.Err() == nil {
			log.Warn("reading is interrupted", "tries", retry.Tries+1, "err", err)
			retry.Wait(ctx)
		}
	}
}

// consume reads what is pending on this consumer, then what is new and, now and then, what is pending on
// others for too long. It begins anew after any error: a reply may have been lost, and with it entries
// that only the pending list still knows.
func (c *Consumer) consume(ctx context.Context, p int, retry *group.Backoff) error {
	for from := "0"; ctx.Err() == nil; {
		messages, err := c.fetch(ctx, p, from, readMax, -1)
		if err != nil {
			return err
		}
		if len(messages) == 0 {
			break
		}
		from = messages[len(messages)-1].ID
		if err := c.hand(c.chunkOf(p, messages, true)); err != nil {
			return err
		}
	}
	retry.Reset()
	var claimed time.Time
	for ctx.Err() == nil {
		if time.Since(claimed) >= c.cfg.ClaimEvery {
			if err := c.claim(ctx, p); err != nil {
				return err
			}
			claimed = time.Now()
		}
		began := time.Now()
		more, err := c.consumeNew(ctx, p)
		if err != nil {
			return err
		}
		if !more {
			c.rest(ctx, began.Add(c.cfg.BatchWait))
		}
	}
	return nil
}

// rest waits until then, or for ctx. A reader that has read all there was does not begin again before
// BatchWait is over: entries gather in the stream meanwhile, and a read and a transaction have more of
// them. Where little comes in, the blocked read takes longer anyway.
func (c *Consumer) rest(ctx context.Context, until time.Time) {
	d := time.Until(until)
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// consumeNew waits for new entries and has one chunk of them stored; more says that there may be others.
// Entries that were read are stored even if ctx ends meanwhile.
func (c *Consumer) consumeNew(ctx context.Context, p int) (more bool, err error) {
	messages, err := c.fetch(ctx, p, ">", readMax, c.cfg.Block)
	if err != nil || len(messages) == 0 {
		return false, err
	}
	ch := c.chunkOf(p, messages, false)
	asked := readMax
	for len(messages) == asked && !ch.full() && ctx.Err() == nil {
		asked = min(ch.room(), moreMax)
		if messages, err = c.fetch(ctx, p, ">", asked, -1); err != nil {
			break // what was read before is stored first
		}
		c.addAll(ch, messages)
	}
	return len(messages) == asked, errors.Join(c.hand(ch), err)
}

// fetch reads at most count entries after from; a block below 0 does not wait.
func (c *Consumer) fetch(ctx context.Context, p int, from string, count int, block time.Duration) ([]redis.XMessage, error) {
	streams, err := c.reads.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: rediskey.ConsumerGroup, Consumer: c.cfg.Name,
		Streams: []string{rediskey.Stream(p), from}, Count: int64(count), Block: block,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err // as it is: its prefix says what to do
	}
	if len(streams) == 0 {
		return nil, nil
	}
	return streams[0].Messages, nil
}

// claim takes over entries that are pending for too long on anyone, this consumer included, and has them
// stored. It is done by the reader, which has nothing else in hand, so it never takes what this very
// process is storing.
func (c *Consumer) claim(ctx context.Context, p int) error {
	return group.Claim(ctx, c.rdb, rediskey.Stream(p), c.cfg.Name, c.cfg.ClaimIdle, readMax, func(messages []redis.XMessage) error {
		c.m.claimed.Add(float64(len(messages)))
		return c.hand(c.chunkOf(p, messages, true))
	})
}

func (c *Consumer) chunkOf(p int, messages []redis.XMessage, seen bool) *chunk {
	ch := &chunk{partition: p, seen: seen, done: make(chan error, 1)}
	c.addAll(ch, messages)
	return ch
}

// hand gives a chunk to the writers and waits until it is stored.
func (c *Consumer) hand(ch *chunk) error {
	if len(ch.entries) == 0 {
		return nil
	}
	c.chunks <- ch // has room for one of each partition, and a reader has one out at a time
	return <-ch.done
}

// makeGroup makes the consumer group where it is not, at the watermark.
func (c *Consumer) makeGroup(ctx context.Context, p int) error {
	start, err := c.store.Watermark(ctx, p)
	if err != nil {
		return err
	}
	made, err := group.Make(ctx, c.rdb, rediskey.Stream(p), start)
	if made {
		c.cfg.Logger.Info("consumer group made", "partition", p, "entry_id", start.String())
	}
	return err
}

func (c *Consumer) backoff() *group.Backoff {
	return &group.Backoff{Min: c.cfg.RetryMin, Max: c.cfg.RetryMax}
}
