package feed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/hub"
)

const (
	healPatience = 20 * time.Second // after which a gap is given up, and clients resume
	readPage     = 256              // events of one read from the stores
	warmEvents   = 500              // how far back the ring is filled by one read of the tail
)

// heal fetches what a channel lacks and publishes it, in the background.
func (f *Feed) heal(ch *hub.Channel, after, upTo int64) {
	f.heals.Go(func() {
		f.cfg.Logger.Info("healing a gap", "channel_id", ch.ID(), "after", after, "up_to", upTo)
		ctx, cancel := context.WithTimeout(f.ctx, healPatience)
		defer cancel()
		for attempt := 0; ; {
			from, to := ch.Missing(upTo)
			if from > to && (from > upTo || ctx.Err() == nil) {
				ch.HealDone()
				return
			}
			events, err := f.fetch(ctx, ch.ID(), from, min(to, from+readPage-1))
			blank(events, nil)
			events = f.unname(ctx, events)
			if err == nil && len(events) > 0 && events[0].Seq == from {
				ch.Publish(events)
				attempt = 0
				continue
			}
			if err == nil {
				if err = f.missing(ctx, ch.ID(), from, min(to, from+readPage-1)); err == nil {
					continue // and read the tombstones
				}
			}
			attempt++
			select {
			case <-ctx.Done():
				if f.ctx.Err() == nil {
					f.cfg.Logger.Error("gap not healed, clients resume", "channel_id", ch.ID(), "from", from, "to", to, "err", err)
					ch.HealFailed()
				}
				return
			case <-time.After(retryAfter(attempt)):
			}
		}
	})
}

// Read returns events of a live channel from seq on, at least one unless seq is past the head: from the
// ring, else the tail, else PostgreSQL. Many who ask for the same are one read. What the events have of deleted
// accounts and of deleted messages is left out.
func (f *Feed) Read(ctx context.Context, ch *hub.Channel, seq int64) ([]hub.Event, error) {
	events, err := f.readNamed(ctx, ch, seq)
	return f.unname(ctx, events), err
}

// readNamed is Read with the names.
func (f *Feed) readNamed(ctx context.Context, ch *hub.Channel, seq int64) ([]hub.Event, error) {
	head, _ := ch.Head()
	if seq > head {
		return nil, nil
	}
	if events, ok := f.fromRing(ch, seq); ok {
		return events, nil
	}
	if head-seq < warmEvents {
		// Whoever comes back soon is served from the ring that the first of them has filled.
		_, err := f.once(ctx, fmt.Sprint("warm ", ch.ID(), head), func(ctx context.Context) ([]hub.Event, error) {
			return nil, f.warm(ctx, ch, head)
		})
		if err != nil {
			return nil, err
		}
		if events, ok := f.fromRing(ch, seq); ok {
			return events, nil
		}
	}
	to := min(seq+readPage-1, head)
	events, err := f.page(ctx, ch, seq, to, head)
	if err == nil && (len(events) == 0 || events[0].Seq != seq) {
		if err = f.missing(ctx, ch.ID(), seq, to); err == nil {
			events, err = f.page(ctx, ch, seq, to, head)
		}
	}
	if err != nil {
		return nil, err
	}
	if len(events) == 0 || events[0].Seq != seq {
		return nil, fmt.Errorf("channel %s: %w %d", ch.ID(), errHole, seq)
	}
	return within(events, frameBytes), nil
}

// page reads events of a channel from the stores.
func (f *Feed) page(ctx context.Context, ch *hub.Channel, seq, to, head int64) ([]hub.Event, error) {
	return f.once(ctx, fmt.Sprint("page ", ch.ID(), seq, to), func(ctx context.Context) ([]hub.Event, error) {
		events, err := f.fetch(ctx, ch.ID(), seq, to)
		if err == nil && to == head {
			ch.Prepend(events)
		}
		blank(events, ch.Recent())
		return events, err
	})
}

// frameBytes bounds what is read at once.
const frameBytes = 64 << 10

// fromRing reads the ring, without the text of what is deleted.
func (f *Feed) fromRing(ch *hub.Channel, seq int64) ([]hub.Event, bool) {
	ch.Redact(blank)
	return ch.FromRing(seq, frameBytes)
}

// once makes many concurrent needs under one key one read. It lives under the feed's context, not the
// first caller's: the others need the answer even if that one goes.
func (f *Feed) once(ctx context.Context, key string, read func(context.Context) ([]hub.Event, error)) ([]hub.Event, error) {
	flight := f.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(f.ctx, 5*time.Second)
		defer cancel()
		return read(ctx)
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-flight:
		events, _ := r.Val.([]hub.Event)
		return events, r.Err
	}
}

// warm fills the ring of a channel from its tail.
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

// errHole says that a seq at or below the head is in neither store. It may be that the tail was cut
// between the two reads; a second try settles that. See Feed.missing.
var errHole = errors.New("nothing holds seq")

// within returns as many events as fit into maxBytes, or one.
func within(events []hub.Event, maxBytes int) []hub.Event {
	size := 0
	for i, e := range events {
		if size += len(e.Frame) + 1; i > 0 && size > maxBytes {
			return events[:i]
		}
	}
	return events
}

// fetch returns the events with from ≤ seq ≤ to that the stores hold without a hole from the first on:
// the tail first, then PostgreSQL for what comes before it. In this order nothing falls between: the
// tail is cut only below what is stored.
func (f *Feed) fetch(ctx context.Context, id chat.ChannelID, from, to int64) ([]hub.Event, error) {
	events, err := f.held(ctx, id, from, to)
	if err != nil {
		return nil, err
	}
	return f.bridge(ctx, id, from, to, events)
}

// held is fetch with the holes that there are.
func (f *Feed) held(ctx context.Context, id chat.ChannelID, from, to int64) ([]hub.Event, error) {
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
		if events, err = f.stored(ctx, id, from, stored, events); err != nil {
			return nil, err
		}
	}
	for _, it := range items {
		events = append(events, fromItem(it))
	}
	return events, nil
}

// bridge returns events without holes: seqs that a gap event names as lost, and that are not stored as
// tombstones yet, are filled with such, and so are holes that were found before; at any other hole it ends.
func (f *Feed) bridge(ctx context.Context, id chat.ChannelID, from, to int64, events []hub.Event) ([]hub.Event, error) {
	whole := events[:0:0]
	next := from
	for _, e := range append(events, hub.Event{Seq: to + 1}) {
		for next < e.Seq {
			last, lost, err := f.lossAt(ctx, id, next, events)
			if err != nil || lost == nil {
				return whole, err
			}
			for ; next < e.Seq && next <= last; next++ {
				stone := lost(next)
				b, err := stone.Encode()
				if err != nil {
					return nil, err
				}
				whole = append(whole, hub.Event{Seq: next, Epoch: f.Known(id).Epoch, Kind: event.Lost, Frame: b})
			}
		}
		if e.Seq > to {
			break
		}
		if e.Seq == next {
			whole = append(whole, e)
			next++
		}
	}
	return whole, nil
}

// lossAt returns the last seq of the loss that a seq lies in, and the tombstone of each of its seqs; nil where nothing
// says that the seq is lost.
func (f *Feed) lossAt(ctx context.Context, id chat.ChannelID, seq int64, events []hub.Event) (last int64, lost func(seq int64) frame.Event, err error) {
	if h := f.holeAt(id, seq); h != nil {
		return h.to, func(seq int64) frame.Event { return h.lost(id, seq) }, nil
	}
	gap, err := f.gapAround(ctx, id, seq, events)
	if err != nil || gap == nil {
		return 0, nil, err
	}
	return gap.To, func(seq int64) frame.Event {
		return frame.Event{Type: event.Lost, ChannelID: id, Seq: seq, ID: gap.ID, SentAt: gap.SentAt}
	}, nil
}

// gapAround returns the gap event that names seq as lost, nil for none: it is among events, or further
// up in the tail.
func (f *Feed) gapAround(ctx context.Context, id chat.ChannelID, seq int64, events []hub.Event) (*frame.Event, error) {
	look := func(kind event.Kind, b []byte) *frame.Event {
		if kind != event.Gap {
			return nil
		}
		if e, err := frame.DecodeEvent(b); err == nil && e.From <= seq && seq <= e.To {
			return &e
		}
		return nil
	}
	for _, e := range events {
		if g := look(e.Kind, e.Frame); g != nil {
			return g, nil
		}
	}
	items, err := f.cfg.Log.Tail(ctx, id, 2*warmEvents)
	if err != nil {
		return nil, err
	}
	for _, it := range items {
		if g := look(it.Kind, it.Frame); g != nil {
			return g, nil
		}
	}
	return nil, nil
}

func (f *Feed) stored(ctx context.Context, id chat.ChannelID, from, to int64, events []hub.Event) ([]hub.Event, error) {
	rows, err := f.cfg.History.Range(ctx, id, from, to)
	if err != nil {
		return nil, err
	}
	epoch := f.Known(id).Epoch // rows have none: they are of the numbering that the channel has now
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
