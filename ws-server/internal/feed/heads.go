package feed

import (
	"context"
	"fmt"
	"time"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/platform/backoff"
	"parley.chat/shared-contracts/chat"
	"parley.chat/ws-server/internal/hub"
)

// headsPage limits the number of counters that one round trip reads.
const headsPage = 500

// checkHeads reads the counters of channels whose subscription was confirmed. A new channel starts
// at its counter. A live channel may have missed events while the subscription was interrupted.
func (f *Feed) checkHeads(ctx context.Context) error {
	for attempt := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-f.wakeCheck:
		}
		for batch := f.nextToCheck(); len(batch) > 0; batch = f.nextToCheck() {
			if err := f.check(ctx, batch, f.storedSeqs(ctx, batch)); err == nil {
				attempt = 0
				continue
			} else if ctx.Err() != nil {
				return nil
			} else {
				f.cfg.Logger.Warn("failed to read counters, retrying", "channels", len(batch), "err", err)
			}
			f.requeue(batch)
			attempt++
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(backoff.Delay(attempt, 50*time.Millisecond, time.Second)):
			}
		}
	}
}

func (f *Feed) nextToCheck() (batch []chat.ChannelID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range f.toCheck {
		delete(f.toCheck, id)
		if batch = append(batch, id); len(batch) == headsPage {
			break
		}
	}
	return batch
}

func (f *Feed) requeue(ids []chat.ChannelID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		f.toCheck[id] = struct{}{}
	}
}

// check reads the heads of channels in one round trip and passes them to the hub. stored holds the
// highest seqs that PostgreSQL held before the call, or nil if they are not known.
func (f *Feed) check(ctx context.Context, ids []chat.ChannelID, stored []int64) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	// Get the known heads before Redis is read, so that events that arrive in between do not count
	// as lost.
	known := make([]eventlog.Head, len(ids))
	for i, id := range ids {
		known[i] = f.Known(id)
	}
	heads, err := f.cfg.Log.Heads(ctx, ids)
	if err != nil {
		return err
	}
	for i, id := range ids {
		ch := f.Hub.Channel(id)
		// The counter in Redis is lower than the highest seq in PostgreSQL, stored[i]. Raise the
		// known head to stored[i], so that Lost detects the loss.
		if stored != nil && heads[i].Seq < stored[i] {
			known[i].Seq = max(known[i].Seq, stored[i])
			if !known[i].Seeded() {
				known[i].Epoch = heads[i].Epoch
			}
		}
		switch {
		case ch == nil:
		case !heads[i].Seeded():
			f.seed(ch)
		case heads[i].Lost(known[i]):
			f.repair(ch, heads[i], known[i])
		default:
			f.setHead(ch, heads[i])
		}
	}
	return nil
}

// Known returns the hub's head of a channel. It is zero if the gateway is not live in the channel.
func (f *Feed) Known(id chat.ChannelID) eventlog.Head {
	ch := f.Hub.Channel(id)
	if ch == nil {
		return eventlog.Head{}
	}
	select {
	case <-ch.Ready():
		seq, epoch := ch.Head()
		return eventlog.Head{Seq: seq, Epoch: epoch}
	default:
		return eventlog.Head{}
	}
}

// Diverged handles an append that Redis refused because found, the head in Redis, differs from the
// head that the hub knows. Diverged adopts a newer epoch, or repairs a channel if Redis has lost
// writes to it.
func (f *Feed) Diverged(ctx context.Context, id chat.ChannelID, found eventlog.Head) error {
	return f.resolve(ctx, id, found, f.Known(id))
}

// resolve is like Diverged but takes the known head as an argument.
func (f *Feed) resolve(ctx context.Context, id chat.ChannelID, found, known eventlog.Head) error {
	head, err := f.cfg.Log.Resolve(ctx, id, found, known, f.cfg.History.MaxSeq, f.cfg.Logger)
	if err != nil {
		return err
	}
	if ch := f.Hub.Channel(id); ch != nil {
		f.setHead(ch, head)
	}
	return nil
}

// repair starts a goroutine that repairs a channel whose counter shows that Redis has lost writes.
func (f *Feed) repair(ch *hub.Channel, found, known eventlog.Head) {
	f.heals.Go(func() {
		ctx, cancel := context.WithTimeout(f.ctx, 5*time.Second)
		defer cancel()
		if err := f.resolve(ctx, ch.ID(), found, known); err != nil && f.ctx.Err() == nil {
			f.cfg.Logger.Warn("failed to repair channel, retrying at the next check", "channel_id", ch.ID(), "err", err)
		}
	})
}

// CatchUp waits until the hub has all events up to the channel's current counter. It fetches the
// events that this instance has not received, and adopts a newer epoch.
func (f *Feed) CatchUp(ctx context.Context, ch *hub.Channel) error {
	if err := f.check(ctx, []chat.ChannelID{ch.ID()}, nil); err != nil {
		return err
	}
	heads, err := f.cfg.Log.Heads(ctx, []chat.ChannelID{ch.ID()})
	if err != nil {
		return err
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if seq, epoch := ch.Head(); seq >= heads[0].Seq && !heads[0].Epoch.NewerThan(epoch) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("catch up with channel %s: %w", ch.ID(), ctx.Err())
		case <-tick.C:
		}
	}
}

func (f *Feed) wakeChecker() {
	select {
	case f.wakeCheck <- struct{}{}:
	default:
	}
}

func (f *Feed) setHead(ch *hub.Channel, h eventlog.Head) {
	select {
	case <-ch.Ready():
		ch.Expect(h.Seq, h.Epoch)
	default:
		ch.Begin(h.Seq, h.Epoch)
	}
}

// seed creates the counter of a channel that has none. It runs in the background because it needs
// PostgreSQL, and an outage must not keep other channels from starting. A channel that could not be
// seeded is checked again as long as it is open.
func (f *Feed) seed(ch *hub.Channel) {
	f.mu.Lock()
	_, already := f.seeding[ch.ID()]
	f.seeding[ch.ID()] = struct{}{}
	f.mu.Unlock()
	if already {
		return
	}
	f.heals.Go(func() {
		again := !f.trySeed(ch)
		f.mu.Lock()
		delete(f.seeding, ch.ID())
		if again {
			f.toCheck[ch.ID()] = struct{}{}
		}
		f.mu.Unlock()
		f.wakeChecker()
	})
}

// trySeed returns true if the channel now has a counter or is no longer open. After a failure it
// waits one second before it returns.
func (f *Feed) trySeed(ch *hub.Channel) bool {
	ctx, cancel := context.WithTimeout(f.ctx, 5*time.Second)
	defer cancel()
	head, err := f.cfg.Log.EnsureHead(ctx, ch.ID(), f.cfg.History.MaxSeq)
	if err == nil && head.Lost(f.Known(ch.ID())) {
		err = f.Diverged(ctx, ch.ID(), head)
	} else if err == nil {
		f.setHead(ch, head)
	}
	if err == nil {
		return true
	}
	f.cfg.Logger.Warn("failed to create the missing counter of a channel", "channel_id", ch.ID(), "err", err)
	select {
	case <-f.ctx.Done():
		return true
	case <-time.After(time.Second):
	}
	return f.Hub.Channel(ch.ID()) != ch
}

// maxQuietInterval is the maximum time before the loss of a quiet channel's newest event is
// detected.
const maxQuietInterval = 60 * time.Second

// checkQuiet detects that the newest event in a channel was lost. It reads the counter of a channel
// after 1, 2, 4, … and 60 s without events, and then every 60 s. The counters of all channels that
// are due are read in one pipeline.
func (f *Feed) checkQuiet(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last := time.Now()
	for {
		var now time.Time
		select {
		case <-ctx.Done():
			return nil
		case now = <-tick.C:
		}
		var due []chat.ChannelID
		for _, ch := range f.Hub.Channels() {
			if since := ch.QuietSince(); dueBetween(last.Sub(since), now.Sub(since)) {
				due = append(due, ch.ID())
				if ch.Subscribers() == 0 { // opened for a client that never subscribed
					f.idle(ch)
				}
			}
		}
		last = now
		f.compareAgain(now)
		for len(due) > 0 {
			page := due[:min(headsPage, len(due))]
			due = due[len(page):]
			if err := f.check(ctx, page, nil); err != nil && ctx.Err() == nil {
				f.cfg.Logger.Warn("failed to read counters of quiet channels", "channels", len(page), "err", err)
				break
			}
		}
	}
}

// dueBetween reports whether a check of a channel's counter has become due since the previous tick.
// before and now are the durations without events up to the previous tick and up to the current
// tick.
func dueBetween(before, now time.Duration) bool {
	for at := time.Second; at < maxQuietInterval; at *= 2 {
		if before < at && at <= now {
			return true
		}
	}
	return now >= maxQuietInterval && before/maxQuietInterval != now/maxQuietInterval
}
