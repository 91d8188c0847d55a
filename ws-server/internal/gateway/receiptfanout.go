package gateway

import (
	"bytes"
	"context"
	"sync"
	"time"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/lifecycle"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

const (
	// maxSmallChannel is the most members of a channel whose receipts go to every subscription. In a larger one
	// the sender of the newest message is told how many have it, see tallies.
	maxSmallChannel  = 100
	sizeTTL          = time.Minute             // how long a channel's size is believed
	estimatedSizeTTL = storeRetryInterval      // the same for one that PostgreSQL could not tell
	sizeTimeout      = 1500 * time.Millisecond // for PostgreSQL
	maxSizesPerQuery = 500                     // channels whose size one query tells
)

// receiptFanout tells the subscribers of a channel how far members have come. What is published is gathered
// while the goroutine, run, is at work: of several moves of a member the last is told.
//
// A receipt is news of the moment and may be lost: whoever needs to be sure asks over REST.
type receiptFanout struct {
	g    *Gateway
	wake chan struct{} // holds at most one token: something was heard

	mu      sync.Mutex // held for map work alone
	pending map[chat.ChannelID]*movedReceipts

	// The teller's own.
	sizes         map[chat.ChannelID]channelSize
	storeFailedAt time.Time // when PostgreSQL did not answer last
}

// movedReceipts are those of a channel whose moves were heard and not told yet.
type movedReceipts struct {
	positions map[chat.UserID]eventlog.Cursor
	countOnly bool  // more than a small channel has, or unnamed
	maxSeq    int64 // the furthest of them; 0 is unknown
}

// channelSize is whether a channel is small, and until when that is believed.
type channelSize struct {
	small      bool
	validUntil time.Time
}

// Receipts takes what was published of moved cursors. It is called by the feed and does not block.
func (g *Gateway) Receipts(id chat.ChannelID, published []byte) {
	moves, err := event.DecodeMoves(string(published))
	if err != nil {
		g.cfg.Logger.Warn("published receipts not understood", "channel_id", id, "err", err)
		return
	}
	g.receiptFanout.add(id, moves)
}

// add gathers the moves of a channel; none: some members have moved.
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
		m.positions = make(map[chat.UserID]eventlog.Cursor) // nobody will be told of them one by one
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run tells until ctx is done.
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

// refreshSizes sees to it that sizes has every channel of heard of which that matters.
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
		r.g.cfg.Logger.Warn("sizes of channels not read, guessing", "channels", len(channels), "err", err)
	}
	return counts, err
}

// estimateSize judges a channel's size without PostgreSQL: by what was last known, else by the cursors that
// Redis holds, which are fewer than its members or as many.
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

// deliver hands the moves of a small channel to its subscriptions here, as one frame; those of members with blocks
// each as one of its own, which the users of those blocks do not get.
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
