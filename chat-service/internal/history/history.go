// Package history reads back what was said in a channel, including what is acknowledged and not yet
// stored, with what became of it: edits, deletions, reactions.
//
// A page is the union of the tail in Redis and the rows in PostgreSQL; package unstored tells which part
// of the tail it needs. The rows are one range of the primary key, whatever the channel's size. What was
// done to the messages of a page is read with the rows or after them, so that a deletion that comes between
// is seen.
package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/uptrace/bun"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/eventrow"
	"parley.chat/internal/eventlog/unstored"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// Config configures a Service. Every field but Logger is required.
type Config struct {
	DB     *bun.DB
	Log    *eventlog.Log
	Poke   func()       // wakes the outbox's relay
	Logger *slog.Logger // default slog.Default()
}

// Service is the feature. It is safe for concurrent use.
type Service struct{ cfg Config }

// New checks cfg.
func New(cfg Config) (*Service, error) {
	if cfg.DB == nil || cfg.Log == nil || cfg.Poke == nil {
		return nil, errors.New("history: a required field of Config is missing")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Service{cfg: cfg}, nil
}

// place is a channel and up to where its partition is stored, as it was before anything else was read.
type place struct {
	channel chat.ChannelID
	mark    unstored.Mark
}

// span is a run of seqs, both ends excluded, and which end of it a page takes: the newest events before
// its end, or the oldest after its start.
type span struct {
	after, before int64
	oldest        bool
	kind          event.Kind // "" for all
}

// holds reports whether an event lies in the span.
func (s span) holds(seq int64, kind event.Kind) bool {
	return seq > s.after && seq < s.before && (s.kind == "" || s.kind == kind)
}

// read returns up to limit events of a span, ascending by seq, and whether there are more at the end that
// it was cut; and the items of the tail that may change them: all that are not stored and newer than the
// first of them.
func (s *Service) read(ctx context.Context, at place, sp span, limit int) (events []frame.Event, items []event.Item, more bool, err error) {
	items, err = unstored.Above(ctx, s.cfg.Log, at.channel, at.mark, func(items []event.Item) bool {
		return items[0].Seq <= sp.after+1 || !sp.oldest && count(items, sp) > limit
	})
	if err != nil {
		return nil, nil, false, err
	}
	fresh, err := eventsOf(items, sp)
	if err != nil {
		return nil, nil, false, fmt.Errorf("read tail of channel %s: %w", at.channel, err)
	}
	rows, err := s.rows(ctx, at.channel, sp, limit+1)
	if err != nil {
		return nil, nil, false, err
	}
	events = merge(rows, fresh)
	switch {
	case len(events) <= limit:
		return events, items, false, nil
	case sp.oldest:
		return events[:limit], items, true, nil
	}
	return events[len(events)-limit:], items, true, nil
}

func count(items []event.Item, sp span) (n int) {
	for _, it := range items {
		if sp.holds(it.Seq, it.Kind) {
			n++
		}
	}
	return n
}

// eventsOf decodes those of items that lie in a span.
func eventsOf(items []event.Item, sp span) ([]frame.Event, error) {
	var events []frame.Event
	for _, it := range items {
		if !sp.holds(it.Seq, it.Kind) {
			continue
		}
		e, err := frame.DecodeEvent(it.Frame)
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", it.Seq, err)
		}
		events = append(events, e)
	}
	return events, nil
}

// merge returns the union of two lists by seq. What is in both is the same event, but for what its row
// has lost since by a deletion: the first list counts.
func merge(rows, fresh []frame.Event) []frame.Event {
	all := slices.Concat(rows, fresh)
	slices.SortStableFunc(all, func(x, y frame.Event) int { return cmp.Compare(x.Seq, y.Seq) })
	return slices.CompactFunc(all, func(x, y frame.Event) bool { return x.Seq == y.Seq })
}

// rows returns up to n events of a span: one range of the primary key, whatever the channel's size.
func (s *Service) rows(ctx context.Context, channel chat.ChannelID, sp span, n int) ([]frame.Event, error) {
	var rows []eventrow.Row
	if err := s.selectRows(channel, sp, n).Scan(ctx, &rows); err != nil {
		return nil, fmt.Errorf("read history of channel %s: %w", channel, err)
	}
	events := make([]frame.Event, 0, len(rows))
	for i := range rows {
		e, err := rows[i].Event()
		if err != nil {
			return nil, fmt.Errorf("read history: %w", err)
		}
		events = append(events, e)
	}
	return events, nil
}

func (s *Service) selectRows(channel chat.ChannelID, sp span, n int) *bun.SelectQuery {
	q := s.cfg.DB.NewSelect().Model((*eventrow.Row)(nil)).Where("channel_id = ?", channel).
		Where("seq > ? and seq < ?", sp.after, sp.before)
	if sp.kind != "" {
		q = q.Where("kind = ?", sp.kind)
	}
	if sp.oldest {
		return q.Order("seq").Limit(int64(n))
	}
	return q.Order("seq DESC").Limit(int64(n))
}
