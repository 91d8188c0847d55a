// Package counters makes the counters of the channels anew after Redis has lost them or their newest
// state: each is raised to the highest seq that PostgreSQL, the stream or the tail knows.
package counters

import (
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
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

//go:embed raise.lua
var raiseSource string

var raiseScript = redis.NewScript(raiseSource)

// Raised is a counter that was below what is known.
type Raised struct {
	Channel chat.ChannelID `json:"channel_id"`
	From    int64          `json:"from"` // -1: there was none
	To      int64          `json:"to"`
}

// Report is what a rebuild has done.
type Report struct {
	Channels int      `json:"channels"` // looked at
	Raised   []Raised `json:"raised"`
	DryRun   bool     `json:"dry_run"`
}

// Store is the part of store.Store that a rebuild needs.
type Store interface {
	Channels(ctx context.Context, after chat.ChannelID, limit int) ([]store.ChannelRows, error)
}

// known is what is known of a channel.
type known struct{ seq, epoch int64 }

// Rebuild raises every counter that is too low, and makes those that are missing. Gateways may be at
// work: they learn of the new epoch at their next append.
func Rebuild(ctx context.Context, rdb redis.UniversalClient, s Store, partitions int, dryRun bool) (Report, error) {
	all := map[chat.ChannelID]known{}
	raise := func(c chat.ChannelID, seq, epoch int64) {
		k := all[c]
		all[c] = known{max(k.seq, seq), max(k.epoch, epoch)}
	}
	for p := range partitions {
		if err := scan.Stream(ctx, rdb, rediskey.Stream(p), entryid.ID{}, scan.Last, func(page []redis.XMessage) error {
			for _, m := range page {
				if e, _ := event.DecodeEntry(m.Values); !e.Channel.IsZero() && rediskey.Of(e.Channel.UUID, partitions) == p {
					raise(e.Channel, e.Seq, max(0, e.Epoch.Number()))
				}
			}
			return nil
		}); err != nil {
			return Report{}, err
		}
	}
	// PostgreSQL after the streams: what was stored and trimmed meanwhile is in it.
	for after := (chat.ChannelID{}); ; {
		page, err := s.Channels(ctx, after, 500)
		if err != nil {
			return Report{}, err
		}
		if len(page) == 0 {
			break
		}
		for _, c := range page {
			raise(c.Channel, c.Last, 0)
		}
		after = page[len(page)-1].Channel
	}
	log := eventlog.New(rdb, partitions)
	report := Report{Channels: len(all), Raised: []Raised{}, DryRun: dryRun}
	dry := "0"
	if dryRun {
		dry = "1"
	}
	for c, k := range all {
		newest, err := log.Tail(ctx, c, 1)
		if err != nil {
			return report, err
		}
		for _, it := range newest {
			k = known{max(k.seq, it.Seq), max(k.epoch, it.Epoch.Number())}
		}
		pair, err := raiseScript.Run(ctx, rdb, []string{rediskey.Counter(log.Partition(c.UUID), c)}, k.seq, k.epoch, rand.Text()[:10], dry).Int64Slice()
		if err != nil {
			return report, fmt.Errorf("raise the counter of channel %s: %w", c, err)
		}
		if pair[0] != pair[1] {
			report.Raised = append(report.Raised, Raised{c, pair[0], pair[1]})
		}
	}
	slices.SortFunc(report.Raised, func(a, b Raised) int { return strings.Compare(a.Channel.String(), b.Channel.String()) })
	return report, nil
}
