package presence

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
)

// after is the range of the leases that end later than now.
func after(now int64) *redis.ZRangeBy {
	return &redis.ZRangeBy{Min: "(" + strconv.FormatInt(max(now, 0), 10), Max: "+inf"}
}

// renew renews the lease, or takes one, and starts clearing away who is dead.
func (p *Presence) renew(ctx context.Context) {
	mode := "new"
	if p.leased {
		mode = "renew"
	}
	began := time.Now()
	now, ok, next, dead, err := p.lease(ctx, mode)
	if err != nil {
		p.renewAt = time.Now().Add(tryAgain)
		p.failed(err)
		return
	}
	p.mu.Lock()
	p.clock = clock{now, began} // a little ahead: a lease is never believed for longer than it lasts
	p.mu.Unlock()
	if !ok {
		p.cfg.Logger.Warn("presence lease had ended, writing everything again")
		p.startAnew()
		return
	}
	p.leased = true
	p.failed(nil)
	p.renewAt = began.Add(p.cfg.Lease / 3)
	if next >= 0 { // look again when the first lease ends: normally it is renewed by then
		p.renewAt = earlier(p.renewAt, began.Add(next+20*time.Millisecond))
	}
	for _, id := range dead {
		p.clearing.Go(func() { p.clear(context.WithoutCancel(ctx), id) })
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// lease calls the lease script for this gateway.
func (p *Presence) lease(ctx context.Context, mode string) (now int64, ok bool, next time.Duration, dead []string, err error) {
	c := &call{script: leaseScript, keys: []string{rediskey.Gateways}, args: []any{
		p.id, p.cfg.Lease.Milliseconds(), mode, clearAgain.Milliseconds(),
	}}
	if err = p.run(ctx, []*call{c}); err != nil {
		return 0, false, 0, nil, fmt.Errorf("lease of gateway %s: %w", p.id, err)
	}
	reply, err := c.reply.Slice()
	if err != nil || len(reply) != 4 {
		return 0, false, 0, nil, fmt.Errorf("lease script answered %v: %w", reply, err)
	}
	text := func(i int) string { s, _ := reply[i].(string); return s }
	now, err = strconv.ParseInt(text(0), 10, 64)
	if err != nil {
		return 0, false, 0, nil, fmt.Errorf("lease script: %w", err)
	}
	ms, err := strconv.ParseInt(text(2), 10, 64)
	if err != nil {
		return 0, false, 0, nil, fmt.Errorf("lease script: %w", err)
	}
	list, _ := reply[3].([]any)
	for _, id := range list {
		if s, isText := id.(string); isText {
			dead = append(dead, s)
		}
	}
	return now, text(1) == "1", time.Duration(ms) * time.Millisecond, dead, nil
}

// startAnew takes a new id, under which nothing is written yet: the sets of the old one are cleared away
// by whoever has condemned it, or are lost.
func (p *Presence) startAnew() {
	p.leased, p.renewAt = false, time.Time{}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.id = newID()
	for _, ch := range p.channels {
		ch.written = 0
		for u, pl := range ch.users {
			if pl.connections == 0 {
				delete(ch.users, u)
				continue
			}
			ch.users[u] = place{connections: pl.connections}
			p.changedLocked(ch, u)
		}
	}
}

// leave takes this gateway away: from here on nobody counts it.
func (p *Presence) leave(ctx context.Context) {
	if !p.leased {
		return
	}
	if _, _, _, _, err := p.lease(ctx, "leave"); err != nil {
		p.cfg.Logger.Warn("presence not taken away, the lease ends by itself", "err", err)
		return
	}
	p.clear(ctx, p.id)
}

// clear removes all that a dead gateway has written and publishes who has left by that. If it fails,
// some gateway does it again.
func (p *Presence) clear(ctx context.Context, gateway string) {
	channels, err := p.channelsOf(ctx, gateway)
	if err == nil {
		err = p.dropAll(ctx, gateway, channels)
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		err = p.cfg.Redis.ZRem(ctx, rediskey.Gateways, gateway).Err()
	}
	if err != nil {
		p.cfg.Logger.Warn("presence of a dead gateway not cleared away", "gateway", gateway, "err", err)
		return
	}
	p.cfg.Logger.Info("presence of a gateway cleared away", "gateway", gateway, "channels", len(channels))
}

// channelsOf returns the channels in which a gateway has users.
func (p *Presence) channelsOf(ctx context.Context, gateway string) ([]chat.ChannelID, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	replies := make([]*redis.StringSliceCmd, p.cfg.Partitions)
	_, err := p.cfg.Redis.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for part := range replies {
			replies[part] = pipe.SMembers(ctx, rediskey.GatewayChannels(part, gateway))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read channels of gateway %s: %w", gateway, err)
	}
	var channels []chat.ChannelID
	for _, r := range replies {
		for _, text := range r.Val() {
			if id, err := chat.ParseChannelID(text); err == nil {
				channels = append(channels, id)
			}
		}
	}
	return channels, nil
}

func (p *Presence) dropAll(ctx context.Context, gateway string, channels []chat.ChannelID) error {
	for page := range slices.Chunk(channels, callsAtOnce) {
		alive, err := p.alive(ctx)
		if err != nil {
			return err
		}
		calls := make([]*call, len(page))
		for i, id := range page {
			c := p.changeCall(id, gateway, alive, []any{"drop", 0})
			calls[i] = &c
		}
		if err := p.run(ctx, calls); err != nil {
			return fmt.Errorf("clear %d channels: %w", len(page), err)
		}
		for i, id := range page {
			if _, wait, err := calls[i].result(); err == nil && wait > 0 {
				p.tellIn(id, time.Duration(wait)*time.Millisecond)
			}
		}
	}
	return nil
}

// tellIn has the count of a channel told after a while.
func (p *Presence) tellIn(id chat.ChannelID, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ch := p.channelLocked(id)
	ch.tell = true
	p.queueLocked(ch, wait)
}
