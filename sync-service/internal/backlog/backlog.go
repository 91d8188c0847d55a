// Package backlog tells what waits to be stored: by channel and by age.
package backlog

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/entryid"
	"parley.chat/sync-service/internal/lag"
	"parley.chat/sync-service/internal/scan"
)

// Channel is what waits of one channel. Entries of which not even the channel can be read have "".
type Channel struct {
	Channel     string  `json:"channel_id"`
	Partition   int     `json:"partition"`
	Pending     int64   `json:"pending"`
	Undelivered int64   `json:"undelivered"`
	Oldest      float64 `json:"oldest_seconds"`
}

// Waiting is how much waits of it.
func (c *Channel) Waiting() int64 { return c.Pending + c.Undelivered }

// Bucket counts the entries of an age below Below, and not below that of the bucket before.
type Bucket struct {
	Below   string `json:"below"`
	Entries int64  `json:"entries"`
	most    time.Duration
}

// Report is what waits.
type Report struct {
	Pending     int64     `json:"pending"`
	Undelivered int64     `json:"undelivered"`
	Channels    []Channel `json:"channels"` // those with most waiting first
	Ages        []Bucket  `json:"ages"`

	Receipts        int64   `json:"receipts"` // entries of cursor moves, not in the figures above
	ReceiptsSeconds float64 `json:"receipts_oldest_seconds"`
}

type reader struct {
	report   Report
	channels map[string]*Channel
	now      time.Time
}

// Read looks through what is pending and what is not delivered, a page at a time.
func Read(ctx context.Context, rdb redis.UniversalClient, partitions int) (Report, error) {
	states, err := lag.Read(ctx, rdb, partitions)
	if err != nil {
		return Report{}, err
	}
	r := &reader{channels: map[string]*Channel{}, now: time.Now()}
	for _, most := range []time.Duration{time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 24 * time.Hour, 0} {
		name := strings.NewReplacer("m0s", "m", "h0m", "h").Replace(most.String())
		if most == 0 {
			name = "more"
		}
		r.report.Ages = append(r.report.Ages, Bucket{Below: name, most: most})
	}
	for p, s := range states {
		if s.Receipts.Lag != nil {
			r.report.Receipts += *s.Receipts.Lag
		}
		r.report.Receipts += s.Receipts.Pending
		r.report.ReceiptsSeconds = max(r.report.ReceiptsSeconds, s.Receipts.LagSeconds)
		if err := r.pending(ctx, rdb, p); err != nil {
			return Report{}, err
		}
		delivered, err := entryid.Parse(s.Delivered)
		if err != nil {
			return Report{}, err
		}
		if err := scan.Stream(ctx, rdb, rediskey.Stream(p), delivered.Next(), scan.Last, func(page []redis.XMessage) error {
			for _, m := range page {
				r.add(p, m).Undelivered++
				r.report.Undelivered++
			}
			return nil
		}); err != nil {
			return Report{}, err
		}
	}
	for _, c := range r.channels {
		r.report.Channels = append(r.report.Channels, *c)
	}
	slices.SortFunc(r.report.Channels, func(a, b Channel) int {
		return cmp.Or(cmp.Compare(b.Waiting(), a.Waiting()), strings.Compare(a.Channel, b.Channel))
	})
	return r.report, nil
}

// pending reads the entries that were delivered and not acknowledged.
func (r *reader) pending(ctx context.Context, rdb redis.UniversalClient, p int) error {
	stream := rediskey.Stream(p)
	for start := "-"; ; {
		list, err := rdb.XPendingExt(ctx, &redis.XPendingExtArgs{Stream: stream, Group: rediskey.ConsumerGroup, Start: start, End: "+", Count: scan.Page}).Result()
		if redis.HasErrorPrefix(err, "NOGROUP") {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look at what is pending in partition %d: %w", p, err)
		}
		if len(list) == 0 {
			return nil
		}
		pipe := rdb.Pipeline()
		entries := make([]*redis.XMessageSliceCmd, len(list))
		for i, e := range list {
			entries[i] = pipe.XRangeN(ctx, stream, e.ID, e.ID, 1)
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("read what is pending in partition %d: %w", p, err)
		}
		for i, cmd := range entries {
			m := redis.XMessage{ID: list[i].ID}
			if found := cmd.Val(); len(found) > 0 {
				m = found[0]
			}
			r.add(p, m).Pending++
			r.report.Pending++
		}
		start = "(" + list[len(list)-1].ID
	}
}

func (r *reader) add(p int, m redis.XMessage) *Channel {
	e, _ := event.DecodeEntry(m.Values) // as far as it can be read
	name := ""
	if !e.Channel.IsZero() {
		name = e.Channel.String()
	}
	c := r.channels[name]
	if c == nil {
		c = &Channel{Channel: name, Partition: p}
		r.channels[name] = c
	}
	id, _ := entryid.Parse(m.ID) // Redis wrote it
	age := max(0, r.now.Sub(id.Time()))
	c.Oldest = max(c.Oldest, age.Seconds())
	for i := range r.report.Ages {
		if b := &r.report.Ages[i]; b.most == 0 || age < b.most {
			b.Entries++
			break
		}
	}
	return c
}
