// Package counters repairs the channel counters after Redis has lost them or their latest values.
// It raises each counter above the highest seq in PostgreSQL, the stream or the tail, in a new
// epoch. If a counter was behind, writes were lost, and the channel gets a gap event, just as when
// a gateway detects the loss. A missing counter is created without a gap event. No counter is ever
// lowered.
package counters

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/eventlog"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/entryid"
	"parley.chat/sync-service/internal/scan"
	"parley.chat/sync-service/internal/store"
)

// Raised is a counter that was missing or behind.
type Raised struct {
	Channel chat.ChannelID `json:"channel_id"`
	From    int64          `json:"from"` // -1 if the counter was missing
	To      int64          `json:"to"`
	Gap     bool           `json:"gap"` // whether writes were lost; if so, To is the seq of the gap event
}

// Report is the result of a rebuild.
type Report struct {
	Channels int      `json:"channels"` // channels checked
	Raised   []Raised `json:"raised"`
	DryRun   bool     `json:"dry_run"`
}

// Store is the part of store.Store that a rebuild needs.
type Store interface {
	Channels(ctx context.Context, after chat.ChannelID, limit int) ([]store.ChannelRows, error)
}

// Rebuild raises every counter that is behind and creates missing ones. Gateways may be running:
// they learn about the new epoch from the gap event or at their next append.
func Rebuild(ctx context.Context, rdb redis.UniversalClient, s Store, partitions int, dryRun bool) (Report, error) {
	all := map[chat.ChannelID]eventlog.Head{}
	raise := func(c chat.ChannelID, seq int64, epoch event.Epoch) {
		all[c] = maxHead(all[c], seq, epoch)
	}
	for p := range partitions {
		if err := scan.Stream(ctx, rdb, rediskey.Stream(p), entryid.ID{}, scan.Last, func(page []redis.XMessage) error {
			for _, m := range page {
				if e, _ := event.DecodeEntry(m.Values); !e.Channel.IsZero() && rediskey.Of(e.Channel.UUID, partitions) == p {
					raise(e.Channel, e.Seq, e.Epoch)
				}
			}
			return nil
		}); err != nil {
			return Report{}, err
		}
	}
	// Read PostgreSQL after the streams, so that entries that were stored and trimmed in the
	// meantime are included.
	for after := (chat.ChannelID{}); ; {
		page, err := s.Channels(ctx, after, 500)
		if err != nil {
			return Report{}, err
		}
		if len(page) == 0 {
			break
		}
		for _, c := range page {
			raise(c.Channel, c.Last, "")
		}
		after = page[len(page)-1].Channel
	}
	log := eventlog.New(rdb, partitions)
	report := Report{Channels: len(all), Raised: []Raised{}, DryRun: dryRun}
	for some := range slices.Chunk(slices.Collect(maps.Keys(all)), scan.Page) {
		// Read the counters last. A counter rises before its event is visible anywhere else, so a
		// healthy counter is never below the values read before it.
		newest, err := log.Newest(ctx, some)
		if err != nil {
			return report, err
		}
		heads, err := log.Heads(ctx, some)
		if err != nil {
			return report, err
		}
		for i, c := range some {
			if it := newest[i]; it != nil {
				raise(c, it.Seq, it.Epoch)
			}
			r, err := repairCounter(ctx, log, c, heads[i], all[c], dryRun)
			if err != nil {
				return report, err
			}
			if r.To > r.From {
				report.Raised = append(report.Raised, r)
			}
		}
	}
	slices.SortFunc(report.Raised, func(a, b Raised) int { return strings.Compare(a.Channel.String(), b.Channel.String()) })
	return report, nil
}

// maxHead returns the higher of h's seq and seq, and the newer of h's epoch and epoch.
func maxHead(h eventlog.Head, seq int64, epoch event.Epoch) eventlog.Head {
	h.Seq = max(h.Seq, seq)
	if epoch.Number() > h.Epoch.Number() {
		h.Epoch = epoch
	}
	return h
}

// repairCounter repairs the counter of one channel. found is the counter in Redis. known holds the
// highest seq and the newest epoch in PostgreSQL, the stream and the tail.
func repairCounter(ctx context.Context, log *eventlog.Log, c chat.ChannelID, found, known eventlog.Head, dryRun bool) (Raised, error) {
	floor := func(context.Context, chat.ChannelID) (int64, error) { return known.Seq, nil }
	r := Raised{Channel: c, From: found.Seq, To: found.Seq}
	switch {
	case !found.Seeded():
		r.From, r.To = -1, known.Seq
	case found.Seq < known.Seq || found.Epoch.Number() < known.Epoch.Number():
		r.Gap, r.To = true, max(found.Seq, known.Seq)+1
	default:
		return r, nil
	}
	if dryRun {
		return r, nil
	}
	var head eventlog.Head
	var err error
	if r.Gap {
		head, err = log.Repair(ctx, c, found, known, floor)
	} else {
		head, err = log.EnsureHead(ctx, c, floor)
	}
	r.To = head.Seq // higher than planned if a gateway repaired the counter first
	return r, err
}
