package consumer

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/group"
	"parley.chat/sync-service/internal/store"
	"parley.chat/sync-service/internal/streamreader"
	"parley.chat/sync-service/internal/streamworker"
)

// Limits of a chunk. The first read returns at most maxRead entries, which bounds the memory even
// if the entries' bodies are large. Each further read fetches at most three times as many entries
// as the previous one. It also takes the average entry size into account, so that the chunk stays
// within about maxChunkEntries entries and maxChunkBytes bytes. Larger reads matter because each
// read makes Redis append to its log (AOF), and Redis serves no other command while that write
// waits for the disk.
const (
	maxRead         = 256
	maxChunkEntries = 2048
	maxChunkBytes   = 1 << 20
)

// read is the loop of one partition's reader. It returns when ctx is done and its last chunk is
// stored.
func (c *Consumer) read(ctx context.Context, p int) {
	stream := streamreader.New(c.reads, rediskey.Stream(p), c.cfg.Name)
	defer stream.Close()
	c.work.Run(ctx, func(ctx context.Context, caughtUp func()) error {
		for {
			err := c.consume(ctx, p, stream, caughtUp)
			if !redis.HasErrorPrefix(err, "NOGROUP") {
				return err
			}
			if err := c.work.CreateGroup(ctx, p); err != nil {
				return err
			}
		}
	}, "partition", p)
}

// consume reads the entries pending for this consumer, then new entries and, at intervals, entries
// that other consumers have left pending for too long.
func (c *Consumer) consume(ctx context.Context, p int, stream *streamreader.Reader, caughtUp func()) error {
	if err := c.checkForLostWrites(ctx, p); err != nil {
		return err
	}
	for from := "0"; ctx.Err() == nil; {
		ch := newChunk(p, maxRead)
		ch.maybeStored = true
		n, err := stream.Read(ctx, from, maxRead, -1, func(e streamreader.Entry) {
			from = e.ID
			c.add(ch, e)
		})
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		if err := c.submit(ch); err != nil {
			return err
		}
	}
	caughtUp()
	var claimed time.Time
	for ctx.Err() == nil {
		if streamworker.Due(&claimed, c.cfg.ClaimInterval) {
			if err := c.claim(ctx, p); err != nil {
				return err
			}
		}
		began := time.Now()
		more, err := c.consumeNew(ctx, p, stream)
		if err != nil {
			return err
		}
		if !more {
			c.pause(ctx, began.Add(c.cfg.BatchWait))
		}
	}
	return nil
}

// checkForLostWrites checks whether the stream ends below the watermark, which means that Redis has
// lost a partition's writes. If so, new entries get ids above the watermark, and the progress
// recorded for the old stream is discarded. The next component that uses a channel repairs the
// channel's counter.
func (c *Consumer) checkForLostWrites(ctx context.Context, p int) error {
	watermark, err := c.store.Watermark(ctx, p)
	if err != nil {
		return err
	}
	last, lost, err := c.log.Lift(ctx, p, watermark.String())
	if err != nil || !lost {
		return err
	}
	c.cfg.Logger.Error("Redis has lost writes: the stream ends below the watermark", "partition", p, "last_id", last, "watermark", watermark.String())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress[p].latest, c.progress[p].dirty = group.Snapshot{}, false
	return nil
}

// pause waits until the given time or until ctx is done. A reader that has emptied the stream
// pauses for the rest of BatchWait, so that the next read and transaction handle more entries. With
// little traffic, the blocking read takes longer than BatchWait, so there is no pause.
func (c *Consumer) pause(ctx context.Context, until time.Time) {
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

// consumeNew waits for new entries, passes one chunk of them to the writers, and waits until it is
// stored. It returns more = true if there may be further entries. Entries that it has read are
// stored even if ctx is canceled in the meantime.
func (c *Consumer) consumeNew(ctx context.Context, p int, stream *streamreader.Reader) (more bool, err error) {
	ch := newChunk(p, maxRead)
	handle := func(e streamreader.Entry) { c.add(ch, e) }
	asked := maxRead
	n, err := stream.Read(ctx, ">", asked, c.cfg.ReadBlock, handle)
	for err == nil && n == asked && !ch.full() && ctx.Err() == nil {
		// Increase the number of entries per read gradually, because the next entries may be
		// larger.
		asked = min(ch.room(), 3*asked)
		ch.grow(asked)
		n, err = stream.Read(ctx, ">", asked, -1, handle)
	}
	return n == asked, errors.Join(c.submit(ch), err) // store the entries that were read before the error
}

// claim claims entries that have been pending for too long, passes them to the writers, and waits
// until they are stored. The reader calls it when it has no other chunk, so it never claims entries
// that this process is storing.
func (c *Consumer) claim(ctx context.Context, p int) error {
	return c.work.Claim(ctx, p, maxRead, func(messages []redis.XMessage) error {
		c.m.claimed.Add(float64(len(messages)))
		ch := newChunk(p, len(messages))
		ch.maybeStored = true
		for _, m := range messages {
			c.add(ch, entryOf(m))
		}
		return c.submit(ch)
	})
}

// entryOf converts an entry read by go-redis to the form that a streamreader.Reader returns.
func entryOf(m redis.XMessage) streamreader.Entry {
	e := streamreader.Entry{ID: m.ID}
	if m.Values != nil {
		e.Pairs = make([]string, 0, 2*len(m.Values))
	}
	for name, value := range m.Values {
		s, _ := value.(string) // all values in a stream are strings
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

// submit passes a chunk to the writers and waits until it is stored.
func (c *Consumer) submit(ch *chunk) error {
	if len(ch.entries) == 0 {
		return nil
	}
	c.chunks <- ch // never blocks: the channel has room for one chunk per partition
	return <-ch.done
}
