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
	minCountInterval       = time.Second      // between two counts of a channel
	countIntervalPerMember = time.Millisecond // the same per member: the largest channels are counted less often
	maxCountInterval       = 20 * time.Second // however many there are
	countTimeout           = 5 * time.Second  // for the stores
	memberCacheTTL         = time.Minute      // how long a channel's stored cursors are believed
	minMemberCacheAge      = 5 * time.Second  // the same when somebody unknown has moved
)

// receiptCounters tells the sender of the newest message of a large channel, on the connections that they have
// here, how many of the other members have it. A channel is counted when its cursors have moved, at most
// once a second, and only while that sender is connected here: what it costs depends neither on how many
// move nor on how many listen.
//
// A count takes, per member, the greater of what Redis and PostgreSQL have. One goroutine, run, counts.
type receiptCounters struct {
	g    *Gateway
	wake chan struct{} // holds at most one token: a channel was added to moves

	mu    sync.Mutex // held for map work alone
	moves map[chat.ChannelID]int64

	// The counter's own.
	channels map[chat.ChannelID]*receiptCounter
}

// receiptCounter is a large channel in which cursors have moved lately.
type receiptCounter struct {
	moved     bool  // since it was counted
	maxSeq    int64 // the furthest that somebody has come meanwhile
	nextCount time.Time
	newest    sentMessage // the newest message that was found

	members map[chat.UserID]eventlog.Cursor // as they are stored
	readAt  time.Time                       // when they were read
}

// sentMessage is a message and who sent it.
type sentMessage struct {
	seq    int64
	sender chat.UserID
}

// noteMoves notes that cursors of a channel have moved, as far as upTo; 0: nobody knows how far.
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

// run counts until ctx is done.
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
		wait := memberCacheTTL // to forget those at rest
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

// countChannel counts a channel, and sets when it may be counted again. What fails is tried again then.
func (r *receiptCounters) countChannel(ctx context.Context, id chat.ChannelID, counter *receiptCounter) {
	bounded, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	members, err := r.sendCounts(bounded, id, counter)
	counter.nextCount = time.Now().Add(min(max(minCountInterval, time.Duration(members)*countIntervalPerMember), maxCountInterval))
	if err == nil {
		counter.moved, counter.maxSeq = false, 0
	} else if ctx.Err() == nil {
		r.g.cfg.Logger.Warn("receipts not counted, trying again", "channel_id", id, "err", err)
	}
}

// sendCounts tells the sender of the newest message that somebody may have come to, and returns how many members
// it has counted for that.
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

// newestMessage returns the newest message up to c.upTo, with seq 0 for none: from the ring, which goes to
// the channel's end, else what was found before, else from PostgreSQL.
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

// countMembers counts the members other than the sender of a message, without those connected here with whom the sender
// has a block.
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

// refreshMembers reads a channel's members anew when that was long ago, or some while ago and Redis holds
// somebody who was none then. What was read before is good enough while PostgreSQL is away.
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
