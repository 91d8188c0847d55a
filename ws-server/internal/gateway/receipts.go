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
	// smallChannel is the most members of a channel whose receipts go to every subscription. In a larger one
	// the sender of the newest message is told how many have it, see tallies.
	smallChannel = 100
	countedFor   = time.Minute             // how long a channel's size is believed
	guessedFor   = storeAgain              // the same for one that PostgreSQL could not tell
	sizePatience = 1500 * time.Millisecond // for PostgreSQL
	sizesAtOnce  = 500                     // channels whose size one query tells
)

// receipts tells the subscribers of a channel how far members have come. What is published is gathered
// while the goroutine, run, is at work: of several moves of a member the last is told.
//
// A receipt is news of the moment and may be lost: whoever needs to be sure asks over REST.
type receipts struct {
	g    *Gateway
	wake chan struct{} // holds at most one token: something was heard

	mu    sync.Mutex // held for map work alone
	heard map[chat.ChannelID]*movedMembers

	// The teller's own.
	sizes      map[chat.ChannelID]size
	storeAsked time.Time // when PostgreSQL did not answer last
}

// movedMembers are those of a channel whose moves were heard and not told yet.
type movedMembers struct {
	at   map[chat.UserID]eventlog.Cursor
	many bool  // more than a small channel has, or unnamed
	upTo int64 // the furthest of them; 0 is unknown
}

// size is whether a channel is small, and until when that is believed.
type size struct {
	small bool
	until time.Time
}

// Receipts takes what was published of moved cursors. It is called by the feed and does not block.
func (g *Gateway) Receipts(id chat.ChannelID, published []byte) {
	moves, err := event.DecodeMoves(string(published))
	if err != nil {
		g.cfg.Logger.Warn("published receipts not understood", "channel_id", id, "err", err)
		return
	}
	g.receipts.hear(id, moves)
}

// hear gathers the moves of a channel; none: some members have moved.
func (r *receipts) hear(id chat.ChannelID, moves []event.Receipt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.heard[id]
	if m == nil {
		m = &movedMembers{at: make(map[chat.UserID]eventlog.Cursor, len(moves))}
		r.heard[id] = m
	}
	for _, v := range moves {
		m.at[v.User] = m.at[v.User].Max(eventlog.Cursor{Delivered: v.Delivered, Read: v.Read})
		m.upTo = max(m.upTo, v.Delivered)
	}
	if m.many = m.many || len(moves) == 0; m.many {
		m.upTo = 0
	}
	if m.many = m.many || len(m.at) > smallChannel; m.many {
		m.at = make(map[chat.UserID]eventlog.Cursor) // nobody will be told of them one by one
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run tells until ctx is done.
func (r *receipts) run(ctx context.Context) {
	tick := time.NewTicker(countedFor)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for id, s := range r.sizes {
				if now.After(s.until) {
					delete(r.sizes, id)
				}
			}
			continue
		case <-r.wake:
		}
		r.mu.Lock()
		heard := r.heard
		r.heard = make(map[chat.ChannelID]*movedMembers)
		r.mu.Unlock()
		r.measure(ctx, heard)
		for id, m := range heard {
			if m.many || !r.sizes[id].small {
				r.g.tallies.moved(id, m.upTo)
			} else {
				r.tell(id, m)
			}
		}
		if !lifecycle.Sleep(ctx, cursorSpacing) {
			return
		}
	}
}

// measure sees to it that sizes has every channel of heard of which that matters.
func (r *receipts) measure(ctx context.Context, heard map[chat.ChannelID]*movedMembers) {
	now := time.Now()
	var unknown []chat.ChannelID
	for id, m := range heard {
		if !m.many && now.After(r.sizes[id].until) {
			unknown = append(unknown, id)
		}
	}
	for len(unknown) > 0 {
		page := unknown[:min(len(unknown), sizesAtOnce)]
		unknown = unknown[len(page):]
		counts, err := r.count(ctx, page)
		for i, id := range page {
			if err == nil {
				r.sizes[id] = size{counts[i] <= smallChannel, now.Add(countedFor)}
			} else {
				r.sizes[id] = r.guess(ctx, id)
			}
		}
	}
}

func (r *receipts) count(ctx context.Context, channels []chat.ChannelID) ([]int, error) {
	if time.Since(r.storeAsked) < storeAgain {
		return nil, context.DeadlineExceeded
	}
	ctx, cancel := context.WithTimeout(ctx, sizePatience)
	defer cancel()
	counts, err := r.g.cfg.Store.CountMembers(ctx, channels, smallChannel+1)
	if err != nil {
		r.storeAsked = time.Now()
		r.g.cfg.Logger.Warn("sizes of channels not read, guessing", "channels", len(channels), "err", err)
	}
	return counts, err
}

// guess judges a channel's size without PostgreSQL: by what was last known, else by the cursors that
// Redis holds, which are fewer than its members or as many.
func (r *receipts) guess(ctx context.Context, id chat.ChannelID) size {
	until := time.Now().Add(guessedFor)
	if known, ok := r.sizes[id]; ok {
		return size{known.small, until}
	}
	ctx, cancel := context.WithTimeout(ctx, sizePatience)
	defer cancel()
	held, err := r.g.cfg.Log.Cursors(ctx, id)
	return size{err == nil && len(held) <= smallChannel, until}
}

// tell hands the moves of a small channel to its subscriptions here, as one frame; those of members with blocks
// each as one of its own, which the users of those blocks do not get.
func (r *receipts) tell(id chat.ChannelID, m *movedMembers) {
	ch := r.g.cfg.Feed.Hub.Channel(id)
	if ch == nil {
		return
	}
	frames := make([][]byte, 0, len(m.at))
	for user, at := range m.at {
		text := frame.Encode(frame.Receipt{ChannelID: id, UserID: user, DeliveredSeq: at.Delivered, ReadSeq: at.Read})
		if deaf := r.g.BlockedWith(user); deaf != nil {
			ch.PublishEphemeral(text, chat.UserID{}, deaf)
			continue
		}
		frames = append(frames, text)
	}
	if len(frames) > 0 {
		ch.PublishEphemeral(bytes.Join(frames, []byte{'\n'}), chat.UserID{}, nil)
	}
}
