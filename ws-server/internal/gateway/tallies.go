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
	tallyEvery    = time.Second      // between two counts of a channel
	tallyMember   = time.Millisecond // the same per member: the largest channels are counted less often
	tallyAtLeast  = 20 * time.Second // however many there are
	tallyPatience = 5 * time.Second  // for the stores
	membersFor    = time.Minute      // how long a channel's stored cursors are believed
	membersAgain  = 5 * time.Second  // the same when somebody unknown has moved
)

// tallies tells the sender of the newest message of a large channel, on the connections that they have
// here, how many of the other members have it. A channel is counted when its cursors have moved, at most
// once a second, and only while that sender is connected here: what it costs depends neither on how many
// move nor on how many listen.
//
// A count takes, per member, the greater of what Redis and PostgreSQL have. One goroutine, run, counts.
type tallies struct {
	g    *Gateway
	wake chan struct{} // holds at most one token: a channel was added to moves

	mu    sync.Mutex // held for map work alone
	moves map[chat.ChannelID]int64

	// The counter's own.
	channels map[chat.ChannelID]*tally
}

// tally is a large channel in which cursors have moved lately.
type tally struct {
	moved  bool  // since it was counted
	upTo   int64 // the furthest that somebody has come meanwhile
	due    time.Time
	newest authored // the newest message that was found

	members map[chat.UserID]eventlog.Cursor // as they are stored
	read    time.Time                       // when they were read
}

// authored is a message and who sent it.
type authored struct {
	seq    int64
	sender chat.UserID
}

// moved notes that cursors of a channel have moved, as far as upTo; 0: nobody knows how far.
func (t *tallies) moved(id chat.ChannelID, upTo int64) {
	if upTo == 0 {
		upTo = math.MaxInt64
	}
	t.mu.Lock()
	t.moves[id] = max(t.moves[id], upTo)
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// run counts until ctx is done.
func (t *tallies) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		case <-timer.C:
		}
		t.gather()
		wait := membersFor // to forget those at rest
		for id, c := range t.channels {
			if c.moved && !c.due.After(time.Now()) {
				t.count(ctx, id, c)
			}
			switch now := time.Now(); {
			case c.moved:
				wait = min(wait, c.due.Sub(now))
			case now.Sub(c.due) > membersFor:
				delete(t.channels, id)
			}
		}
		timer.Reset(max(0, wait))
	}
}

func (t *tallies) gather() {
	t.mu.Lock()
	moves := t.moves
	t.moves = make(map[chat.ChannelID]int64)
	t.mu.Unlock()
	for id, upTo := range moves {
		c := t.channels[id]
		if c == nil {
			c = &tally{}
			t.channels[id] = c
		}
		c.moved, c.upTo = true, max(c.upTo, upTo)
	}
}

// count counts a channel, and sets when it may be counted again. What fails is tried again then.
func (t *tallies) count(ctx context.Context, id chat.ChannelID, c *tally) {
	bounded, cancel := context.WithTimeout(ctx, tallyPatience)
	defer cancel()
	members, err := t.tell(bounded, id, c)
	c.due = time.Now().Add(min(max(tallyEvery, time.Duration(members)*tallyMember), tallyAtLeast))
	if err == nil {
		c.moved, c.upTo = false, 0
	} else if ctx.Err() == nil {
		t.g.cfg.Logger.Warn("receipts not counted, trying again", "channel_id", id, "err", err)
	}
}

// tell tells the sender of the newest message that somebody may have come to, and returns how many members
// it has counted for that.
func (t *tallies) tell(ctx context.Context, id chat.ChannelID, c *tally) (members int, err error) {
	message, err := t.newestMessage(ctx, id, c)
	if err != nil || message.seq == 0 {
		return 0, err
	}
	var listeners []*client
	for _, conn := range t.g.clientsOf(message.sender) {
		if conn.subscription(id) != nil {
			listeners = append(listeners, conn)
		}
	}
	if len(listeners) == 0 {
		return 0, nil
	}
	counts, err := t.counts(ctx, id, c, message)
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
func (t *tallies) newestMessage(ctx context.Context, id chat.ChannelID, c *tally) (authored, error) {
	ch := t.g.cfg.Feed.Hub.Channel(id)
	if ch == nil {
		return authored{}, nil
	}
	recent := ch.Recent()
	for i := len(recent) - 1; i >= 0; i-- {
		if recent[i].Kind != event.Message || recent[i].Seq > c.upTo {
			continue
		}
		e, err := frame.DecodeEvent(recent[i].Frame)
		if err != nil {
			return authored{}, err
		}
		return authored{e.Seq, e.SenderID}, nil
	}
	if c.newest.seq > 0 && c.newest.seq <= c.upTo {
		return c.newest, nil
	}
	m, err := t.g.cfg.Store.NewestMessage(ctx, id, c.upTo)
	if err == nil && c.upTo >= c.newest.seq {
		c.newest = authored{m.Seq, m.SenderID}
	}
	return authored{m.Seq, m.SenderID}, err
}

// counts counts the members other than the sender of a message, without those connected here with whom the sender
// has a block.
func (t *tallies) counts(ctx context.Context, id chat.ChannelID, c *tally, message authored) (frame.ReceiptCounts, error) {
	counts := frame.ReceiptCounts{ChannelID: id, Seq: message.seq}
	held, err := t.g.cfg.Log.Cursors(ctx, id)
	if err != nil {
		return counts, err
	}
	if err := t.refresh(ctx, id, c, held); err != nil {
		return counts, err
	}
	silent := t.g.BlockedWith(message.sender)
	for user, at := range c.members {
		if _, blocked := silent[user]; blocked || user == message.sender {
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

// refresh reads a channel's members anew when that was long ago, or some while ago and Redis holds
// somebody who was none then. What was read before is good enough while PostgreSQL is away.
func (t *tallies) refresh(ctx context.Context, id chat.ChannelID, c *tally, held map[chat.UserID]eventlog.Cursor) error {
	age := time.Since(c.read)
	stale := age > membersFor
	if !stale && age > membersAgain {
		for user := range held {
			if _, ok := c.members[user]; !ok {
				stale = true
				break
			}
		}
	}
	if !stale {
		return nil
	}
	members, err := t.g.cfg.Store.Receipts(ctx, id)
	if err != nil && c.members == nil {
		return err
	}
	if err == nil {
		c.members = members
	}
	c.read = time.Now()
	return nil
}
