// Package history reads the messages and events in a channel, including events that are
// acknowledged but not yet stored in PostgreSQL. Edits, deletions and reactions are applied to the
// messages.
//
// A page is the union of the tail in Redis and the rows in PostgreSQL. Package unstored determines
// which part of the tail is needed. The query for the rows scans one range of the primary key,
// regardless of the channel's size. Edits, deletions and reactions are read together with the rows
// or after them, so a concurrent deletion is never missed.
//
// A page at an earlier point is read in the same way. Only the messages that were changed after the
// point need another query, which finds their earlier edits and reactions in the log.
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

// Config configures a Service. All fields except Logger are required.
type Config struct {
	DB     *bun.DB
	Log    *eventlog.Log
	Poke   func()       // wakes the outbox relay
	Logger *slog.Logger // default slog.Default()
}

// Service implements the endpoints that read history. It is safe for concurrent use.
type Service struct{ cfg Config }

// New validates cfg and returns a Service.
func New(cfg Config) (*Service, error) {
	if cfg.DB == nil || cfg.Log == nil || cfg.Poke == nil {
		return nil, errors.New("history: a required field of Config is missing")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Service{cfg: cfg}, nil
}

// markedChannel is a channel with the watermark of its partition. The watermark was read before all
// other data.
type markedChannel struct {
	channel chat.ChannelID
	mark    unstored.Mark
}

// span is an exclusive range of seqs. If oldest is set, a page contains the oldest events in the
// span; otherwise, it contains the newest.
type span struct {
	after, before int64
	oldest        bool
	kind          event.Kind // "" for all kinds
}

// contains reports whether an event is in the span.
func (s span) contains(seq int64, kind event.Kind) bool {
	return seq > s.after && seq < s.before && (s.kind == "" || s.kind == kind)
}

// read returns up to limit events in a span, sorted by ascending seq, and reports whether there are
// more. It also returns the unstored items in the tail that are newer than the first event, since
// they may change the returned events.
func (s *Service) read(ctx context.Context, at markedChannel, sp span, limit int) (events []frame.Event, items []event.Item, more bool, err error) {
	items, err = unstored.Above(ctx, s.cfg.Log, at.channel, at.mark, func(items []event.Item) bool {
		return items[0].Seq <= sp.after+1 || !sp.oldest && count(items, sp) > limit
	})
	if err != nil {
		return nil, nil, false, err
	}
	events, more, err = s.union(ctx, at.channel, sp, items, limit)
	return events, items, more, err
}

// union returns up to limit events in a span from the rows and from items, sorted by ascending seq,
// and reports whether there are more.
func (s *Service) union(ctx context.Context, channel chat.ChannelID, sp span, items []event.Item, limit int) (events []frame.Event, more bool, err error) {
	fresh, err := eventsOf(items, sp)
	if err != nil {
		return nil, false, fmt.Errorf("read tail of channel %s: %w", channel, err)
	}
	rows, err := s.rows(ctx, channel, sp, limit+1)
	if err != nil {
		return nil, false, err
	}
	events = merge(rows, fresh)
	switch {
	case len(events) <= limit:
		return events, false, nil
	case sp.oldest:
		return events[:limit], true, nil
	}
	return events[len(events)-limit:], true, nil
}

func count(items []event.Item, sp span) (n int) {
	for _, it := range items {
		if sp.contains(it.Seq, it.Kind) {
			n++
		}
	}
	return n
}

// eventsOf decodes the items that are in a span.
func eventsOf(items []event.Item, sp span) ([]frame.Event, error) {
	var events []frame.Event
	for _, it := range items {
		if !sp.contains(it.Seq, it.Kind) {
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

// merge returns the union of two lists, sorted by seq. An event in both lists is taken from rows,
// because a deletion removes the text from the stored row.
func merge(rows, fresh []frame.Event) []frame.Event {
	all := slices.Concat(rows, fresh)
	slices.SortStableFunc(all, func(x, y frame.Event) int { return cmp.Compare(x.Seq, y.Seq) })
	return slices.CompactFunc(all, func(x, y frame.Event) bool { return x.Seq == y.Seq })
}

// rows returns up to n events in a span. It reads one range of the primary key, regardless of the
// channel's size.
func (s *Service) rows(ctx context.Context, channel chat.ChannelID, sp span, n int) ([]frame.Event, error) {
	var rows []eventrow.Row
	if err := s.selectRows(channel, sp, n).Scan(ctx, &rows); err != nil {
		return nil, fmt.Errorf("read history of channel %s: %w", channel, err)
	}
	return decoded(rows)
}

// decoded returns the events in rows.
func decoded(rows []eventrow.Row) ([]frame.Event, error) {
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
