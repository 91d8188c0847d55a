package consumer

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/group"
	"parley.chat/sync-service/internal/intake"
	"parley.chat/sync-service/internal/store"
)

// Bounds of a chunk. Its first read takes at most readMax entries, so one of large bodies stays bounded
// too; it is read on by up to three times as many, by what those have shown an entry to weigh, until it has
// chunkMax entries or chunkBytes. Each read costs Redis a write to its log, which nobody passes while the disk takes it.
const (
	readMax    = 256
	chunkMax   = 2048
	chunkBytes = 1 << 20
)

const readStep = "read"

// read is the reader of one partition. It returns when ctx is done and its last chunk is stored.
func (c *Consumer) read(ctx context.Context, p int) {
	retry := c.backoff()
	stream := intake.Open(c.reads, rediskey.Stream(p), c.cfg.Name)
	defer stream.Close()
	for ctx.Err() == nil {
		err := c.consume(ctx, p, stream, retry)
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
			c.cfg.Outages.Failed(ctx, readStep, err, "partition", p, "tries", retry.Tries+1)
			retry.Wait(ctx)
		}
	}
}

// consume reads what is pending on this consumer, then what is new and, now and then, what is pending on
// others for too long. It begins anew after any error: a reply may have been lost, and with it entries
// that only the pending list still knows.
func (c *Consumer) consume(ctx context.Context, p int, stream *intake.Stream, retry *group.Backoff) error {
	if err := c.compare(ctx, p); err != nil {
		return err
	}
	for from := "0"; ctx.Err() == nil; {
		ch := newChunk(p, readMax)
		ch.seen = true
		n, err := stream.Read(ctx, from, readMax, -1, func(e intake.Entry) {
			from = e.ID
			c.add(ch, e)
		})
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		if err := c.hand(ch); err != nil {
			return err
		}
	}
	retry.Reset()
	c.cfg.Outages.Worked(ctx, readStep)
	var claimed time.Time
	for ctx.Err() == nil {
		if time.Since(claimed) >= c.cfg.ClaimEvery {
			if err := c.claim(ctx, p); err != nil {
				return err
			}
			claimed = time.Now()
		}
		began := time.Now()
		more, err := c.consumeNew(ctx, p, stream)
		if err != nil {
			return err
		}
		if !more {
			c.rest(ctx, began.Add(c.cfg.BatchWait))
		}
	}
	return nil
}

// compare looks whether Redis has lost writes of a partition: its stream ends below what is stored. Then new
// entries get ids above that, and what was known of the old stream's end no longer counts. The channels are
// repaired by those who use them.
func (c *Consumer) compare(ctx context.Context, p int) error {
	watermark, err := c.store.Watermark(ctx, p)
	if err != nil {
		return err
	}
	last, lost, err := c.log.Lift(ctx, p, watermark.String())
	if err != nil || !lost {
		return err
	}
	c.cfg.Logger.Error("Redis has lost writes: its stream ends below what is stored", "partition", p, "last_id", last, "watermark", watermark.String())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress[p].latest, c.progress[p].moved = group.Snapshot{}, false
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
func (c *Consumer) consumeNew(ctx context.Context, p int, stream *intake.Stream) (more bool, err error) {
	ch := newChunk(p, readMax)
	take := func(e intake.Entry) { c.add(ch, e) }
	asked := readMax
	n, err := stream.Read(ctx, ">", asked, c.cfg.Block, take)
	for err == nil && n == asked && !ch.full() && ctx.Err() == nil {
		asked = min(ch.room(), 3*asked) // what these weigh may be another matter
		ch.grow(asked)
		n, err = stream.Read(ctx, ">", asked, -1, take)
	}
	return n == asked, errors.Join(c.hand(ch), err) // what was read before an error is stored first
}

// claim takes over entries that are pending for too long on anyone, this consumer included, and has them
// stored. It is done by the reader, which has nothing else in hand, so it never takes what this very
// process is storing.
func (c *Consumer) claim(ctx context.Context, p int) error {
	return group.Claim(ctx, c.rdb, rediskey.Stream(p), c.cfg.Name, c.cfg.ClaimIdle, readMax, func(messages []redis.XMessage) error {
		c.m.claimed.Add(float64(len(messages)))
		ch := newChunk(p, len(messages))
		ch.seen = true
		for _, m := range messages {
			c.add(ch, entryOf(m))
		}
		return c.hand(ch)
	})
}

// entryOf is what go-redis has read as a Stream would have read it.
func entryOf(m redis.XMessage) intake.Entry {
	e := intake.Entry{ID: m.ID}
	if m.Values != nil {
		e.Pairs = make([]string, 0, 2*len(m.Values))
	}
	for name, value := range m.Values {
		s, _ := value.(string) // all are, in a stream
		e.Pairs = append(e.Pairs, name, s)
	}
	return e
}

func newChunk(p, room int) *chunk {
	return &chunk{
		partition: p, done: make(chan error, 1),
		entries: make([]entry, 0, room), rows: make([]store.Row, 0, room),
	}
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
