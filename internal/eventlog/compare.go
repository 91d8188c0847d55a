package eventlog

import (
	"context"
	"slices"
	"time"

	"parley.chat/shared-contracts/chat"
)

const (
	comparePage    = 500              // channels of one question to PostgreSQL
	compareTimeout = time.Second      // for the answer: without it appends go by what Redis says
	compareAgain   = 30 * time.Second // after PostgreSQL gave no answer
	maxCompared    = 1 << 16          // channels that a lane remembers to have compared
)

// comparison is what a lane has compared with PostgreSQL over its present connection. A Redis that was restored
// from an older copy, or a replica that was promoted too early, is a new connection. Guarded by the lane's mu.
type comparison struct {
	// seqs are the highest seqs stored of channels. The first append of each is refused by Redis if its counter
	// is below.
	seqs   map[chat.ChannelID]int64
	lifted map[int]bool // partitions whose stream gives ids above the watermark
	unsure bool         // some of these PostgreSQL gave no answer about
	since  time.Time    // when unsure became true

	waiting []*line // parked until they are compared
	running bool    // a goroutine compares
}

// forgetLocked begins anew: the connection is another one.
func (c *comparison) forgetLocked() {
	c.seqs, c.lifted, c.unsure = map[chat.ChannelID]int64{}, map[int]bool{}, false
}

// comparedLocked returns the highest seq stored of a line's channel. If it is not known yet, the line is parked
// until PostgreSQL has been asked, and ok is false.
func (l *lane) comparedLocked(q *line) (stored int64, ok bool) {
	if l.a.cfg.Stored == nil {
		return 0, true
	}
	c := &l.compared
	if stored, ok = c.seqs[q.channel]; ok {
		return stored, true
	}
	if c.unsure { // PostgreSQL gave no answer a moment ago, so nobody waits for it: see compareAgainLocked
		return 0, true
	}
	q.state = parked
	c.waiting = append(c.waiting, q)
	if !c.running {
		c.running = true
		l.settling.Go(l.compare)
	}
	return 0, false
}

// compare asks PostgreSQL about the lines that wait for it, as many at a time as there are.
func (l *lane) compare() {
	for {
		l.mu.Lock()
		c := &l.compared
		lines := c.waiting[:min(len(c.waiting), comparePage)]
		if c.waiting = slices.Clone(c.waiting[len(lines):]); len(lines) == 0 {
			c.running = false
			l.mu.Unlock()
			return
		}
		turn := l.turn
		channels, partitions := make([]chat.ChannelID, len(lines)), map[int]bool{}
		for i, q := range lines {
			channels[i] = q.channel
			if p := l.a.log.Partition(q.channel.UUID); !c.lifted[p] {
				partitions[p] = true
			}
		}
		l.mu.Unlock()

		seqs, err := l.a.askStored(channels, partitions)
		if err != nil {
			l.a.cfg.Logger.Warn("Redis not compared with PostgreSQL, appends go by what it says", "channels", len(channels), "err", err)
		}

		l.mu.Lock()
		if turn == l.turn { // else they are asked about again
			l.noteComparedLocked(channels, partitions, seqs, err)
		}
		for _, q := range lines {
			l.landedLocked(q)
		}
		mine := l.startLocked()
		l.leftLocked()
		l.mu.Unlock()
		if mine {
			l.send()
		}
	}
}

func (l *lane) noteComparedLocked(channels []chat.ChannelID, partitions map[int]bool, seqs []int64, err error) {
	c := &l.compared
	if len(c.seqs)+len(channels) > maxCompared {
		clear(c.seqs)
	}
	for i, id := range channels {
		c.seqs[id] = 0
		if err == nil {
			c.seqs[id] = seqs[i]
		}
	}
	for p := range partitions {
		c.lifted[p] = true
	}
	if err != nil && !c.unsure {
		c.unsure, c.since = true, time.Now()
	}
}

// compareAgainLocked asks anew, some time after PostgreSQL gave no answer.
func (l *lane) compareAgainLocked(now time.Time) {
	if c := &l.compared; c.unsure && now.Sub(c.since) > compareAgain {
		c.forgetLocked()
	}
}

// askStored asks PostgreSQL how far channels are stored, and lifts the streams of partitions above their watermarks.
func (a *Appender) askStored(channels []chat.ChannelID, partitions map[int]bool) ([]int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), min(compareTimeout, a.cfg.Timeout/2))
	defer cancel()
	for p := range partitions {
		watermark, err := a.cfg.Stored.Watermark(ctx, p)
		if err != nil {
			return nil, err
		}
		last, lost, err := a.log.Lift(ctx, p, watermark)
		if err != nil {
			return nil, err
		}
		if lost {
			a.cfg.Logger.Error("Redis has lost writes: its stream ends below what is stored", "partition", p, "last_id", last, "watermark", watermark)
		}
	}
	return a.cfg.Stored.Seqs(ctx, channels)
}

// diverged settles an append that Redis has refused because what it has (found) is not what was seen, or is below
// what PostgreSQL holds (stored).
func (a *Appender) diverged(ctx context.Context, channel chat.ChannelID, found Head, stored int64) error {
	if found.Seq < stored {
		known := Head{Seq: stored, Epoch: found.Epoch}
		if a.cfg.Known != nil {
			seen := a.cfg.Known(channel)
			known.Seq = max(known.Seq, seen.Seq)
			if seen.Epoch.NewerThan(known.Epoch) {
				known.Epoch = seen.Epoch
			}
		}
		a.cfg.Logger.Error("Redis has lost writes, a new epoch begins", "channel_id", channel,
			"stored_seq", stored, "found_seq", found.Seq, "found_epoch", found.Epoch)
		head, err := a.log.Repair(ctx, channel, found, known, a.floor)
		if err != nil {
			return err
		}
		found = head
	}
	if a.cfg.Diverged == nil {
		return nil
	}
	return a.cfg.Diverged(ctx, channel, found)
}
