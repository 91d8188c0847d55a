// Package eventlog is Parley's log of events in Redis: the counters and tails of channels, their
// repair after Redis has lost writes, and notices to users. Package appender appends to the log,
// package subscriber receives the published events and notices, and package receiptlog holds the
// receipts. The consumer group belongs to sync-service.
package eventlog

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"strconv"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/notice"
	"parley.chat/shared-contracts/rediskey"
)

//go:embed seed.lua
var seedSource string

var seedScript = redis.NewScript(seedSource)

// Log reads from and publishes to the log. It is safe for concurrent use and holds no state of its
// own.
type Log struct {
	rdb        redis.UniversalClient
	partitions int
}

// New returns the log stored in rdb, with the given number of partitions.
func New(rdb redis.UniversalClient, partitions int) *Log {
	return &Log{rdb: rdb, partitions: partitions}
}

// Partitions returns the number of partitions.
func (l *Log) Partitions() int { return l.partitions }

// Partition returns the partition to which a channel or user id belongs.
func (l *Log) Partition(id uuid.UUID) int { return rediskey.Of(id, l.partitions) }

// Head is the newest seq and the epoch of a channel. The zero value means that Redis has no counter
// for the channel.
type Head struct {
	Seq   int64
	Epoch event.Epoch
}

// Seeded reports whether Redis has a counter.
func (h Head) Seeded() bool { return h.Epoch != "" }

// Heads returns the heads of the given channels, in the same order. It reads them in one round
// trip.
func (l *Log) Heads(ctx context.Context, channels []chat.ChannelID) ([]Head, error) {
	heads := make([]Head, len(channels))
	if len(channels) == 0 {
		return heads, nil
	}
	replies := make([]*redis.SliceCmd, len(channels))
	_, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, c := range channels {
			replies[i] = p.HMGet(ctx, rediskey.Counter(l.Partition(c.UUID), c), "seq", "epoch")
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read heads of %d channels: %w", len(channels), err)
	}
	for i, r := range replies {
		if heads[i], err = headOf(r.Val()); err != nil {
			return nil, fmt.Errorf("read head of channel %s: %w", channels[i], err)
		}
	}
	return heads, nil
}

// headOf parses the pair {seq, epoch} of a counter; its values are nil if there is no counter.
func headOf(pair []any) (Head, error) {
	if len(pair) != 2 {
		return Head{}, fmt.Errorf("counter has %d values", len(pair))
	}
	seq, _ := pair[0].(string)
	epoch, _ := pair[1].(string)
	if seq == "" || epoch == "" {
		return Head{}, nil
	}
	n, err := strconv.ParseInt(seq, 10, 64)
	if err != nil {
		return Head{}, fmt.Errorf("counter: %w", err)
	}
	return Head{Seq: n, Epoch: event.Epoch(epoch)}, nil
}

// Floor returns the highest seq that PostgreSQL holds for a channel, or 0 if it holds none.
type Floor func(ctx context.Context, channel chat.ChannelID) (int64, error)

// EnsureHead returns the head of a channel. If Redis has no counter, EnsureHead creates one that
// continues after the highest seq in the channel's rows, its tail, and its stream entries above the
// watermark.
func (l *Log) EnsureHead(ctx context.Context, channel chat.ChannelID, floor Floor) (Head, error) {
	heads, err := l.Heads(ctx, []chat.ChannelID{channel})
	if err != nil || heads[0].Seeded() {
		return heads[0], err
	}
	return l.seed(ctx, channel, floor)
}

func (l *Log) seed(ctx context.Context, channel chat.ChannelID, floor Floor) (Head, error) {
	var highest, epoch int64
	raise := func(seq int64, e event.Epoch) {
		highest, epoch = max(highest, seq), max(epoch, e.Number())
	}
	newest, err := l.Tail(ctx, channel, 1)
	if err != nil {
		return Head{}, err
	}
	for _, it := range newest {
		raise(it.Seq, it.Epoch)
	}
	if err := l.Unstored(ctx, channel, raise); err != nil {
		return Head{}, err
	}
	// Read PostgreSQL last, so that the result includes everything that sync-service has stored and
	// trimmed during the scan.
	stored, err := floor(ctx, channel)
	if err != nil {
		return Head{}, fmt.Errorf("seed channel %s: %w", channel, err)
	}
	highest = max(highest, stored)
	pair, err := seedScript.Run(ctx, l.rdb, []string{rediskey.Counter(l.Partition(channel.UUID), channel)},
		highest, epoch, rand.Text()[:10]).Slice()
	if err != nil {
		return Head{}, fmt.Errorf("seed channel %s: %w", channel, err)
	}
	return headOf(pair)
}

// Unstored calls visit for each of the channel's entries above its partition's watermark. To find
// them, it scans all of the partition's entries above the watermark.
func (l *Log) Unstored(ctx context.Context, channel chat.ChannelID, visit func(seq int64, epoch event.Epoch)) error {
	p := l.Partition(channel.UUID)
	from, err := l.rdb.HGet(ctx, rediskey.Stored(p), "entry").Result()
	if errors.Is(err, redis.Nil) {
		from = "0-0"
	} else if err != nil {
		return fmt.Errorf("read watermark of partition %d: %w", p, err)
	}
	const page = 1000
	for {
		entries, err := l.rdb.XRangeN(ctx, rediskey.Stream(p), "("+from, "+", page).Result()
		if err != nil {
			return fmt.Errorf("scan partition %d above %s: %w", p, from, err)
		}
		for _, m := range entries {
			if m.Values["channel_id"] != channel.String() {
				continue
			}
			if e, err := event.DecodeEntry(m.Values); err == nil || e.Seq > 0 {
				visit(e.Seq, e.Epoch)
			}
		}
		if len(entries) < page {
			return nil
		}
		from = entries[len(entries)-1].ID
	}
}

// Tail returns the newest n items of a channel's tail, in ascending seq order, or all of them if
// there are fewer.
func (l *Log) Tail(ctx context.Context, channel chat.ChannelID, n int) ([]event.Item, error) {
	return l.tail(ctx, channel, int64(-n), -1)
}

// TailRange returns the items with from ≤ seq ≤ to that the channel's tail still holds, in
// ascending seq order. It reads only the part of the list that it needs.
func (l *Log) TailRange(ctx context.Context, channel chat.ChannelID, from, to int64) ([]event.Item, error) {
	for before := int64(0); ; {
		newest, err := l.Tail(ctx, channel, 1)
		if err != nil || len(newest) == 0 || newest[0].Seq < from || to < from {
			return nil, err
		}
		head := newest[0].Seq
		items, slid, err := l.tailBelow(ctx, channel, head, from, min(to, head))
		if err != nil {
			return nil, err
		}
		if slid && head != before {
			before = head
			continue
		}
		in := items[:0]
		for _, it := range items {
			if from <= it.Seq && it.Seq <= to {
				in = append(in, it)
			}
		}
		return in, nil
	}
}

// tailBelow reads the part of the tail that covers a range, and possibly more. head is the tail's
// newest seq, which was read earlier. slid reports whether the read missed the front of the range
// because many items had been appended in the meantime.
func (l *Log) tailBelow(ctx context.Context, channel chat.ChannelID, head, from, to int64) (items []event.Item, slid bool, err error) {
	// The list indexes are computed from the distance of each seq to head. Appends after head was
	// read shift the indexes; the extra slack items usually keep the front of the range within the
	// read. A tail has a hole only after Redis has lost data. The items before a hole are closer to
	// the end of the list than computed, so in that case the list is read up to its end.
	const slack = 64
	start, stop := -(head-from+1)-slack, -(head - to + 1)
	items, err = l.tail(ctx, channel, start, stop)
	if err == nil && stop < -1 && (len(items) == 0 || items[len(items)-1].Seq < to) {
		stop = -1
		items, err = l.tail(ctx, channel, start, stop)
	}
	if err != nil {
		return nil, false, err
	}
	full := int64(len(items)) == stop-start+1 // if fewer items were returned, the read has reached the beginning of the tail
	return items, full && items[0].Seq > from, nil
}

func (l *Log) tail(ctx context.Context, channel chat.ChannelID, start, stop int64) ([]event.Item, error) {
	raw, err := l.rdb.LRange(ctx, rediskey.Tail(l.Partition(channel.UUID), channel), start, stop).Result()
	if err != nil {
		return nil, fmt.Errorf("read tail of channel %s: %w", channel, err)
	}
	items := make([]event.Item, 0, len(raw))
	for _, r := range raw {
		it, err := event.DecodeItem([]byte(r))
		if err != nil {
			return nil, fmt.Errorf("read tail of channel %s: %w", channel, err)
		}
		items = append(items, it)
	}
	return items, nil
}

// Notify publishes n to all gateways to which n's user is connected.
func (l *Log) Notify(ctx context.Context, n notice.Notice) error {
	topic := rediskey.UserTopic(l.Partition(n.UserID.UUID), n.UserID)
	if err := l.rdb.SPublish(ctx, topic, n.Encode()).Err(); err != nil {
		return fmt.Errorf("notify user %s of %s: %w", n.UserID, n.Kind, err)
	}
	return nil
}
