package gateway

import (
	"bytes"
	"context"
	"sync"
	"time"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/platform/lifecycle"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

const (
	// maxSmallChannel is the maximum size of a small channel. In a small channel, receipts go to
	// every subscription. In a larger one, only the sender of the newest message gets the number of
	// receipts, see receiptCounters.
	maxSmallChannel  = 100
	sizeTTL          = time.Minute             // how long a channel's size is cached
	estimatedSizeTTL = storeRetryInterval      // how long an estimated size is cached
	sizeTimeout      = 1500 * time.Millisecond // for reading sizes from PostgreSQL or estimating one
	maxSizesPerQuery = 500                     // channels per query
)

// receiptFanout delivers the receipts of members to the subscribers of their channels. Moves that
// are published while the goroutine, run, is busy are collected, and only the last move of each
// member is delivered.
//
// Receipts are ephemeral and may be lost. Clients that need reliable values read them over REST.
type receiptFanout struct {
	g    *Gateway
	wake chan struct{} // holds at most one token, which means that pending is not empty

	mu      sync.Mutex // guards pending; no I/O happens while it is held
	pending map[chat.ChannelID]*movedReceipts

	// These fields are used only by run.
	sizes         map[chat.ChannelID]channelSize
	storeFailedAt time.Time // when PostgreSQL last failed
}

// movedReceipts are the receipts of a channel that have moved and have not been delivered yet.
type movedReceipts struct {
	positions map[chat.UserID]eventlog.Cursor
	countOnly bool  // too many moves for a small channel, or published without user ids
	maxSeq    int64 // highest delivered position among them; 0 if unknown
}

// channelSize records whether a channel is small and how long that remains valid.
type channelSize struct {
	small      bool
	validUntil time.Time
}

// Receipts handles published moves of receipts in a channel. The feed calls it; it does not block.
func (g *Gateway) Receipts(id chat.ChannelID, published []byte) {
	moves, err := event.DecodeMoves(string(published))
	if err != nil {
		g.cfg.Logger.Warn("malformed published receipts", "channel_id", id, "err", err)
		return
	}
	g.receiptFanout.add(id, moves)
}

// add collects the moves of a channel. An empty list means that too many members have moved to list
// them individually.
func (r *receiptFanout) add(id chat.ChannelID, moves []event.Receipt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.pending[id]
	if m == nil {
		m = &movedReceipts{positions: make(map[chat.UserID]eventlog.Cursor, len(moves))}
		r.pending[id] = m
	}
	for _, v := range moves {
		m.positions[v.User] = m.positions[v.User].Max(eventlog.Cursor{Delivered: v.Delivered, Read: v.Read})
		m.maxSeq = max(m.maxSeq, v.Delivered)
	}
	if m.countOnly = m.countOnly || len(moves) == 0; m.countOnly {
		m.maxSeq = 0
	}
	if m.countOnly = m.countOnly || len(m.positions) > maxSmallChannel; m.countOnly {
		m.positions = make(map[chat.UserID]eventlog.Cursor) // not needed: receipts are only counted
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run delivers receipts until ctx is done.
func (r *receiptFanout) run(ctx context.Context) {
	tick := time.NewTicker(sizeTTL)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for id, s := range r.sizes {
				if now.After(s.validUntil) {
					delete(r.sizes, id)
				}
			}
			continue
		case <-r.wake:
		}
		r.mu.Lock()
		pending := r.pending
		r.pending = make(map[chat.ChannelID]*movedReceipts)
		r.mu.Unlock()
		r.refreshSizes(ctx, pending)
		for id, m := range pending {
			if m.countOnly || !r.sizes[id].small {
				r.g.receiptCounters.noteMoves(id, m.maxSeq)
			} else {
				r.deliver(id, m)
			}
		}
		if !lifecycle.Sleep(ctx, receiptRoundInterval) {
			return
		}
	}
}

// refreshSizes updates sizes for the channels in pending whose size is needed and not cached.
func (r *receiptFanout) refreshSizes(ctx context.Context, pending map[chat.ChannelID]*movedReceipts) {
	now := time.Now()
	var unknown []chat.ChannelID
	for id, m := range pending {
		if !m.countOnly && now.After(r.sizes[id].validUntil) {
			unknown = append(unknown, id)
		}
	}
	for len(unknown) > 0 {
		page := unknown[:min(len(unknown), maxSizesPerQuery)]
		unknown = unknown[len(page):]
		counts, err := r.countMembers(ctx, page)
		for i, id := range page {
			if err == nil {
				r.sizes[id] = channelSize{counts[i] <= maxSmallChannel, now.Add(sizeTTL)}
			} else {
				r.sizes[id] = r.estimateSize(ctx, id)
			}
		}
	}
}

func (r *receiptFanout) countMembers(ctx context.Context, channels []chat.ChannelID) ([]int, error) {
	if time.Since(r.storeFailedAt) < storeRetryInterval {
		return nil, context.DeadlineExceeded
	}
	ctx, cancel := context.WithTimeout(ctx, sizeTimeout)
	defer cancel()
	counts, err := r.g.cfg.Store.CountMembers(ctx, channels, maxSmallChannel+1)
	if err != nil {
		r.storeFailedAt = time.Now()
		r.g.cfg.Logger.Warn("failed to read channel sizes, estimating them", "channels", len(channels), "err", err)
	}
	return counts, err
}

// estimateSize estimates a channel's size without PostgreSQL. It uses the last known size, or else
// the number of receipts in Redis, which is at most the number of members.
func (r *receiptFanout) estimateSize(ctx context.Context, id chat.ChannelID) channelSize {
	validUntil := time.Now().Add(estimatedSizeTTL)
	if known, ok := r.sizes[id]; ok {
		return channelSize{known.small, validUntil}
	}
	ctx, cancel := context.WithTimeout(ctx, sizeTimeout)
	defer cancel()
	held, err := r.g.cfg.Log.Cursors(ctx, id)
	return channelSize{err == nil && len(held) <= maxSmallChannel, validUntil}
}

// deliver sends the moves of a small channel to its subscriptions here, in one frame. A move of a
// member with blocks is sent in a frame of its own, which skips the users of those blocks.
func (r *receiptFanout) deliver(id chat.ChannelID, m *movedReceipts) {
	ch := r.g.cfg.Feed.Hub.Channel(id)
	if ch == nil {
		return
	}
	frames := make([][]byte, 0, len(m.positions))
	for user, at := range m.positions {
		text := frame.Encode(frame.Receipt{ChannelID: id, UserID: user, DeliveredSeq: at.Delivered, ReadSeq: at.Read})
		if blocked := r.g.BlockedWith(user); blocked != nil {
			ch.PublishEphemeral(text, chat.UserID{}, blocked)
			continue
		}
		frames = append(frames, text)
	}
	if len(frames) > 0 {
		ch.PublishEphemeral(bytes.Join(frames, []byte{'\n'}), chat.UserID{}, nil)
	}
}
