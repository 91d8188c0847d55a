package consumer

import (
	"context"
	"errors"
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

// errStopped tells a reader that its chunk stays pending, because the program ends.
var errStopped = errors.New("stopped while the store could not be reached")

// write is a writer. It returns when the readers are done.
func (c *Consumer) write(ctx context.Context) {
	for {
		chunks := c.gather(ctx)
		if len(chunks) == 0 {
			return
		}
		err := c.persist(ctx, chunks)
		for _, ch := range chunks {
			ch.done <- err
		}
	}
}

// fullWait is for how long a full chunk waits for others: there is a backlog, and they are at hand or the
// other writers have them.
const fullWait = 2 * time.Millisecond

// gather waits for a chunk and then a little for those of other partitions: fewer, larger transactions.
// It does not wait for more than a transaction should hold, or once every reader has handed in what it
// has. One writer gathers at a time, while the others store. No chunks mean that the readers are done.
func (c *Consumer) gather(ctx context.Context) []*chunk {
	c.gathering.Lock()
	defer c.gathering.Unlock()
	first, ok := <-c.chunks
	if !ok {
		return nil
	}
	chunks, total := []*chunk{first}, len(first.entries)
	timer := time.NewTimer(c.cfg.BatchWait)
	defer timer.Stop()
	for total < c.cfg.BatchMax && len(chunks) < c.cfg.Partitions {
		if chunks[len(chunks)-1].full() {
			timer.Reset(min(c.cfg.BatchWait, fullWait))
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

// persist stores the chunks and then acknowledges their entries, trying again until both are done or,
// after ctx ended, a try has failed.
func (c *Consumer) persist(ctx context.Context, chunks []*chunk) error {
	began := time.Now()
	batch, starts := merge(chunks)
	var res store.Result
	if err := c.insist(ctx, "store", func(ctx context.Context) (err error) {
		res, err = c.store.Store(ctx, batch)
		batch.Seen = true // whatever the error, the commit may have come through
		return err
	}); err != nil {
		return err
	}
	committed := time.Now()
	c.m.stored(batch, res, committed.Sub(began))
	c.markRejected(chunks, starts, res)
	c.trace(chunks, began, committed, len(batch.Rows), res.Copied)
	if err := c.insist(ctx, "ack", func(ctx context.Context) error { return c.finish(ctx, chunks) }); err != nil {
		return err
	}
	return nil
}

// insist tries f until it succeeds. After ctx has ended it tries once.
func (c *Consumer) insist(ctx context.Context, what string, f func(context.Context) error) error {
	if err := c.backoff().Insist(ctx, f, func(tries int, err error) {
		c.m.retries.WithLabelValues(what).Inc()
		c.cfg.Outages.Failed(ctx, what, err, "tries", tries)
	}); err != nil {
		return fmt.Errorf("%w: %w", errStopped, err)
	}
	c.cfg.Outages.Worked(ctx, what)
	return nil
}

// markRejected makes dead letters of the entries whose rows the store rejected.
func (c *Consumer) markRejected(chunks []*chunk, starts []int, res store.Result) {
	for _, r := range res.Rejected {
		k, found := slices.BinarySearch(starts, r.Row)
		if !found {
			k--
		}
		for k+1 < len(starts) && starts[k+1] <= r.Row { // chunks without rows begin where the next does
			k++
		}
		for i := range chunks[k].entries {
			e := &chunks[k].entries[i]
			if e.row == r.Row-starts[k] && e.failed == "" {
				e.failed, e.detail = r.Reason, r.Detail
				e.stored, e.taken = r.Elsewhere, r.Reason == store.ReasonSeqTaken
			}
		}
	}
}

// finish acknowledges what is stored, in one round trip, and moves the rest to the dead letters. It may
// be repeated.
func (c *Consumer) finish(ctx context.Context, chunks []*chunk) error {
	for _, ch := range chunks {
		if err := c.move(ctx, ch); err != nil {
			return err
		}
		if err := c.bury(ctx, ch); err != nil {
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
		c.note(ch, snapshots[i])
	}
	return nil
}

// move has the events of a chunk whose seq another event holds appended again, so that both are kept.
func (c *Consumer) move(ctx context.Context, ch *chunk) error {
	for i := range ch.entries {
		e := &ch.entries[i]
		if !e.taken || c.cfg.Move == nil {
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
			continue // what is in the stream does not change; it is a dead letter with a reason all the same
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
		c.cfg.Logger.WarnContext(ctx, "event appended again: another holds its seq", "partition", ch.partition,
			"entry_id", e.id, "channel_id", o.channel, "seq", o.seq, "event_id", o.id)
		e.failed, e.detail, e.taken = "", "", false
	}
	return nil
}

// bury moves the failed entries of a chunk to the dead letters and tells their senders.
func (c *Consumer) bury(ctx context.Context, ch *chunk) error {
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
			continue // by a try before, or by another consumer
		}
		o := ch.origin(e)
		c.m.dead.Inc()
		c.cfg.Logger.WarnContext(ctx, "entry moved to the dead letters", "partition", ch.partition,
			"entry_id", e.id, "channel_id", o.channel, "seq", o.seq, "event_id", o.id, "reason", e.why())
		if e.stored || o.sender.IsZero() || o.channel.IsZero() {
			continue
		}
		c.tell(ctx, o, e.failed)
	}
	return nil
}

// tell lets the sender's connections know that an acknowledged event has failed. A sender who is not
// connected learns it from the tombstone.
func (c *Consumer) tell(ctx context.Context, o origin, reason string) {
	n := notice.Notice{
		Kind: notice.EventFailed, UserID: o.sender, ChannelID: &o.channel, EventID: &o.id, Seq: o.seq, Reason: reason,
	}
	if o.clientID.Valid {
		n.ClientID = &chat.ClientID{UUID: o.clientID.UUID}
	}
	topic := rediskey.UserTopic(rediskey.Of(o.sender.UUID, c.cfg.Partitions), o.sender)
	if err := c.rdb.SPublish(ctx, topic, n.Encode()).Err(); err != nil {
		c.cfg.Logger.WarnContext(ctx, "sender not told of a failed event", "user_id", o.sender, "event_id", o.id, "err", err)
	}
}
