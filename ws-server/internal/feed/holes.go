package feed

import (
	"context"
	"fmt"
	"time"

	"parley.chat/internal/eventlog/replay"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/ws-server/internal/hub"
)

const (
	// holeTimeout is how long a seq must be missing from both Redis and PostgreSQL before it counts
	// as lost. Until then its event may be in transit from Redis to PostgreSQL, or the newest
	// PostgreSQL rows may not be visible yet.
	holeTimeout = 3 * time.Second
	// maxHoles limits the number of recorded holes and the number of recorded missing seqs. When a
	// limit is exceeded, all records of that kind are dropped; the records that are still needed
	// are created again.
	maxHoles = 10_000
)

// channelSeq identifies a seq in a channel.
type channelSeq struct {
	channel chat.ChannelID
	seq     int64
}

// confirmMissing handles a seq that neither Redis nor PostgreSQL holds. Once the seq is known to be
// lost, confirmMissing returns nil. The caller must then read again: the second read returns
// tombstones up to the next event or to the end of the range. Until then confirmMissing returns
// errHole.
func (f *Feed) confirmMissing(ctx context.Context, id chat.ChannelID, seq, to int64) error {
	f.mu.Lock()
	since, noted := f.missed[channelSeq{id, seq}]
	if !noted {
		if len(f.missed) >= maxHoles {
			clear(f.missed)
		}
		since = time.Now()
		f.missed[channelSeq{id, seq}] = since
	}
	f.mu.Unlock()
	if time.Since(since) >= holeTimeout {
		_, err := f.share(ctx, fmt.Sprint("hole ", id, seq), func(ctx context.Context) ([]hub.Event, error) {
			return nil, f.recordHole(ctx, id, seq, to)
		})
		return err
	}
	return fmt.Errorf("channel %s: %w %d", id, errHole, seq)
}

// recordHole searches for a seq in the stream, then in the tail, then in PostgreSQL. This order
// also finds an event that is being moved during the search. If none of them holds the seq,
// recordHole records a hole.
func (f *Feed) recordHole(ctx context.Context, id chat.ChannelID, seq, to int64) error {
	if _, known := f.holeAt(id, seq); known {
		return nil // a concurrent call was faster
	}
	end := to
	if err := f.cfg.Log.Unstored(ctx, id, func(s int64, _ event.Epoch) {
		if s >= seq {
			end = min(end, s-1)
		}
	}); err != nil {
		return err
	}
	events, err := f.fetchWithHoles(ctx, id, seq, to)
	if err != nil {
		return err
	}
	if len(events) > 0 {
		end = min(end, events[0].Seq-1)
	}
	f.mu.Lock()
	delete(f.missed, channelSeq{id, seq})
	f.mu.Unlock()
	if end < seq {
		return fmt.Errorf("channel %s: %w %d yet", id, errHole, seq) // it was moving between the stores
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
	f.holes[id] = append(f.holes[id], replay.Loss{From: seq, To: end, At: chat.Now()})
	return nil
}

// holeAt returns the recorded hole that contains seq.
func (f *Feed) holeAt(id chat.ChannelID, seq int64) (hole replay.Loss, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.holes[id] {
		if h.Has(seq) {
			return h, true
		}
	}
	return replay.Loss{}, false
}
