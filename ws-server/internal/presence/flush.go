package presence

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"parley.chat/internal/platform/redisscript"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
)

// maxUsersPerCall limits the number of users in one script call.
const maxUsersPerCall = 500

// change holds the users that one script call adds to a channel or removes from it.
type change struct {
	ch         *channel
	came, went []chat.UserID
	redisscript.Call
}

// flush writes the changes in as many of the due channels as fit into one round trip. It reports
// whether more channels are due.
func (p *Presence) flush(ctx context.Context) (more bool) {
	batch, more := p.takeDue(time.Now())
	if len(batch) == 0 {
		return more
	}
	alive, err := p.alive(ctx)
	if err == nil {
		calls := make([]*redisscript.Call, len(batch))
		for i, c := range batch {
			args := make([]any, 0, 2+len(c.came)+len(c.went))
			args = append(args, "change", len(c.came))
			for _, u := range slices.Concat(c.came, c.went) {
				args = append(args, u.String())
			}
			c.Call = p.changeCall(c.ch.id, p.id, alive, args)
			calls[i] = &c.Call
		}
		err = p.run(ctx, calls)
	}
	diverged := p.recordResults(batch)
	p.failed(err)
	for _, ch := range diverged {
		p.repair(ctx, ch)
	}
	return more && err == nil
}

// failed logs when Redis stops answering and when it answers again.
func (p *Presence) failed(err error) {
	if err != nil && !p.failing {
		p.cfg.Logger.Warn("failed to write presence, retrying", "err", err)
	} else if err == nil && p.failing {
		p.cfg.Logger.Info("presence written again")
	}
	p.failing = err != nil
}

// takeDue removes as many of the due channels from the queue as fit into one round trip. It reports
// whether more channels are due.
func (p *Presence) takeDue(now time.Time) (batch []*change, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	remaining := p.dirty[:0]
	for _, ch := range p.dirty {
		if ch.due.After(now) {
			remaining = append(remaining, ch)
			continue
		}
		if len(batch) == maxCallsPerTrip {
			remaining, more = append(remaining, ch), true
			continue
		}
		c := ch.takeLocked()
		if len(ch.changed) > 0 {
			remaining, more = append(remaining, ch), true // the remaining users are written in the next round trip
		} else {
			// Later changes are written after writeInterval, even if this write is still running.
			ch.queued, ch.due = false, now.Add(writeInterval)
		}
		if len(c.came)+len(c.went) > 0 || ch.publishCount {
			batch = append(batch, c)
		} else {
			p.dropLocked(ch)
		}
	}
	clear(p.dirty[len(remaining):])
	p.dirty = remaining
	return batch, more
}

// takeLocked removes users from ch.changed and returns at most maxUsersPerCall users whose state
// differs from their state in Redis.
func (ch *channel) takeLocked() *change {
	c := &change{ch: ch}
	for u := range ch.changed {
		if len(c.came)+len(c.went) == maxUsersPerCall {
			return c
		}
		delete(ch.changed, u)
		switch pl := ch.users[u]; {
		case pl.connections > 0 && !pl.written:
			c.came = append(c.came, u)
		case pl.connections == 0 && pl.written:
			c.went = append(c.went, u)
		case pl.connections == 0:
			delete(ch.users, u)
		}
	}
	ch.changed = nil
	return c
}

// dropLocked removes a channel for which nothing is left to write.
func (p *Presence) dropLocked(ch *channel) {
	if len(ch.users) == 0 && len(ch.changed) == 0 && !ch.publishCount && !ch.queued {
		delete(p.channels, ch.id)
	}
}

// recordResults records the successful writes and reschedules the failed writes. It returns the
// channels whose sets in Redis differ from the written sets.
func (p *Presence) recordResults(batch []*change) (diverged []*channel) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range batch {
		ch := c.ch
		size, wait, err := result(&c.Call)
		if err != nil {
			for _, u := range slices.Concat(c.came, c.went) {
				p.changedLocked(ch, u)
			}
			ch.due = time.Now().Add(retryDelay)
			p.queueLocked(ch, retryDelay)
			continue
		}
		for _, u := range c.came {
			pl := ch.users[u]
			pl.written = true
			ch.users[u] = pl
		}
		for _, u := range c.went {
			if pl := ch.users[u]; pl.connections > 0 {
				ch.users[u] = userState{connections: pl.connections}
			} else {
				delete(ch.users, u)
			}
		}
		ch.written += len(c.came) - len(c.went)
		if size != int64(ch.written) {
			diverged = append(diverged, ch)
		}
		if ch.publishCount = wait > 0; ch.publishCount {
			p.queueLocked(ch, time.Duration(wait)*time.Millisecond)
		}
		p.dropLocked(ch)
	}
	return diverged
}

// result parses the reply of the change script.
func result(c *redisscript.Call) (size, wait int64, err error) {
	if c.Reply == nil {
		return 0, 0, fmt.Errorf("not sent")
	}
	n, err := c.Reply.Int64Slice()
	if err == nil && len(n) != 3 {
		err = fmt.Errorf("the presence script returned %d values", len(n))
	}
	if err != nil {
		return 0, 0, err
	}
	return n[0], n[2], nil
}

// repair restores a channel's set after Redis has lost writes. It compares the set in Redis with
// the users that were written and schedules a write of the difference.
func (p *Presence) repair(ctx context.Context, ch *channel) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	members, err := p.cfg.Redis.SMembersMap(ctx, rediskey.Online(p.partition(ch.id), ch.id, p.id)).Result()
	if err != nil {
		return // the difference is detected again after the next change in the channel
	}
	p.cfg.Logger.Warn("presence in Redis differs from what was written, repairing", "channel_id", ch.id)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.channels[ch.id] != ch && len(members) > 0 {
		p.channels[ch.id] = ch
	}
	for u, pl := range ch.users {
		if _, has := members[u.String()]; has != pl.written {
			pl.written = has
			ch.users[u] = pl
			p.changedLocked(ch, u)
		}
	}
	for text := range members {
		u, err := chat.ParseUserID(text)
		if _, known := ch.users[u]; err == nil && !known {
			ch.users[u] = userState{written: true}
			p.changedLocked(ch, u)
		}
	}
	ch.written = len(members)
}

// gateways holds the ids of the gateways with a live lease, in ascending order.
type gateways []string

// digest returns a short hash that identifies the set of gateways.
func (g gateways) digest() string {
	h := fnv.New64a()
	for _, id := range g {
		_, _ = h.Write([]byte(id + " ")) // cannot fail
	}
	return strconv.FormatUint(h.Sum64(), 36)
}

// alive returns the gateways whose leases have not expired.
func (p *Presence) alive(ctx context.Context) (gateways, error) {
	p.mu.Lock()
	now := p.clock.now()
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	ids, err := p.cfg.Redis.ZRangeByScore(ctx, rediskey.Gateways, leasesAfter(now)).Result()
	if err != nil {
		return nil, fmt.Errorf("read the live gateways: %w", err)
	}
	slices.Sort(ids)
	return ids, nil
}

// The parts of a published presence item that precede the number of online users: its header and
// the beginning of the frame.
var (
	itemHeader  = string(event.Item{Kind: event.KindPresence}.Encode())
	beforeCount = func(id chat.ChannelID) string {
		before, _, _ := bytes.Cut(frame.Encode(frame.PresenceNotice{ChannelID: id}), []byte(`0,"joined"`))
		return string(before)
	}
)

// changeCall returns a call to the change script for one gateway's users in a channel.
func (p *Presence) changeCall(id chat.ChannelID, gateway string, alive gateways, rest []any) redisscript.Call {
	part := p.partition(id)
	keys := make([]string, 0, 4+len(alive))
	keys = append(keys, rediskey.Topic(part, id), rediskey.OnlineCount(part, id),
		rediskey.Online(part, id, gateway), rediskey.GatewayChannels(part, gateway))
	for _, other := range alive {
		if other != gateway {
			keys = append(keys, rediskey.Online(part, id, other))
		}
	}
	return redisscript.Call{
		Script: changeScript, Keys: keys,
		Args: append([]any{id.String(), itemHeader, beforeCount(id), alive.digest()}, rest...),
	}
}
