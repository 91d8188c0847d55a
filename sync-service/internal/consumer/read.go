package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/entryid"
)

// Bounds of a chunk. A read takes at most readMax entries, so one of large bodies stays bounded too; a
// chunk is read on until it has chunkMax entries or chunkBytes.
const (
	readMax    = 256
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
			log.Warn("reading is interrupted", "tries", retry.tries+1, "err", err)
			retry.wait(ctx)
		}
	}
}

// consume reads what is pending on this consumer, then what is new and, now and then, what is pending on
// others for too long. It begins anew after any error: a reply may have been lost, and with it entries
// that only the pending list still knows.
func (c *Consumer) consume(ctx context.Context, p int, retry *backoff) error {
	for from := "0"; ctx.Err() == nil; {
		messages, err := c.fetch(ctx, p, from, -1)
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
	retry.reset()
	var claimed time.Time
	for ctx.Err() == nil {
		if time.Since(claimed) >= c.cfg.ClaimEvery {
			if err := c.claim(ctx, p); err != nil {
				return err
			}
			claimed = time.Now()
		}
		if err := c.consumeNew(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// consumeNew waits for new entries and has one chunk of them stored. Entries that were read are stored
// even if ctx ends meanwhile.
func (c *Consumer) consumeNew(ctx context.Context, p int) error {
	messages, err := c.fetch(ctx, p, ">", c.cfg.Block)
	if err != nil || len(messages) == 0 {
		return err
	}
	ch := c.chunkOf(p, messages, false)
	for len(messages) == readMax && !ch.full() && ctx.Err() == nil {
		if messages, err = c.fetch(ctx, p, ">", -1); err != nil {
			break // what was read before is stored first
		}
		for _, m := range messages {
			c.add(ch, m)
		}
	}
	return errors.Join(c.hand(ch), err)
}

// fetch reads entries after from; a block below 0 does not wait.
func (c *Consumer) fetch(ctx context.Context, p int, from string, block time.Duration) ([]redis.XMessage, error) {
	streams, err := c.reads.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: rediskey.ConsumerGroup, Consumer: c.cfg.Name,
		Streams: []string{rediskey.Stream(p), from}, Count: readMax, Block: block,
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
	// An empty page is not the end: the cursor is.
	for cursor := "0-0"; ctx.Err() == nil; {
		messages, next, err := c.rdb.XAutoClaim(ctx, &redis.XAutoClaimArgs{
			Stream: rediskey.Stream(p), Group: rediskey.ConsumerGroup, Consumer: c.cfg.Name,
			MinIdle: c.cfg.ClaimIdle, Start: cursor, Count: readMax,
		}).Result()
		if err != nil {
			return err
		}
		c.m.claimed.Add(float64(len(messages)))
		if len(messages) > 0 {
			if err := c.hand(c.chunkOf(p, messages, true)); err != nil {
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

func (c *Consumer) chunkOf(p int, messages []redis.XMessage, seen bool) *chunk {
	ch := &chunk{partition: p, seen: seen, done: make(chan error, 1)}
	for _, m := range messages {
		c.add(ch, m)
	}
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

// makeGroup makes the consumer group where it is not: a new stream, or one whose group Redis has lost.
// It begins at the watermark, below which all is stored, or at the end of the stream if that is lower
// (Redis has lost its newest entries, and may give new ones ids below the watermark). Never at '$',
// which would skip what nobody has stored.
func (c *Consumer) makeGroup(ctx context.Context, p int) error {
	start, err := c.store.Watermark(ctx, p)
	if err != nil {
		return err
	}
	stream := rediskey.Stream(p)
	info, err := c.rdb.XInfoStream(ctx, stream).Result()
	switch {
	case err != nil && err.Error() == "ERR no such key":
		start = entryid.ID{}
	case err != nil:
		return fmt.Errorf("look at stream %d: %w", p, err)
	default:
		last, err := entryid.Parse(info.LastGeneratedID)
		if err != nil {
			return fmt.Errorf("look at stream %d: %w", p, err)
		}
		if last.Less(start) {
			start = last
		}
	}
	err = c.rdb.XGroupCreateMkStream(ctx, stream, rediskey.ConsumerGroup, start.String()).Err()
	if err != nil && !redis.HasErrorPrefix(err, "BUSYGROUP") {
		return fmt.Errorf("make the consumer group of stream %d: %w", p, err)
	}
	if err == nil {
		c.cfg.Logger.Info("consumer group made", "partition", p, "entry_id", start.String())
	}
	return nil
}
