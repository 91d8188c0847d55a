// Package holes fills the holes that an audit has found. A hole is a range of seqs that have
// neither a row nor a stream entry. Fill stores the events that a tail still contains. All other
// events are lost, and Fill stores a tombstone at each of their seqs.
package holes

import (
	"context"
	"fmt"

	"parley.chat/internal/eventlog"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/sync-service/internal/audit"
	"parley.chat/sync-service/internal/store"
)

// Filled is the result of filling one hole.
type Filled struct {
	Channel chat.ChannelID `json:"channel_id"`
	store.Range
	Found int64 `json:"found"` // stored from the tail
	Lost  int64 `json:"lost"`  // replaced by tombstones
}

// Store is the part of store.Store that Fill needs.
type Store interface {
	Store(ctx context.Context, b store.Batch) (store.Result, error)
	StoreTombstones(ctx context.Context, partition int, channel chat.ChannelID, lost store.Range) error
}

// Fill fills the holes that are listed in problems. A dry run stores nothing and returns the result
// that a real run would return.
func Fill(ctx context.Context, log *eventlog.Log, s Store, problems []audit.Problem, dryRun bool) ([]Filled, error) {
	filled := []Filled{}
	for _, p := range problems {
		if p.Kind != audit.Hole {
			continue
		}
		f, err := fill(ctx, log, s, p, dryRun)
		if err != nil {
			return filled, err
		}
		filled = append(filled, f)
	}
	return filled, nil
}

func fill(ctx context.Context, log *eventlog.Log, s Store, p audit.Problem, dryRun bool) (Filled, error) {
	f := Filled{Channel: p.Channel, Range: p.Range}
	items, err := log.TailRange(ctx, p.Channel, p.From, p.To)
	if err != nil {
		return f, err
	}
	b := store.Batch{Partitions: []int{log.Partition(p.Channel.UUID)}, MaybeStored: true}
	for _, it := range items {
		row, err := rowOf(p.Channel, it)
		if err != nil {
			continue // it gets a tombstone
		}
		b.Rows = append(b.Rows, row)
	}
	f.Found = int64(len(b.Rows))
	f.Lost = p.To - p.From + 1 - f.Found
	if dryRun {
		return f, nil
	}
	if _, err := s.Store(ctx, b); err != nil {
		return f, fmt.Errorf("store the tail of channel %s: %w", p.Channel, err)
	}
	return f, s.StoreTombstones(ctx, b.Partitions[0], p.Channel, p.Range)
}

// rowOf converts a tail item to a row, which is identical to the row of the item's stream entry.
func rowOf(c chat.ChannelID, it event.Item) (store.Row, error) {
	f, err := frame.DecodeEvent(it.Frame)
	if err != nil {
		return store.Row{}, err
	}
	e := event.Entry{
		Version: event.Version, Channel: c, Seq: it.Seq, Epoch: it.Epoch, Kind: it.Kind, ID: f.ID, Sender: it.Sender, Payload: it.Frame,
	}
	if f.ClientID != nil {
		e.ClientID = *f.ClientID
	}
	return store.RowOf(e)
}
