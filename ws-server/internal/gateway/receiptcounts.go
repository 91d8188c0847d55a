package gateway

import (
	"context"
	"math"
	"sync"
	"time"

	"parley.chat/internal/eventlog"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/connection"
)

const (
	minCountInterval       = time.Second      // minimum interval between two counts of a channel
	countIntervalPerMember = time.Millisecond // lengthens the interval, so that large channels are counted less often
	maxCountInterval       = 20 * time.Second // limit of the interval in the largest channels
	countTimeout           = 5 * time.Second  // for one count
	memberCacheTTL         = time.Minute      // how long the stored receipts of a channel are cached
	minMemberCacheAge      = 5 * time.Second  // minimum age for reading them again because an unknown member has moved
)

// receiptCounters tells the sender of the newest message in a large channel how many other members
// have received and read it. A channel is counted after its receipts have moved, at most once a
// second, and only while that sender is subscribed through this gateway. The cost therefore depends
// neither on how many members move nor on how many are subscribed.
//
// A count uses, for each member, the higher of the positions in Redis and in PostgreSQL. A single
// goroutine, run, counts.
type receiptCounters struct {
	g    *Gateway
	wake chan struct{} // holds at most one token, which means that moves is not empty

	mu    sync.Mutex // guards moves; no I/O happens while it is held
	moves map[chat.ChannelID]int64

	// channels is used only by run.
	channels map[chat.ChannelID]*receiptCounter
}

// receiptCounter is the state of a large channel whose receipts have moved recently.
type receiptCounter struct {
	moved     bool  // receipts have moved since the last count
	maxSeq    int64 // highest position that a member has reached since then
	nextCount time.Time
	newest    sentMessage // the newest message found in PostgreSQL

	members map[chat.UserID]eventlog.Cursor // receipts read from PostgreSQL
	readAt  time.Time                       // when members was read
}

// sentMessage is a message's seq and sender.
type sentMessage struct {
	seq    int64
	sender chat.UserID
}

// noteMoves records that receipts of a channel have moved, up to maxSeq; 0 means that the position
// is unknown.
func (r *receiptCounters) noteMoves(id chat.ChannelID, maxSeq int64) {
	if maxSeq == 0 {
		maxSeq = math.MaxInt64
	}
	r.mu.Lock()
	r.moves[id] = max(r.moves[id], maxSeq)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run counts channels until ctx is done.
func (r *receiptCounters) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
		}
		r.collectMoves()
		wait := memberCacheTTL // the next pass removes idle channels
		for id, counter := range r.channels {
			if counter.moved && !counter.nextCount.After(time.Now()) {
				r.countChannel(ctx, id, counter)
			}
			switch now := time.Now(); {
			case counter.moved:
				wait = min(wait, counter.nextCount.Sub(now))
			case now.Sub(counter.nextCount) > memberCacheTTL:
				delete(r.channels, id)
			}
		}
		timer.Reset(max(0, wait))
	}
}

func (r *receiptCounters) collectMoves() {
	r.mu.Lock()
	moves := r.moves
	r.moves = make(map[chat.ChannelID]int64)
	r.mu.Unlock()
	for id, maxSeq := range moves {
		counter := r.channels[id]
		if counter == nil {
			counter = &receiptCounter{}
			r.channels[id] = counter
		}
		counter.moved, counter.maxSeq = true, max(counter.maxSeq, maxSeq)
	}
}

// countChannel counts a channel and sets the time of the next count. A failed count is repeated
// then.
func (r *receiptCounters) countChannel(ctx context.Context, id chat.ChannelID, counter *receiptCounter) {
	bounded, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	members, err := r.sendCounts(bounded, id, counter)
	counter.nextCount = time.Now().Add(min(max(minCountInterval, time.Duration(members)*countIntervalPerMember), maxCountInterval))
	if err == nil {
		counter.moved, counter.maxSeq = false, 0
	} else if ctx.Err() == nil {
		r.g.cfg.Logger.Warn("failed to count receipts, retrying", "channel_id", id, "err", err)
	}
}

// sendCounts sends the counts of the newest message that a member may have reached to the sender of
// that message. It returns the number of members counted.
func (r *receiptCounters) sendCounts(ctx context.Context, id chat.ChannelID, counter *receiptCounter) (members int, err error) {
	message, err := r.newestMessage(ctx, id, counter)
	if err != nil || message.seq == 0 {
		return 0, err
	}
	var listeners []*client
	for _, conn := range r.g.clientsOf(message.sender) {
		if conn.subscription(id) != nil {
			listeners = append(listeners, conn)
		}
	}
	if len(listeners) == 0 {
		return 0, nil
	}
	counts, err := r.countMembers(ctx, id, counter, message)
	if err != nil {
		return 0, err
	}
	text := connection.Text(frame.Encode(counts))
	for _, conn := range listeners {
		conn.DeliverEphemeral(text)
	}
	return counts.MemberCount, nil
}

// newestMessage returns the newest message up to counter.maxSeq, or seq 0 if there is none. It
// searches the ring, which always holds the newest events, then the message found last time, then
// PostgreSQL.
func (r *receiptCounters) newestMessage(ctx context.Context, id chat.ChannelID, counter *receiptCounter) (sentMessage, error) {
	ch := r.g.cfg.Feed.Hub.Channel(id)
	if ch == nil {
		return sentMessage{}, nil
	}
	recent := ch.Recent()
	for i := len(recent) - 1; i >= 0; i-- {
		if recent[i].Kind != event.Message || recent[i].Seq > counter.maxSeq {
			continue
		}
		e, err := frame.DecodeEvent(recent[i].Frame)
		if err != nil {
			return sentMessage{}, err
		}
		return sentMessage{e.Seq, e.SenderID}, nil
	}
	if counter.newest.seq > 0 && counter.newest.seq <= counter.maxSeq {
		return counter.newest, nil
	}
	m, err := r.g.cfg.Store.NewestMessage(ctx, id, counter.maxSeq)
	if err == nil && counter.maxSeq >= counter.newest.seq {
		counter.newest = sentMessage{m.Seq, m.SenderID}
	}
	return sentMessage{m.Seq, m.SenderID}, err
}

// countMembers counts the members of a channel and how many of them have received and read a
// message. It excludes the sender, and members connected to this gateway who have a block with the
// sender.
func (r *receiptCounters) countMembers(ctx context.Context, id chat.ChannelID, counter *receiptCounter, message sentMessage) (frame.ReceiptCounts, error) {
	counts := frame.ReceiptCounts{ChannelID: id, Seq: message.seq}
	held, err := r.g.cfg.Log.Cursors(ctx, id)
	if err != nil {
		return counts, err
	}
	if err := r.refreshMembers(ctx, id, counter, held); err != nil {
		return counts, err
	}
	blocked := r.g.BlockedWith(message.sender)
	for user, at := range counter.members {
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
// also does so after minMemberCacheAge if Redis holds a receipt of an unknown member. While
// PostgreSQL is down, the old ones are used.
func (r *receiptCounters) refreshMembers(ctx context.Context, id chat.ChannelID, counter *receiptCounter, held map[chat.UserID]eventlog.Cursor) error {
	age := time.Since(counter.readAt)
	stale := age > memberCacheTTL
	if !stale && age > minMemberCacheAge {
		for user := range held {
			if _, ok := counter.members[user]; !ok {
				stale = true
				break
			}
		}
	}
	if !stale {
		return nil
	}
	members, err := r.g.cfg.Store.Receipts(ctx, id)
	if err != nil && counter.members == nil {
		return err
	}
	if err == nil {
		counter.members = members
	}
	counter.readAt = time.Now()
	return nil
}
