package feed

import (
	"context"
	"fmt"
	"time"

	"parley.chat/internal/eventlog"
	"parley.chat/shared-contracts/chat"
	"parley.chat/ws-server/internal/hub"
)

// headsPage bounds how many counters one round trip reads.
const headsPage = 500

// checkHeads looks at the counters of channels whose topic was confirmed: a new channel begins there,
// one that was live may have missed something while the subscription was away.
func (f *Feed) checkHeads(ctx context.Context) error {
	for attempt := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-f.heads:
		}
		for batch := f.takeToCheck(); len(batch) > 0; batch = f.takeToCheck() {
			if err := f.look(ctx, batch, f.newestRows(ctx, batch)); err == nil {
				attempt = 0
				continue
			} else if ctx.Err() != nil {
				return nil
			} else {
				f.cfg.Logger.Warn("heads not read, trying again", "channels", len(batch), "err", err)
			}
			f.checkAgain(batch)
			attempt++
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(retryAfter(attempt)):
			}
		}
	}
}

func retryAfter(attempt int) time.Duration {
	return min(50*time.Millisecond<<min(attempt, 5), time.Second)
}

func (f *Feed) takeToCheck() (batch []chat.ChannelID) {
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

func (f *Feed) checkAgain(ids []chat.ChannelID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		f.toCheck[id] = struct{}{}
	}
}

// look reads the heads of channels in one round trip and tells the hub. stored are the highest seqs that
// PostgreSQL had before that, nil for unknown.
func (f *Feed) look(ctx context.Context, ids []chat.ChannelID, stored []int64) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	known := make([]eventlog.Head, len(ids)) // before the read: what comes meanwhile is no loss
	for i, id := range ids {
		known[i] = f.Known(id)
	}
	heads, err := f.cfg.Log.Heads(ctx, ids)
	if err != nil {
		return err
	}
	for i, id := range ids {
		ch := f.Hub.Channel(id)
		if stored != nil && heads[i].Seq < stored[i] { // then it is as if that had been seen
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
			f.tell(ch, heads[i])
		}
	}
	return nil
}

// Known returns what the hub has seen of a channel, a zero Head for one that it is not live in.
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

// Diverged settles an append that Redis has refused because what it has (found) is not what the hub has
// seen: it takes over a newer epoch, or repairs a channel in which Redis has lost writes.
func (f *Feed) Diverged(ctx context.Context, id chat.ChannelID, found eventlog.Head) error {
	return f.settle(ctx, id, found, f.Known(id))
}

// settle is Diverged for what is known of a channel.
func (f *Feed) settle(ctx context.Context, id chat.ChannelID, found, known eventlog.Head) error {
	head := found
	if found.Lost(known) {
		f.cfg.Logger.Error("Redis has lost writes, a new epoch begins", "channel_id", id,
			"known_seq", known.Seq, "found_seq", found.Seq, "known_epoch", known.Epoch, "found_epoch", found.Epoch)
		var err error
		if head, err = f.cfg.Log.Repair(ctx, id, found, known, f.cfg.History.MaxSeq); err != nil {
			return err
		}
	}
	if ch := f.Hub.Channel(id); ch != nil {
		f.tell(ch, head)
	}
	return nil
}

// repair is Diverged in the background, for a loss that a look at the counters has found.
func (f *Feed) repair(ch *hub.Channel, found, known eventlog.Head) {
	f.heals.Go(func() {
		ctx, cancel := context.WithTimeout(f.ctx, 5*time.Second)
		defer cancel()
		if err := f.settle(ctx, ch.ID(), found, known); err != nil && f.ctx.Err() == nil {
			f.cfg.Logger.Warn("channel not repaired, the next look tries again", "channel_id", ch.ID(), "err", err)
		}
	})
}

// CatchUp brings the hub to where the channel's counter is: what this instance has not heard yet is
// healed, an epoch that it does not know is taken over.
func (f *Feed) CatchUp(ctx context.Context, ch *hub.Channel) error {
	if err := f.look(ctx, []chat.ChannelID{ch.ID()}, nil); err != nil {
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

func (f *Feed) wakeHeads() {
	select {
	case f.heads <- struct{}{}:
	default:
	}
}

func (f *Feed) tell(ch *hub.Channel, h eventlog.Head) {
	select {
	case <-ch.Ready():
		ch.Expect(h.Seq, h.Epoch)
	default:
		ch.Begin(h.Seq, h.Epoch)
	}
}

// seed makes the counter of a channel that has none, in the background: it needs PostgreSQL, whose
// outage must not keep other channels from beginning. A channel that cannot be seeded is looked at
// again while somebody waits for it.
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
		f.wakeHeads()
	})
}

// trySeed reports whether the channel has a counter now, or is not wanted any more. It takes a second to
// say that it has none.
func (f *Feed) trySeed(ch *hub.Channel) bool {
	ctx, cancel := context.WithTimeout(f.ctx, 5*time.Second)
	defer cancel()
	head, err := f.cfg.Log.EnsureHead(ctx, ch.ID(), f.cfg.History.MaxSeq)
	if err == nil && head.Lost(f.Known(ch.ID())) {
		err = f.Diverged(ctx, ch.ID(), head)
	} else if err == nil {
		f.tell(ch, head)
	}
	if err == nil {
		return true
	}
	f.cfg.Logger.Warn("channel has no counter and none could be made", "channel_id", ch.ID(), "err", err)
	select {
	case <-f.ctx.Done():
		return true
	case <-time.After(time.Second):
	}
	return f.Hub.Channel(ch.ID()) != ch
}

// quietMax is the longest that a lost last event of a quiet channel goes unnoticed.
const quietMax = 60 * time.Second

// checkQuiet finds a lost last event: it looks at the counter of a channel after 1, 2, 4, … 60 s of
// quiet and every 60 s from then on, all channels that are due in pipelined reads.
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
				if ch.Subscribers() == 0 { // opened for somebody who did not stay
					f.idle(ch)
				}
			}
		}
		last = now
		f.compareAgain(now)
		for len(due) > 0 {
			page := due[:min(headsPage, len(due))]
			due = due[len(page):]
			if err := f.look(ctx, page, nil); err != nil && ctx.Err() == nil {
				f.cfg.Logger.Warn("heads of quiet channels not read", "channels", len(page), "err", err)
				break
			}
		}
	}
}

// dueBetween reports whether a check falls into the time from before (exclusive) to now (inclusive) of
// quiet.
func dueBetween(before, now time.Duration) bool {
	for at := time.Second; at < quietMax; at *= 2 {
		if before < at && at <= now {
			return true
		}
	}
	return now >= quietMax && before/quietMax != now/quietMax
}
