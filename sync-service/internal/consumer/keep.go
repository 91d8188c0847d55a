package consumer

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/entryid"
	"parley.chat/sync-service/internal/group"
	"parley.chat/sync-service/internal/scan"
)

var (
	//go:embed mirror.lua
	mirrorSource string
	//go:embed settle.lua
	settleSource string

	mirrorScript = group.Script(mirrorSource)
	settleScript = group.Script(settleSource)
)

// watermarks is the part of the store that the keeper needs.
type watermarks interface {
	Watermarks
	Raise(ctx context.Context, marks map[int]entryid.ID) error
}

// progress is what is known of a partition since its watermark was raised last.
type progress struct {
	latest group.Snapshot // of the acknowledgement made last
	moved  bool           // latest is not written yet
	// written is the watermark as PostgreSQL has it, as far as this process knows: trimming and cutting
	// go by it and never by what is not written yet.
	written entryid.ID
	// tails are the channels with events stored since their tail was settled.
	tails map[channelID]struct{}
}

// note takes in what a writer has learned by acknowledging a chunk.
func (c *Consumer) note(ch *chunk, snap group.Snapshot) {
	c.noteSnapshot(ch.partition, snap)
	c.mu.Lock()
	defer c.mu.Unlock()
	pr := &c.progress[ch.partition]
	if pr.tails == nil {
		pr.tails = make(map[channelID]struct{})
	}
	ch.channels(pr.tails)
}

func (c *Consumer) noteSnapshot(p int, snap group.Snapshot) {
	if snap.Rebased {
		snap.Rebased = false
		c.cfg.Logger.Warn("what the group has read was counted anew: Redis had an older count", "partition", p, "entries", snap.Added)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	pr := &c.progress[p]
	if snap.Known && snap != pr.latest && !snap.Bound.Less(pr.latest.Bound) {
		pr.latest, pr.moved = snap, true
	}
}

// ask takes in how far the group has come where this process has acknowledged nothing: a process that died
// between its last acknowledgement and the watermark has left that to others, and its partition may be
// quiet from then on.
func (c *Consumer) ask(ctx context.Context) error {
	acks := make([]group.Acks, c.cfg.Partitions)
	for p := range acks {
		acks[p] = group.Acks{Stream: rediskey.Stream(p), Mirror: rediskey.Stored(p)}
	}
	snapshots, err := group.Ack(ctx, c.rdb, acks)
	if err != nil {
		return err
	}
	for p, snap := range snapshots {
		c.noteSnapshot(p, snap)
	}
	return nil
}

// keep is the keeper. It returns when ctx is done, after it has raised the watermarks once more.
func (c *Consumer) keep(ctx context.Context) {
	ticker := time.NewTicker(c.cfg.SettleEvery)
	defer ticker.Stop()
	due := func(last *time.Time, every time.Duration) bool {
		if time.Since(*last) < every {
			return false
		}
		*last = time.Now()
		return true
	}
	var tails, swept, trimmed time.Time
	asked := time.Now() // what is acknowledged from now on says more
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			c.try(last, "watermark", c.raise)
			c.try(last, "tail", c.settleTails)
			return
		case <-ticker.C:
		}
		if due(&asked, c.cfg.AskEvery) {
			c.try(ctx, "ask", c.ask)
		}
		c.try(ctx, "watermark", c.raise)
		if due(&swept, c.cfg.SweepEvery) {
			c.try(ctx, sweepStep, c.sweep)
		}
		if due(&tails, c.cfg.TailEvery) {
			c.try(ctx, "tail", c.settleTails)
		}
		if due(&trimmed, c.cfg.TrimEvery) {
			c.try(ctx, "trim", c.trim)
			c.try(ctx, "reap", c.reap)
		}
	}
}

// dutyTimeout bounds one try at one of the keeper's duties.
const dutyTimeout = 30 * time.Second

const sweepStep = "sweep"

// try does one of the keeper's duties. What fails is done when its turn comes again.
func (c *Consumer) try(ctx context.Context, what string, duty func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, dutyTimeout)
	defer cancel()
	err := duty(ctx)
	switch {
	case err == nil:
		c.cfg.Outages.Worked(ctx, what)
	case ctx.Err() == nil:
		c.m.retries.WithLabelValues(what).Inc()
		if what == sweepStep { // its turn comes in an hour, long after the end of an outage
			c.cfg.Logger.WarnContext(ctx, "tails not swept", "err", err)
			return
		}
		c.cfg.Outages.Failed(ctx, what, err)
	}
}

// raise writes the watermarks that have moved: to PostgreSQL, then to the mirror.
func (c *Consumer) raise(ctx context.Context) error {
	moved := c.movedSnapshots()
	if len(moved) == 0 {
		return nil
	}
	marks := make(map[int]entryid.ID, len(moved))
	for p, s := range moved {
		marks[p] = s.Bound
	}
	if err := c.store.Raise(ctx, marks); err != nil {
		return err
	}
	partitions := slices.Sorted(maps.Keys(moved))
	calls := make([]group.Call, 0, len(partitions))
	for _, p := range partitions {
		calls = append(calls, group.Call{Keys: []string{rediskey.Stored(p)}, Args: []any{moved[p].Bound.String(), moved[p].Added}})
	}
	c.mu.Lock()
	for p, s := range moved {
		c.progress[p].written = s.Bound
	}
	c.mu.Unlock()
	if _, err := group.RunAll(ctx, c.rdb, mirrorScript, calls); err != nil {
		return fmt.Errorf("mirror the watermarks: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, s := range moved {
		if c.progress[p].latest == s {
			c.progress[p].moved = false
		}
	}
	return nil
}

// movedSnapshots returns the snapshots that are not written yet.
func (c *Consumer) movedSnapshots() map[int]group.Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	moved := make(map[int]group.Snapshot)
	for p := range c.progress {
		if c.progress[p].moved {
			moved[p] = c.progress[p].latest
		}
	}
	return moved
}

// watermark returns the partition's watermark as written, reading it where this process has written none.
func (c *Consumer) watermark(ctx context.Context, p int) (entryid.ID, error) {
	c.mu.Lock()
	id := c.progress[p].written
	c.mu.Unlock()
	if id != (entryid.ID{}) {
		return id, nil
	}
	return c.store.Watermark(ctx, p)
}

// tailsPerCall bounds the time for which one script holds up Redis.
const tailsPerCall = 100

// settleTails cuts the tails of the channels that had events stored. A channel stays noted until all of
// its tail is stored.
func (c *Consumer) settleTails(ctx context.Context) error {
	for p := range c.cfg.Partitions {
		c.mu.Lock()
		channels := slices.Collect(maps.Keys(c.progress[p].tails))
		c.progress[p].tails = nil // what is noted from now on is settled the next time
		c.mu.Unlock()
		if len(channels) == 0 {
			continue
		}
		unsettled, err := c.settlePartition(ctx, p, channels)
		if err != nil {
			unsettled = channels
		}
		c.noteTails(p, unsettled)
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Consumer) noteTails(p int, channels []channelID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pr := &c.progress[p]
	if pr.tails == nil {
		pr.tails = make(map[channelID]struct{}, len(channels))
	}
	for _, ch := range channels {
		pr.tails[ch] = struct{}{}
	}
}

// settlePartition settles tails of one partition and returns the channels with items not stored yet.
func (c *Consumer) settlePartition(ctx context.Context, p int, channels []channelID) ([]channelID, error) {
	mark, err := c.watermark(ctx, p)
	if err != nil {
		return nil, err
	}
	answers, err := settle(ctx, c.rdb, p, mark, channels, c.cfg.TailKeep, c.cfg.TailExpiry)
	if err != nil {
		return nil, err
	}
	var unsettled []channelID
	next := 0
	for _, answer := range answers {
		for _, done := range answer.([]any) {
			if done != int64(1) {
				unsettled = append(unsettled, channels[next])
			}
			next++
		}
	}
	return unsettled, nil
}

// settle calls the script for tails of one partition.
func settle(ctx context.Context, rdb redis.UniversalClient, p int, mark entryid.ID, channels []channelID, keep int, expiry time.Duration) ([]any, error) {
	var calls []group.Call
	for some := range slices.Chunk(channels, tailsPerCall) {
		keys := append(make([]string, 0, len(some)+1), rediskey.Stream(p))
		for _, ch := range some {
			keys = append(keys, rediskey.Tail(p, ch))
		}
		calls = append(calls, group.Call{Keys: keys, Args: []any{rediskey.ConsumerGroup, mark.String(), keep, expiry.Milliseconds()}})
	}
	answers, err := group.RunAll(ctx, rdb, settleScript, calls)
	if err != nil {
		return nil, fmt.Errorf("settle tails of partition %d: %w", p, err)
	}
	return answers, nil
}

// CutTails removes from the tails of channels everything that is stored: their readers get it from PostgreSQL.
func CutTails(ctx context.Context, rdb redis.UniversalClient, marks Watermarks, partitions int, channels []chat.ChannelID) error {
	byPartition := make(map[int][]channelID)
	for _, ch := range channels {
		p := rediskey.Of(ch.UUID, partitions)
		byPartition[p] = append(byPartition[p], ch)
	}
	for p, some := range byPartition {
		mark, err := marks.Watermark(ctx, p)
		if err != nil {
			return err
		}
		if _, err := settle(ctx, rdb, p, mark, some, 0, defaultTailExpiry); err != nil {
			return err
		}
	}
	return nil
}

// Watermarks tells up to where a partition is stored.
type Watermarks interface {
	Watermark(ctx context.Context, partition int) (entryid.ID, error)
}

// sweep notes every tail there is: those of an instance that has died between storing and settling would
// stay for ever.
func (c *Consumer) sweep(ctx context.Context) error {
	return scan.Channels(ctx, c.rdb, c.cfg.Partitions, rediskey.Tail, func(p int, ch channelID) {
		c.noteTails(p, []channelID{ch})
	})
}
