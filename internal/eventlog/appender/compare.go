package appender

import (
	"context"
	"slices"
	"time"

	"parley.chat/internal/eventlog"
	"parley.chat/shared-contracts/chat"
)

const (
	comparePage    = 500              // maximum number of channels per query to PostgreSQL
	compareTimeout = time.Second      // timeout of one query; if it expires, appends trust the counters in Redis
	compareAgain   = 30 * time.Second // delay before PostgreSQL is queried again after it failed to answer
	maxCompared    = 1 << 16          // maximum number of compared channels that a lane remembers
)

// comparison records which channels and partitions a lane has compared with PostgreSQL since its
// connection was opened. A lane sends the appends over one connection. One comparison per
// connection is enough: if Redis is restored from an older copy, or a replica is promoted too
// early, the connection is always lost. The lane's mu guards the comparison.
type comparison struct {
	// seqs holds the highest stored seq of each channel. Redis refuses appends to a channel whose
	// counter is lower.
	seqs   map[chat.ChannelID]int64
	lifted map[int]bool // partitions whose stream is known to generate ids above the watermark
	unsure bool         // whether PostgreSQL failed to answer for some of the recorded channels or partitions
	since  time.Time    // when unsure became true

	waiting []*queue // queues that wait until their channels have been compared with PostgreSQL
	running bool     // a goroutine is running compare
}

// forgetLocked discards all comparisons, so that each channel is compared again. It is called for a
// new connection, and by compareAgainLocked.
func (c *comparison) forgetLocked() {
	c.seqs, c.lifted, c.unsure = map[chat.ChannelID]int64{}, map[int]bool{}, false
}

// storedSeqLocked returns the highest stored seq of a queue's channel. If the seq is not known yet,
// storedSeqLocked returns false, and the queue waits until PostgreSQL has answered.
func (l *lane) storedSeqLocked(q *queue) (stored int64, ok bool) {
	if l.a.cfg.Stored == nil {
		return 0, true
	}
	c := &l.compared
	if stored, ok = c.seqs[q.channel]; ok {
		return stored, true
	}
	if c.unsure { // PostgreSQL recently failed to answer, so don't wait for it; see compareAgainLocked
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

// compare reads the stored seqs of the waiting queues' channels from PostgreSQL and then releases
// the queues. One query covers up to comparePage channels.
func (l *lane) compare() {
	for {
		l.mu.Lock()
		c := &l.compared
		queues := c.waiting[:min(len(c.waiting), comparePage)]
		if c.waiting = slices.Clone(c.waiting[len(queues):]); len(queues) == 0 {
			c.running = false
			l.mu.Unlock()
			return
		}
		gen := l.gen
		channels, partitions := make([]chat.ChannelID, len(queues)), map[int]bool{}
		for i, q := range queues {
			channels[i] = q.channel
			if p := l.a.log.Partition(q.channel.UUID); !c.lifted[p] {
				partitions[p] = true
			}
		}
		l.mu.Unlock()

		seqs, err := l.a.askStored(channels, partitions)
		if err != nil {
			l.a.cfg.Logger.Warn("failed to compare Redis with PostgreSQL, appends trust Redis", "channels", len(channels), "err", err)
		}

		l.mu.Lock()
		if gen == l.gen { // if the generation has changed, the channels are compared again for the new connection
			l.recordComparedLocked(channels, partitions, seqs, err)
		}
		for _, q := range queues {
			l.releaseLocked(q)
		}
		mustSend := l.startSendLocked()
		l.checkEmptyLocked()
		l.mu.Unlock()
		if mustSend {
			l.send()
		}
	}
}

func (l *lane) recordComparedLocked(channels []chat.ChannelID, partitions map[int]bool, seqs []int64, err error) {
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

// compareAgainLocked makes the lane query PostgreSQL again once the interval compareAgain has
// passed since PostgreSQL failed to answer.
func (l *lane) compareAgainLocked(now time.Time) {
	if c := &l.compared; c.unsure && now.Sub(c.since) > compareAgain {
		c.forgetLocked()
	}
}

// askStored returns the channels' highest stored seqs from PostgreSQL. It also makes the stream of
// each partition generate ids above the partition's watermark.
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

// diverged resolves a conflict over a channel's head (newest seq and epoch), after Redis has
// refused an append. Either the head in Redis (found) differs from the head that this process has
// seen, or its seq is below the highest stored seq (stored).
func (a *Appender) diverged(ctx context.Context, channel chat.ChannelID, found eventlog.Head, stored int64) error {
	if found.Seq < stored {
		known := eventlog.Head{Seq: stored, Epoch: found.Epoch}
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
