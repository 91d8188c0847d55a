package feed

import (
	"context"
	"fmt"
	"time"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/hub"
)

const (
	// holeAfter is how long a seq is looked for that nothing seems to hold. It may be on its way from one store to
	// the other, or PostgreSQL's newest rows may not be visible yet.
	holeAfter = 3 * time.Second
	maxHoles  = 10_000 // remembered; beyond it all are forgotten and found again
)

// hole is a run of seqs of a channel that no store holds: rows that somebody has deleted, or events that were lost
// together with Redis. It is shown as tombstones, so that what follows it can be read.
type hole struct {
	from, to int64
	at       chat.Time // when it was found
}

// place is a seq of a channel.
type place struct {
	channel chat.ChannelID
	seq     int64
}

// missing decides about a seq, which both stores have answered not to hold. It returns nil once the seq is known to
// be lost: a second read gets tombstones up to the next event, or to the given end. Until then it returns errHole.
func (f *Feed) missing(ctx context.Context, id chat.ChannelID, seq, to int64) error {
	f.mu.Lock()
	since, noted := f.missed[place{id, seq}]
	if !noted {
		if len(f.missed) >= maxHoles {
			clear(f.missed)
		}
		since = time.Now()
		f.missed[place{id, seq}] = since
	}
	f.mu.Unlock()
	if time.Since(since) >= holeAfter {
		_, err := f.once(ctx, fmt.Sprint("hole ", id, seq), func(ctx context.Context) ([]hub.Event, error) {
			return nil, f.confirm(ctx, id, seq, to)
		})
		return err
	}
	return fmt.Errorf("channel %s: %w %d", id, errHole, seq)
}

// confirm looks for a seq in the stream, then in the tail, then in the rows: what moves from one to the next
// meanwhile is found in the next. Where none of them has it, the hole is noted.
func (f *Feed) confirm(ctx context.Context, id chat.ChannelID, seq, to int64) error {
	if f.holeAt(id, seq) != nil {
		return nil // another was first
	}
	end := to
	if err := f.cfg.Log.Unstored(ctx, id, func(s int64, _ event.Epoch) {
		if s >= seq {
			end = min(end, s-1)
		}
	}); err != nil {
		return err
	}
	events, err := f.held(ctx, id, seq, to)
	if err != nil {
		return err
	}
	if len(events) > 0 {
		end = min(end, events[0].Seq-1)
	}
	f.mu.Lock()
	delete(f.missed, place{id, seq})
	f.mu.Unlock()
	if end < seq {
		return fmt.Errorf("channel %s: %w %d yet", id, errHole, seq) // it was on its way
	}
	f.cfg.Logger.Error("events are lost: no store holds them, clients are shown tombstones", "channel_id", id, "from", seq, "to", end)
	if f.cfg.Lost != nil {
		f.cfg.Lost(end - seq + 1)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.holesCount++; f.holesCount > maxHoles {
		clear(f.holes)
		f.holesCount = 1
	}
	f.holes[id] = append(f.holes[id], hole{from: seq, to: end, at: chat.Now()})
	return nil
}

// holeAt returns the hole that a seq lies in, nil for none.
func (f *Feed) holeAt(id chat.ChannelID, seq int64) *hole {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.holes[id] {
		if h.from <= seq && seq <= h.to {
			return &h
		}
	}
	return nil
}

// lost returns the event that stands for a seq of a hole: the tombstone that sync-service stores for it.
func (h *hole) lost(id chat.ChannelID, seq int64) frame.Event {
	return frame.Event{Type: event.Lost, ChannelID: id, Seq: seq, ID: chat.TombstoneID(id, seq), SentAt: h.at}
}
