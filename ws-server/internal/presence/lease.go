package presence

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/platform/redisscript"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
)

// leasesAfter returns the range of leases that expire after now.
func leasesAfter(now int64) *redis.ZRangeBy {
	return &redis.ZRangeBy{Min: "(" + strconv.FormatInt(max(now, 0), 10), Max: "+inf"}
}

// renew renews the lease or acquires one. It also starts removing the sets that dead gateways have
// left behind.
func (p *Presence) renew(ctx context.Context) {
	mode := "new"
	if p.leased {
		mode = "renew"
	}
	began := time.Now()
	now, ok, next, dead, err := p.lease(ctx, mode)
	if err != nil {
		p.renewAt = time.Now().Add(retryDelay)
		p.failed(err)
		return
	}
	p.mu.Lock()
	// The clock may run slightly ahead of Redis, but never behind it, so an expired lease is never
	// considered live.
	p.clock = clock{now, began}
	p.mu.Unlock()
	if !ok {
		p.cfg.Logger.Warn("presence lease expired, writing all users again")
		p.restart()
		return
	}
	p.leased = true
	p.failed(nil)
	p.renewAt = began.Add(p.cfg.Lease / 3)
	// Check again when the next lease of another gateway expires. Normally it has been renewed by
	// then.
	if next >= 0 {
		p.renewAt = earlier(p.renewAt, began.Add(next+20*time.Millisecond))
	}
	for _, id := range dead {
		p.cleanups.Go(func() { p.cleanUp(context.WithoutCancel(ctx), id) })
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
	c := &redisscript.Call{Script: leaseScript, Keys: []string{rediskey.Gateways}, Args: []any{
		p.id, p.cfg.Lease.Milliseconds(), mode, cleanupRetryAfter.Milliseconds(),
	}}
	if err = p.run(ctx, []*redisscript.Call{c}); err != nil {
		return 0, false, 0, nil, fmt.Errorf("lease of gateway %s: %w", p.id, err)
	}
	reply, err := c.Reply.Slice()
	if err != nil || len(reply) != 4 {
		return 0, false, 0, nil, fmt.Errorf("the lease script returned %v: %w", reply, err)
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

// restart gives this gateway a new id, under which nothing has been written yet. The sets under the
// old id are removed by the gateway that declared this one dead, or are already lost.
func (p *Presence) restart() {
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
			ch.users[u] = userState{connections: pl.connections}
			p.changedLocked(ch, u)
		}
	}
}

// leave ends this gateway's lease, so that its users no longer count as online, and removes its
// sets.
func (p *Presence) leave(ctx context.Context) {
	if !p.leased {
		return
	}
	if _, _, _, _, err := p.lease(ctx, "leave"); err != nil {
		p.cfg.Logger.Warn("failed to remove presence, its lease will expire", "err", err)
		return
	}
	p.cleanUp(ctx, p.id)
}

// cleanUp removes everything that a dead gateway has written, and publishes the users who have gone
// offline as a result. If cleanUp fails, a live gateway repeats it later.
func (p *Presence) cleanUp(ctx context.Context, gateway string) {
	channels, err := p.channelsOf(ctx, gateway)
	if err == nil {
		err = p.dropAll(ctx, gateway, channels)
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, redisTimeout)
		defer cancel()
		err = p.cfg.Redis.ZRem(ctx, rediskey.Gateways, gateway).Err()
	}
	if err != nil {
		p.cfg.Logger.Warn("failed to remove presence of a dead gateway", "gateway", gateway, "err", err)
		return
	}
	p.cfg.Logger.Info("presence of a gateway removed", "gateway", gateway, "channels", len(channels))
}

// channelsOf returns the channels in which a gateway has users.
func (p *Presence) channelsOf(ctx context.Context, gateway string) ([]chat.ChannelID, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
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
	for page := range slices.Chunk(channels, maxCallsPerTrip) {
		alive, err := p.alive(ctx)
		if err != nil {
			return err
		}
		calls := make([]*redisscript.Call, len(page))
		for i, id := range page {
			c := p.changeCall(id, gateway, alive, []any{"drop", 0})
			calls[i] = &c
		}
		if err := p.run(ctx, calls); err != nil {
			return fmt.Errorf("remove the gateway from %d channels: %w", len(page), err)
		}
		for i, id := range page {
			if _, wait, err := result(calls[i]); err == nil && wait > 0 {
				p.publishCountAfter(id, time.Duration(wait)*time.Millisecond)
			}
		}
	}
	return nil
}

// publishCountAfter schedules the publication of a channel's count.
func (p *Presence) publishCountAfter(id chat.ChannelID, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ch := p.channelLocked(id)
	ch.publishCount = true
	p.queueLocked(ch, wait)
}
