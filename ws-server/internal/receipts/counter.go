package receipts

import (
	"context"
	"math"
	"sync"
	"time"

	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

const (
	minCountInterval       = time.Second      // minimum interval between two counts in the same channel
	countIntervalPerMember = time.Millisecond // the minimum interval increases by this for each member, so that large channels are counted less often
	maxCountInterval       = 20 * time.Second // maximum interval, reached in the largest channels
	countTimeout           = 5 * time.Second  // for one count
	memberCacheTTL         = time.Minute      // how long a channel's stored receipts are cached
	minMemberCacheAge      = 5 * time.Second  // minimum age of cached receipts before a receipt from an unknown member causes a new read
)

// counter is used for large channels. It sends the sender of a channel's newest message the number
// of other members who have received and read that message. A channel is counted after its receipts
// have changed, at most once a second, and only while that sender is subscribed through this
// gateway. The cost therefore depends neither on how many receipts change nor on how many members
// are subscribed.
//
// For each member, a count uses the higher of the positions in Redis and PostgreSQL. All counting
// happens in a single goroutine, run.
type counter struct {
	cfg  *Config
	wake chan struct{} // capacity 1; a token means that moves is not empty

	mu    sync.Mutex // guards moves; no I/O happens while it is held
	moves map[chat.ChannelID]int64

	// channels is used only by run.
	channels map[chat.ChannelID]*channelState
}

// channelState is the state of a large channel whose receipts have changed recently.
type channelState struct {
	moved     bool  // receipts have changed since the last count
	maxSeq    int64 // highest position that a member has reached since the last count
	nextCount time.Time

	members map[chat.UserID]receiptlog.Receipt // receipts read from PostgreSQL
	unknown int                                // number of users in Redis who were missing from members at readAt; most of them have left the channel
	readAt  time.Time                          // when members was read
}

// sentMessage is a message's seq and sender.
type sentMessage struct {
	seq    int64
	sender chat.UserID
}

func newCounter(cfg *Config) *counter {
	return &counter{
		cfg: cfg, wake: make(chan struct{}, 1), moves: make(map[chat.ChannelID]int64), channels: make(map[chat.ChannelID]*channelState),
	}
}

// noteMoves records that receipts in a channel have changed. maxSeq is the highest of their
// positions, or 0 if it is unknown.
func (c *counter) noteMoves(id chat.ChannelID, maxSeq int64) {
	if maxSeq == 0 {
		maxSeq = math.MaxInt64
	}
	c.mu.Lock()
	c.moves[id] = max(c.moves[id], maxSeq)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run counts channels until ctx is done.
func (c *counter) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		case <-timer.C:
		}
		c.collectMoves()
		wait := memberCacheTTL // the next pass removes idle channels
		for id, s := range c.channels {
			if s.moved && !s.nextCount.After(time.Now()) {
				c.countChannel(ctx, id, s)
			}
			switch now := time.Now(); {
			case s.moved:
				wait = min(wait, s.nextCount.Sub(now))
			case now.Sub(s.nextCount) > memberCacheTTL:
				delete(c.channels, id)
			}
		}
		timer.Reset(max(0, wait))
	}
}

func (c *counter) collectMoves() {
	c.mu.Lock()
	moves := c.moves
	c.moves = make(map[chat.ChannelID]int64)
	c.mu.Unlock()
	for id, maxSeq := range moves {
		s := c.channels[id]
		if s == nil {
			s = &channelState{}
			c.channels[id] = s
		}
		s.moved, s.maxSeq = true, max(s.maxSeq, maxSeq)
	}
}

// countChannel counts a channel's receipts and sets the time of the next count. A failed count is
// repeated at that time.
func (c *counter) countChannel(ctx context.Context, id chat.ChannelID, s *channelState) {
	bounded, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	members, err := c.sendCounts(bounded, id, s)
	s.nextCount = time.Now().Add(min(max(minCountInterval, time.Duration(members)*countIntervalPerMember), maxCountInterval))
	if err == nil {
		s.moved, s.maxSeq = false, 0
	} else if ctx.Err() == nil {
		c.cfg.Logger.Warn("failed to count receipts, retrying", "channel_id", id, "err", err)
	}
}

// sendCounts finds the newest message that a member may have received, and sends its receipt counts
// to its sender. It returns the number of members counted.
func (c *counter) sendCounts(ctx context.Context, id chat.ChannelID, s *channelState) (members int, err error) {
	message, err := c.newestMessage(ctx, id, s)
	if err != nil || message.seq == 0 {
		return 0, err
	}
	if !c.cfg.Subscribed(message.sender, id) {
		return 0, nil
	}
	counts, err := c.countMembers(ctx, id, s, message)
	if err != nil {
		return 0, err
	}
	c.cfg.SendTo(message.sender, id, counts)
	return counts.MemberCount, nil
}

// newestMessage returns the newest message up to s.maxSeq, or seq 0 if there is none. It searches
// the ring, which always holds the newest events, then PostgreSQL.
func (c *counter) newestMessage(ctx context.Context, id chat.ChannelID, s *channelState) (sentMessage, error) {
	ch := c.cfg.Hub.Channel(id)
	if ch == nil {
		return sentMessage{}, nil
	}
	recent := ch.Recent()
	for i := len(recent) - 1; i >= 0; i-- {
		if recent[i].Kind != event.Message || recent[i].Seq > s.maxSeq {
			continue
		}
		e, err := frame.DecodeEvent(recent[i].Frame)
		if err != nil {
			return sentMessage{}, err
		}
		return sentMessage{e.Seq, e.SenderID}, nil
	}
	m, err := c.cfg.Store.NewestMessage(ctx, id, s.maxSeq)
	return sentMessage{m.Seq, m.SenderID}, err
}

// countMembers counts the members of a channel and how many of them have received and read a
// message. It excludes the sender, and members connected to this gateway who have blocked the
// sender or are blocked by the sender.
func (c *counter) countMembers(ctx context.Context, id chat.ChannelID, s *channelState, message sentMessage) (frame.ReceiptCounts, error) {
	counts := frame.ReceiptCounts{ChannelID: id, Seq: message.seq}
	held, err := c.cfg.Log.Held(ctx, id)
	if err != nil {
		return counts, err
	}
	if err := c.refreshMembers(ctx, id, s, held); err != nil {
		return counts, err
	}
	blocked := c.cfg.BlockedWith(message.sender)
	for user, at := range s.members {
		if _, skip := blocked[user]; skip || user == message.sender {
			continue
		}
		at = at.Max(held[user])
		counts.MemberCount++
		if at.Delivered >= message.seq {
			counts.DeliveredCount++
		}
		if at.Read >= message.seq {
			counts.ReadCount++
		}
	}
	return counts, nil
}

// refreshMembers reads a channel's stored receipts again if they are older than memberCacheTTL. It
// also does so after minMemberCacheAge if Redis holds receipts of more unknown users than at the
// last read, because a member may have joined. While PostgreSQL is down, the old receipts are used.
func (c *counter) refreshMembers(ctx context.Context, id chat.ChannelID, s *channelState, held map[chat.UserID]receiptlog.Receipt) error {
	age := time.Since(s.readAt)
	if age <= minMemberCacheAge || age <= memberCacheTTL && s.countUnknown(held) <= s.unknown {
		return nil
	}
	members, err := c.cfg.Store.Receipts(ctx, id)
	switch {
	case err == nil:
		s.members, s.readAt = members, time.Now()
	case s.members == nil:
		return err
	default:
		s.readAt = time.Now().Add(storeRetryInterval - memberCacheTTL) // read again after storeRetryInterval
	}
	s.unknown = s.countUnknown(held)
	return nil
}

// countUnknown returns the number of users who are missing from the most recently read list of
// members.
func (s *channelState) countUnknown(users map[chat.UserID]receiptlog.Receipt) (n int) {
	for user := range users {
		if _, ok := s.members[user]; !ok {
			n++
		}
	}
	return n
}
