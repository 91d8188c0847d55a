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
	"parley.chat/sync-service/internal/streamworker"
)

var (
	//go:embed mirror.lua
	mirrorSource string
	//go:embed trim_tails.lua
	trimTailsSource string

	mirrorScript    = group.Script(mirrorSource)
	trimTailsScript = group.Script(trimTailsSource)
)

// watermarks is the part of the store that housekeeping needs.
type watermarks interface {
	Watermarks
	Raise(ctx context.Context, marks map[int]entryid.ID) error
}

// progress holds a partition's data for housekeeping.
type progress struct {
	latest group.Snapshot // from the last acknowledgement
	dirty  bool           // latest is not written yet
	// written is the watermark that this process last wrote to PostgreSQL, or zero. Streams and
	// tails are trimmed only up to a watermark that has been written.
	written entryid.ID
	// tails holds the channels for which events have been stored since their tail was last trimmed.
	tails map[channelID]struct{}
}

// recordAck records the group's progress and the chunk's channels after a writer has acknowledged a
// chunk.
func (c *Consumer) recordAck(ch *chunk, snap group.Snapshot) {
	c.recordSnapshot(ch.partition, snap)
	c.mu.Lock()
	defer c.mu.Unlock()
	pr := &c.progress[ch.partition]
	if pr.tails == nil {
		pr.tails = make(map[channelID]struct{})
	}
	ch.channels(pr.tails)
}

func (c *Consumer) recordSnapshot(p int, snap group.Snapshot) {
	if snap.Corrected {
		snap.Corrected = false
		c.cfg.Logger.Warn("consumer group's count of read entries corrected: Redis had an outdated count", "partition", p, "entries", snap.Added)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	pr := &c.progress[p]
	if snap.Known && snap != pr.latest && !snap.Bound.Less(pr.latest.Bound) {
		pr.latest, pr.dirty = snap, true
	}
}

// refreshWatermarks reads the consumer group's progress in all partitions, including partitions in
// which this process has acknowledged nothing. If an instance dies after its last acknowledgement
// but before it raises the watermark, another instance has to raise it. That instance cannot wait
// for an acknowledgement of its own, because the partition may receive no more entries.
func (c *Consumer) refreshWatermarks(ctx context.Context) error {
	acks := make([]group.Acks, c.cfg.Partitions)
	for p := range acks {
		acks[p] = group.Acks{Stream: rediskey.Stream(p), Mirror: rediskey.Stored(p)}
	}
	snapshots, err := group.Ack(ctx, c.rdb, acks)
	if err != nil {
		return err
	}
	for p, snap := range snapshots {
		c.recordSnapshot(p, snap)
	}
	return nil
}

// housekeeping runs the periodic tasks until ctx is done, and then raises the watermarks once more.
func (c *Consumer) housekeeping(ctx context.Context) {
	ticker := time.NewTicker(c.cfg.WatermarkInterval)
	defer ticker.Stop()
	var tails, swept, trimmed time.Time
	// Do not refresh the watermarks at startup, because the first acknowledgements return the
	// group's progress anyway.
	asked := time.Now()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			c.work.Task(last, "watermark", c.raiseWatermarks)
			c.work.Task(last, "tail", c.trimTails)
			return
		case <-ticker.C:
		}
		if streamworker.Due(&asked, c.cfg.WatermarkCheckInterval) {
			c.work.Task(ctx, "ask", c.refreshWatermarks)
		}
		c.work.Task(ctx, "watermark", c.raiseWatermarks)
		if streamworker.Due(&swept, c.cfg.SweepInterval) {
			c.work.RareTask(ctx, "sweep", c.sweepTails)
		}
		if streamworker.Due(&tails, c.cfg.TailTrimInterval) {
			c.work.Task(ctx, "tail", c.trimTails)
		}
		if streamworker.Due(&trimmed, c.cfg.TrimInterval) {
			c.work.Task(ctx, "trim", c.trim)
			c.work.Task(ctx, "reap", c.reap)
		}
	}
}

// raiseWatermarks writes the watermarks that have advanced, first to PostgreSQL and then to the
// mirror in Redis.
func (c *Consumer) raiseWatermarks(ctx context.Context) error {
	moved := c.unwrittenSnapshots()
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
		return fmt.Errorf("write the mirrored watermarks: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, s := range moved {
		if c.progress[p].latest == s {
			c.progress[p].dirty = false
		}
	}
	return nil
}

// unwrittenSnapshots returns the snapshots that are not written yet, by partition.
func (c *Consumer) unwrittenSnapshots() map[int]group.Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	moved := make(map[int]group.Snapshot)
	for p := range c.progress {
		if c.progress[p].dirty {
			moved[p] = c.progress[p].latest
		}
	}
	return moved
}

// watermark returns the partition's written watermark. It reads the watermark from PostgreSQL if
// this process has not written one.
func (c *Consumer) watermark(ctx context.Context, p int) (entryid.ID, error) {
	c.mu.Lock()
	id := c.progress[p].written
	c.mu.Unlock()
	if id != (entryid.ID{}) {
		return id, nil
	}
	return c.store.Watermark(ctx, p)
}

// tailsPerCall limits how many tails one script call handles, and thus how long it blocks Redis.
const tailsPerCall = 100

// trimTails trims the tails of channels whose events were stored. A channel remains in
// progress.tails until all items of its tail are stored.
func (c *Consumer) trimTails(ctx context.Context) error {
	for p := range c.cfg.Partitions {
		c.mu.Lock()
		channels := slices.Collect(maps.Keys(c.progress[p].tails))
		c.progress[p].tails = nil // channels recorded from now on are handled by the next call
		c.mu.Unlock()
		if len(channels) == 0 {
			continue
		}
		unsettled, err := c.trimPartitionTails(ctx, p, channels)
		if err != nil {
			unsettled = channels
		}
		c.recordTails(p, unsettled)
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Consumer) recordTails(p int, channels []channelID) {
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

// trimPartitionTails trims the tails of the given channels of one partition. It returns the
// channels whose tails still have items that are not stored.
func (c *Consumer) trimPartitionTails(ctx context.Context, p int, channels []channelID) ([]channelID, error) {
	mark, err := c.watermark(ctx, p)
	if err != nil {
		return nil, err
	}
	answers, err := callTrimTails(ctx, c.rdb, p, mark, channels, c.cfg.TailLength, c.cfg.TailExpiry)
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

// callTrimTails runs trim_tails.lua for the tails of the given channels of one partition.
func callTrimTails(ctx context.Context, rdb redis.UniversalClient, p int, mark entryid.ID, channels []channelID, keep int, expiry time.Duration) ([]any, error) {
	var calls []group.Call
	for some := range slices.Chunk(channels, tailsPerCall) {
		keys := append(make([]string, 0, len(some)+1), rediskey.Stream(p))
		for _, ch := range some {
			keys = append(keys, rediskey.Tail(p, ch))
		}
		calls = append(calls, group.Call{Keys: keys, Args: []any{rediskey.ConsumerGroup, mark.String(), keep, expiry.Milliseconds()}})
	}
	answers, err := group.RunAll(ctx, rdb, trimTailsScript, calls)
	if err != nil {
		return nil, fmt.Errorf("trim tails of partition %d: %w", p, err)
	}
	return answers, nil
}

// TrimTails removes all stored items from the channels' tails. Readers get those events from
// PostgreSQL.
func TrimTails(ctx context.Context, rdb redis.UniversalClient, marks Watermarks, partitions int, channels []chat.ChannelID) error {
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
		if _, err := callTrimTails(ctx, rdb, p, mark, some, 0, defaultTailExpiry); err != nil {
			return err
		}
	}
	return nil
}

// Watermarks reads the partitions' watermarks. All entries up to a watermark are stored.
type Watermarks interface {
	Watermark(ctx context.Context, partition int) (entryid.ID, error)
}

// sweepTails records every existing tail for trimming. Otherwise, tails would remain in Redis
// forever if an instance died after storing their events and before trimming them.
func (c *Consumer) sweepTails(ctx context.Context) error {
	return scan.Channels(ctx, c.rdb, c.cfg.Partitions, rediskey.Tail, func(p int, ch channelID) {
		c.recordTails(p, []channelID{ch})
	})
}
