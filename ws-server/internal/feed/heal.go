package feed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley.chat/internal/eventlog/replay"
	"parley.chat/internal/platform/backoff"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/hub"
)

const (
	healTimeout   = 20 * time.Second // how long the feed tries to fill a gap; after that, clients must resume
	maxReadEvents = 256              // maximum number of events per read from Redis and PostgreSQL
	// warmEvents is the number of newest events that one read of the tail adds to the ring.
	warmEvents = 500
)

// heal starts a goroutine that fetches a channel's missing events and publishes them to the hub.
func (f *Feed) heal(ch *hub.Channel, after, upTo int64) {
	f.heals.Go(func() {
		f.cfg.Logger.Info("healing a gap", "channel_id", ch.ID(), "after", after, "up_to", upTo)
		ctx, cancel := context.WithTimeout(f.ctx, healTimeout)
		defer cancel()
		for attempt := 0; ; {
			from, to := ch.Missing(upTo)
			if from > to && (from > upTo || ctx.Err() == nil) {
				ch.HealDone()
				return
			}
			events, err := f.fetch(ctx, ch.ID(), from, min(to, from+maxReadEvents-1))
			removeDeletedText(events, nil)
			events = f.removeNames(ctx, events)
			if err == nil && len(events) > 0 && events[0].Seq == from {
				ch.Publish(events)
				attempt = 0
				continue
			}
			if err == nil {
				if err = f.confirmMissing(ctx, ch.ID(), from, min(to, from+maxReadEvents-1)); err == nil {
					continue // read again, this time with the tombstones
				}
			}
			attempt++
			select {
			case <-ctx.Done():
				if f.ctx.Err() == nil {
					f.cfg.Logger.Error("failed to heal a gap, clients must resume", "channel_id", ch.ID(), "from", from, "to", to, "err", err)
					ch.HealFailed()
				}
				return
			case <-time.After(backoff.Delay(attempt, 50*time.Millisecond, time.Second)):
			}
		}
	})
}

// Read returns events of a live channel, starting at seq. It reads the hub's ring, then the tail in
// Redis, then PostgreSQL. It returns at least one event, unless seq is above the head. Concurrent
// reads of the same range share one read. The names of deleted accounts and the text of deleted
// messages are removed.
func (f *Feed) Read(ctx context.Context, ch *hub.Channel, seq int64) ([]hub.Event, error) {
	events, err := f.readWithNames(ctx, ch, seq)
	return f.removeNames(ctx, events), err
}

// readWithNames is like Read, but does not remove names.
func (f *Feed) readWithNames(ctx context.Context, ch *hub.Channel, seq int64) ([]hub.Event, error) {
	head, _ := ch.Head()
	if seq > head {
		return nil, nil
	}
	if events, ok := f.fromRing(ch, seq); ok {
		return events, nil
	}
	if head-seq < warmEvents {
		// The first client that resumes causes a read that fills the ring. The other clients are
		// then served from the ring.
		_, err := f.share(ctx, fmt.Sprint("warm ", ch.ID(), head), func(ctx context.Context) ([]hub.Event, error) {
			return nil, f.warm(ctx, ch, head)
		})
		if err != nil {
			return nil, err
		}
		if events, ok := f.fromRing(ch, seq); ok {
			return events, nil
		}
	}
	to := min(seq+maxReadEvents-1, head)
	events, err := f.page(ctx, ch, seq, to, head)
	if err == nil && (len(events) == 0 || events[0].Seq != seq) {
		if err = f.confirmMissing(ctx, ch.ID(), seq, to); err == nil {
			events, err = f.page(ctx, ch, seq, to, head)
		}
	}
	if err != nil {
		return nil, err
	}
	if len(events) == 0 || events[0].Seq != seq {
		return nil, fmt.Errorf("channel %s: %w %d", ch.ID(), errHole, seq)
	}
	return truncate(events, frameBytes), nil
}

// page reads a channel's events from Redis and PostgreSQL.
func (f *Feed) page(ctx context.Context, ch *hub.Channel, seq, to, head int64) ([]hub.Event, error) {
	return f.share(ctx, fmt.Sprint("page ", ch.ID(), seq, to), func(ctx context.Context) ([]hub.Event, error) {
		events, err := f.fetch(ctx, ch.ID(), seq, to)
		if err == nil && to == head {
			ch.Prepend(events)
		}
		removeDeletedText(events, ch.Recent())
		return events, err
	})
}

// frameBytes limits the size of one read result.
const frameBytes = 64 << 10

// fromRing reads events from the ring, without the text of deleted messages.
func (f *Feed) fromRing(ch *hub.Channel, seq int64) ([]hub.Event, bool) {
	ch.Redact(removeDeletedText)
	return ch.FromRing(seq, frameBytes)
}

// share makes concurrent callers with the same key share one read. The read uses the feed's context
// instead of the first caller's, because the other callers need the result even if the first one
// gives up.
func (f *Feed) share(ctx context.Context, key string, read func(context.Context) ([]hub.Event, error)) ([]hub.Event, error) {
	result := f.reads.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(f.ctx, 5*time.Second)
		defer cancel()
		return read(ctx)
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-result:
		events, _ := r.Val.([]hub.Event)
		return events, r.Err
	}
}

// warm fills a channel's ring in memory from its tail in Redis.
func (f *Feed) warm(ctx context.Context, ch *hub.Channel, head int64) error {
	items, err := f.cfg.Log.TailRange(ctx, ch.ID(), max(1, head-warmEvents+1), head)
	if err != nil {
		return err
	}
	events := make([]hub.Event, len(items))
	for i, it := range items {
		events[i] = fromItem(it)
	}
	ch.Prepend(events)
	return nil
}

// errHole means that neither Redis nor PostgreSQL holds a seq at or below the head. If the tail was
// cut between the reads of Redis and PostgreSQL, a second read finds the event. See
// Feed.confirmMissing.
var errHole = errors.New("no store holds seq")

// truncate returns the first events, as many as fit into maxBytes, but at least one.
func truncate(events []hub.Event, maxBytes int) []hub.Event {
	size := 0
	for i, e := range events {
		if size += len(e.Frame) + 1; i > 0 && size > maxBytes {
			return events[:i]
		}
	}
	return events
}

// fetch returns the events with from ≤ seq ≤ to from Redis and PostgreSQL, up to the first hole. It
// reads the tail first, and then PostgreSQL for the events before the tail. This order misses no
// event, because the tail is cut only after its events have been stored.
func (f *Feed) fetch(ctx context.Context, id chat.ChannelID, from, to int64) ([]hub.Event, error) {
	events, err := f.fetchWithHoles(ctx, id, from, to)
	if err != nil {
		return nil, err
	}
	return f.fillHoles(ctx, id, from, to, events)
}

// fetchWithHoles is like fetch, but ignores holes.
func (f *Feed) fetchWithHoles(ctx context.Context, id chat.ChannelID, from, to int64) ([]hub.Event, error) {
	items, err := f.cfg.Log.TailRange(ctx, id, from, to)
	if err != nil {
		return nil, err
	}
	events := make([]hub.Event, 0, to-from+1)
	stored := to
	if len(items) > 0 {
		stored = items[0].Seq - 1
	}
	if from <= stored {
		if events, err = f.appendStored(ctx, id, from, stored, events); err != nil {
			return nil, err
		}
	}
	for _, it := range items {
		events = append(events, fromItem(it))
	}
	return events, nil
}

// fillHoles returns events with their known holes filled by tombstones. A hole is known if a gap
// event names its seqs as lost, or if the hole was recorded before. The result ends at the first
// unknown hole.
func (f *Feed) fillHoles(ctx context.Context, id chat.ChannelID, from, to int64, events []hub.Event) ([]hub.Event, error) {
	filled := events[:0:0]
	next := from
	for _, e := range append(events, hub.Event{Seq: to + 1}) {
		for next < e.Seq {
			loss, found, err := f.lossAt(ctx, id, next, events)
			if err != nil || !found {
				return filled, err
			}
			for ; next < e.Seq && next <= loss.To; next++ {
				tombstone := loss.Tombstone(id, next)
				b, err := tombstone.Encode()
				if err != nil {
					return nil, err
				}
				filled = append(filled, hub.Event{Seq: next, Epoch: f.Known(id).Epoch, Kind: event.Lost, Frame: b})
			}
		}
		if e.Seq > to {
			break
		}
		if e.Seq == next {
			filled = append(filled, e)
			next++
		}
	}
	return filled, nil
}

// lossAt returns the range of lost seqs that contains seq. found is false if seq is not known to be
// lost. lossAt searches the recorded holes, then the gap events among events, then the gap events
// in the tail.
func (f *Feed) lossAt(ctx context.Context, id chat.ChannelID, seq int64, events []hub.Event) (loss replay.Loss, found bool, err error) {
	if loss, found = f.holeAt(id, seq); found {
		return loss, true, nil
	}
	for _, e := range events {
		if loss, found = lossIn(e.Kind, e.Frame, seq); found {
			return loss, true, nil
		}
	}
	items, err := f.cfg.Log.Tail(ctx, id, 2*warmEvents)
	if err != nil {
		return replay.Loss{}, false, err
	}
	for _, it := range items {
		if loss, found = lossIn(it.Kind, it.Frame, seq); found {
			return loss, true, nil
		}
	}
	return replay.Loss{}, false, nil
}

// lossIn returns the range of lost seqs that a gap event announces, if the range contains seq.
func lossIn(kind event.Kind, b []byte, seq int64) (loss replay.Loss, found bool) {
	if kind != event.Gap {
		return replay.Loss{}, false
	}
	e, err := frame.DecodeEvent(b)
	if err != nil {
		return replay.Loss{}, false
	}
	loss, found = replay.LossOf(&e)
	return loss, found && loss.Has(seq)
}

func (f *Feed) appendStored(ctx context.Context, id chat.ChannelID, from, to int64, events []hub.Event) ([]hub.Event, error) {
	rows, err := f.cfg.History.Range(ctx, id, from, to)
	if err != nil {
		return nil, err
	}
	epoch := f.Known(id).Epoch // rows have no epoch of their own, so they belong to the channel's current epoch
	for _, r := range rows {
		b, err := r.Encode()
		if err != nil {
			return nil, err
		}
		e := hub.Event{Seq: r.Seq, Epoch: epoch, Kind: r.Type, Frame: b}
		if r.Type == event.MemberLeft && r.UserID != nil {
			e.Left = *r.UserID
		}
		events = append(events, e)
	}
	return events, nil
}
