package consumer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/notice"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/deadletter"
	"parley.chat/sync-service/internal/group"
	"parley.chat/sync-service/internal/store"
)

type channelID = chat.ChannelID

// write is the loop of one writer. It returns when the readers are done.
func (c *Consumer) write(ctx context.Context) {
	for {
		chunks := c.collectChunks(ctx)
		if len(chunks) == 0 {
			return
		}
		err := c.persist(ctx, chunks)
		for _, ch := range chunks {
			ch.done <- err
		}
	}
}

// fullChunkWait is how long a writer that has a full chunk waits for further chunks. A full chunk
// means that there is a backlog, so other chunks are either ready now or already taken by other
// writers.
const fullChunkWait = 2 * time.Millisecond

// collectChunks waits for a chunk and then briefly for chunks of other partitions, so that
// transactions are fewer and larger. It stops waiting when the transaction is large enough or when
// every reader has submitted its chunk. Only one writer collects at a time; the other writers store
// their chunks during that time. collectChunks returns no chunks when the readers are done.
func (c *Consumer) collectChunks(ctx context.Context) []*chunk {
	c.collecting.Lock()
	defer c.collecting.Unlock()
	first, ok := <-c.chunks
	if !ok {
		return nil
	}
	chunks, total := []*chunk{first}, len(first.entries)
	timer := time.NewTimer(c.cfg.BatchWait)
	defer timer.Stop()
	for total < c.cfg.BatchMax && len(chunks) < c.cfg.Partitions {
		if chunks[len(chunks)-1].full() {
			timer.Reset(min(c.cfg.BatchWait, fullChunkWait))
		}
		select {
		case ch, ok := <-c.chunks:
			if !ok {
				return chunks
			}
			chunks, total = append(chunks, ch), total+len(ch.entries)
		case <-timer.C:
			return chunks
		case <-ctx.Done():
			return chunks
		}
	}
	return chunks
}

// persist stores the chunks and then acknowledges their entries. It retries until both succeed or,
// once ctx is canceled, until an attempt fails.
func (c *Consumer) persist(ctx context.Context, chunks []*chunk) error {
	began := time.Now()
	batch, starts := merge(chunks)
	var res store.Result
	if err := c.work.Retry(ctx, "store", func(ctx context.Context) (err error) {
		res, err = c.store.Store(ctx, batch)
		batch.MaybeStored = true // the commit may have succeeded despite an error
		return err
	}); err != nil {
		return err
	}
	committed := time.Now()
	c.m.stored(batch, res, committed.Sub(began))
	c.markRejected(chunks, starts, res)
	c.trace(chunks, began, committed, len(batch.Rows), res.Copied)
	return c.work.Retry(ctx, "ack", func(ctx context.Context) error { return c.finish(ctx, chunks) })
}

// markRejected marks the entries whose rows the store rejected as dead letters.
func (c *Consumer) markRejected(chunks []*chunk, starts []int, res store.Result) {
	for _, r := range res.Rejected {
		k, found := slices.BinarySearch(starts, r.Row)
		if !found {
			k--
		}
		// Skip chunks without rows: they start at the same index as the next chunk.
		for k+1 < len(starts) && starts[k+1] <= r.Row {
			k++
		}
		for i := range chunks[k].entries {
			e := &chunks[k].entries[i]
			if e.row == r.Row-starts[k] && e.failed == "" {
				e.failed, e.detail = r.Reason, r.Detail
				e.storedElsewhere, e.seqTaken = r.Elsewhere, r.Reason == store.ReasonSeqTaken
			}
		}
	}
}

// finish appends rejected entries again or moves them to the dead-letter stream. It then
// acknowledges the stored entries in one round trip. It may be repeated.
func (c *Consumer) finish(ctx context.Context, chunks []*chunk) error {
	for _, ch := range chunks {
		if err := c.appendAgain(ctx, ch); err != nil {
			return err
		}
		if err := c.moveToDeadLetters(ctx, ch); err != nil {
			return err
		}
	}
	acks := make([]group.Acks, len(chunks))
	for i, ch := range chunks {
		ids := make([]string, 0, len(ch.entries))
		for k := range ch.entries {
			if e := &ch.entries[k]; e.failed == "" {
				ids = append(ids, e.id)
			}
		}
		acks[i] = group.Acks{Stream: rediskey.Stream(ch.partition), Mirror: rediskey.Stored(ch.partition), IDs: ids}
	}
	snapshots, err := group.Ack(ctx, c.rdb, acks)
	if err != nil {
		return err
	}
	for i, ch := range chunks {
		c.recordAck(ch, snapshots[i])
	}
	return nil
}

// appendAgain appends events again, under new seqs, if other events hold their seqs. So no event is
// lost.
func (c *Consumer) appendAgain(ctx context.Context, ch *chunk) error {
	for i := range ch.entries {
		e := &ch.entries[i]
		if !e.seqTaken || c.cfg.Move == nil {
			continue
		}
		found, err := c.rdb.XRangeN(ctx, rediskey.Stream(ch.partition), e.id, e.id, 1).Result()
		if err != nil {
			return fmt.Errorf("read entry %s of partition %d again: %w", e.id, ch.partition, err)
		}
		if len(found) == 0 {
			continue
		}
		whole, err := event.DecodeEntry(found[0].Values)
		if err != nil {
			continue // retrying is pointless, because an entry never changes; the entry becomes a dead letter
		}
		o := ch.origin(e)
		moved, err := c.cfg.Move(ctx, whole)
		if err != nil {
			return fmt.Errorf("move event %s, whose seq is taken: %w", o.id, err)
		}
		if !moved {
			continue
		}
		c.m.moved.Inc()
		c.cfg.Logger.WarnContext(ctx, "event appended again under a new seq: another event holds its seq", "partition", ch.partition,
			"entry_id", e.id, "channel_id", o.channel, "seq", o.seq, "event_id", o.id)
		e.failed, e.detail, e.seqTaken = "", "", false
	}
	return nil
}

// moveToDeadLetters moves the failed entries of a chunk to the dead-letter stream and notifies
// their senders.
func (c *Consumer) moveToDeadLetters(ctx context.Context, ch *chunk) error {
	for i := range ch.entries {
		e := &ch.entries[i]
		if e.failed == "" {
			continue
		}
		moved, err := deadletter.Move(ctx, c.rdb, deadletter.Events, ch.partition, e.id, e.why())
		if err != nil {
			return err
		}
		if !moved {
			continue // an earlier attempt or another consumer has already moved the entry
		}
		o := ch.origin(e)
		c.m.dead.Inc()
		c.cfg.Logger.WarnContext(ctx, "entry moved to the dead letters", "partition", ch.partition,
			"entry_id", e.id, "channel_id", o.channel, "seq", o.seq, "event_id", o.id, "reason", e.why())
		if e.storedElsewhere || o.sender.IsZero() || o.channel.IsZero() {
			continue
		}
		c.notifySender(ctx, o, e.failed)
	}
	return nil
}

// notifySender notifies the sender's connections that an acknowledged event could not be stored. A
// sender without a connection gets the tombstone later.
func (c *Consumer) notifySender(ctx context.Context, o origin, reason string) {
	n := notice.Notice{
		Kind: notice.EventFailed, UserID: o.sender, ChannelID: &o.channel, EventID: &o.id, Seq: o.seq, Reason: reason,
	}
	if o.clientID.Valid {
		n.ClientID = &chat.ClientID{UUID: o.clientID.UUID}
	}
	topic := rediskey.UserTopic(rediskey.Of(o.sender.UUID, c.cfg.Partitions), o.sender)
	if err := c.rdb.SPublish(ctx, topic, n.Encode()).Err(); err != nil {
		c.cfg.Logger.WarnContext(ctx, "failed to notify the sender of a failed event", "user_id", o.sender, "event_id", o.id, "err", err)
	}
}
