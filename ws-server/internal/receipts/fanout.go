package receipts

import (
	"bytes"
	"context"
	"sync"
	"time"

	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/internal/platform/lifecycle"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

const (
	// maxSmallChannel is the maximum number of members in a small channel. In a small channel,
	// receipts are sent to every subscription. In a larger channel, only the sender of the newest
	// message is notified, and only of counts; see counter.
	maxSmallChannel  = 100
	sizeTTL          = time.Minute             // how long a channel's size is cached
	estimatedSizeTTL = storeRetryInterval      // how long an estimated size is cached
	sizeTimeout      = 1500 * time.Millisecond // limits one read or one estimate of channel sizes
	maxSizesPerQuery = 500                     // maximum number of channels per query
)

// fanout delivers members' receipts to the subscribers of their channels. It collects the receipts
// that are published while its goroutine is busy, and delivers only the newest receipt of each
// member.
//
// Receipts are ephemeral and may be lost. Clients that need reliable values read them over REST.
type fanout struct {
	cfg     *Config
	counter *counter      // handles the channels that are not small
	wake    chan struct{} // capacity 1; a token means that pending is not empty

	mu      sync.Mutex // guards pending; no I/O happens while it is held
	pending map[chat.ChannelID]*movedReceipts

	// These fields are used only by run.
	sizes         map[chat.ChannelID]channelSize
	storeFailedAt time.Time // when PostgreSQL last failed
}

// movedReceipts holds the receipts in a channel that have moved but have not been delivered yet.
type movedReceipts struct {
	positions map[chat.UserID]receiptlog.Receipt
	countOnly bool  // only counts are sent: too many receipts have moved, or they were published without user ids
	maxSeq    int64 // highest delivered position of the moved receipts; 0 if unknown
}

// channelSize records whether a channel is small and how long that remains valid.
type channelSize struct {
	small      bool
	validUntil time.Time
}

func newFanout(cfg *Config, c *counter) *fanout {
	return &fanout{
		cfg: cfg, counter: c, wake: make(chan struct{}, 1),
		pending: make(map[chat.ChannelID]*movedReceipts), sizes: make(map[chat.ChannelID]channelSize),
	}
}

// add collects the receipts that have moved in a channel. An empty list means that too many
// receipts have moved to be listed individually.
func (f *fanout) add(id chat.ChannelID, moves []event.Receipt) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.pending[id]
	if m == nil {
		m = &movedReceipts{positions: make(map[chat.UserID]receiptlog.Receipt, len(moves))}
		f.pending[id] = m
	}
	for _, v := range moves {
		m.positions[v.User] = m.positions[v.User].Max(receiptlog.Receipt{Delivered: v.Delivered, Read: v.Read})
		m.maxSeq = max(m.maxSeq, v.Delivered)
	}
	if m.countOnly = m.countOnly || len(moves) == 0; m.countOnly {
		m.maxSeq = 0
	}
	if m.countOnly = m.countOnly || len(m.positions) > maxSmallChannel; m.countOnly {
		m.positions = make(map[chat.UserID]receiptlog.Receipt) // positions are not needed to count receipts
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// run delivers receipts until ctx is done.
func (f *fanout) run(ctx context.Context) {
	tick := time.NewTicker(sizeTTL)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for id, s := range f.sizes {
				if now.After(s.validUntil) {
					delete(f.sizes, id)
				}
			}
			continue
		case <-f.wake:
		}
		f.mu.Lock()
		pending := f.pending
		f.pending = make(map[chat.ChannelID]*movedReceipts)
		f.mu.Unlock()
		f.refreshSizes(ctx, pending)
		for id, m := range pending {
			if m.countOnly || !f.sizes[id].small {
				f.counter.noteMoves(id, m.maxSeq)
			} else {
				f.deliver(id, m)
			}
		}
		if !lifecycle.Sleep(ctx, roundInterval) {
			return
		}
	}
}

// refreshSizes updates sizes for the channels in pending whose size is needed and not cached.
func (f *fanout) refreshSizes(ctx context.Context, pending map[chat.ChannelID]*movedReceipts) {
	now := time.Now()
	var unknown []chat.ChannelID
	for id, m := range pending {
		if !m.countOnly && now.After(f.sizes[id].validUntil) {
			unknown = append(unknown, id)
		}
	}
	for len(unknown) > 0 {
		page := unknown[:min(len(unknown), maxSizesPerQuery)]
		unknown = unknown[len(page):]
		counts, err := f.countMembers(ctx, page)
		for i, id := range page {
			if err == nil {
				f.sizes[id] = channelSize{counts[i] <= maxSmallChannel, now.Add(sizeTTL)}
			} else {
				f.sizes[id] = f.estimateSize(ctx, id)
			}
		}
	}
}

func (f *fanout) countMembers(ctx context.Context, channels []chat.ChannelID) ([]int, error) {
	if time.Since(f.storeFailedAt) < storeRetryInterval {
		return nil, context.DeadlineExceeded
	}
	ctx, cancel := context.WithTimeout(ctx, sizeTimeout)
	defer cancel()
	counts, err := f.cfg.Store.CountMembers(ctx, channels, maxSmallChannel+1)
	if err != nil {
		f.storeFailedAt = time.Now()
		f.cfg.Logger.Warn("failed to read channel sizes, estimating them", "channels", len(channels), "err", err)
	}
	return counts, err
}

// estimateSize estimates a channel's size without PostgreSQL. It uses the last known size, or else
// the number of receipts in Redis, which is at most the number of members.
func (f *fanout) estimateSize(ctx context.Context, id chat.ChannelID) channelSize {
	validUntil := time.Now().Add(estimatedSizeTTL)
	if known, ok := f.sizes[id]; ok {
		return channelSize{known.small, validUntil}
	}
	ctx, cancel := context.WithTimeout(ctx, sizeTimeout)
	defer cancel()
	held, err := f.cfg.Log.Held(ctx, id)
	return channelSize{err == nil && len(held) <= maxSmallChannel, validUntil}
}

// deliver sends the receipts that have moved in a small channel to the channel's subscriptions on
// this gateway, in one frame. If a member has blocked other users or is blocked by them, the
// member's receipt is sent in a separate frame, which those users do not receive.
func (f *fanout) deliver(id chat.ChannelID, m *movedReceipts) {
	ch := f.cfg.Hub.Channel(id)
	if ch == nil {
		return
	}
	frames := make([][]byte, 0, len(m.positions))
	for user, at := range m.positions {
		text := frame.Encode(frame.Receipt{ChannelID: id, UserID: user, DeliveredSeq: at.Delivered, ReadSeq: at.Read})
		if blocked := f.cfg.BlockedWith(user); blocked != nil {
			ch.PublishEphemeral(text, chat.UserID{}, blocked)
			continue
		}
		frames = append(frames, text)
	}
	if len(frames) > 0 {
		ch.PublishEphemeral(bytes.Join(frames, []byte{'\n'}), chat.UserID{}, nil)
	}
}
