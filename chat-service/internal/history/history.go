// Package history reads back what was said in a channel, including what is acknowledged and not yet
// stored.
//
// A page is the union of the tail in Redis and the rows in PostgreSQL. Which part of the tail a page
// needs is told by the watermark of the channel's partition: every entry at or below it is stored. So
// the watermark is read first, then the tail above it, then the rows; what moves from the tail into
// the rows meanwhile is seen in both, and never in neither.
package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventrow"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"

	"parley.chat/chat-service/internal/httpapi"
)

// Config configures a Service. Every field but Logger is required.
type Config struct {
	API    *httpapi.API
	DB     *bun.DB
	Log    *eventlog.Log
	Logger *slog.Logger // default slog.Default()
}

// Service is the feature. It is safe for concurrent use.
type Service struct{ cfg Config }

// New checks cfg and registers the endpoints.
func New(cfg Config) (*Service, error) {
	if cfg.API == nil || cfg.DB == nil || cfg.Log == nil {
		return nil, errors.New("history: a required field of Config is missing")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	s := &Service{cfg: cfg}
	s.register()
	return s, nil
}

// span is a run of seqs, both ends excluded, and which end of it a page takes: the newest messages
// before its end, or the oldest after its start.
type span struct {
	after, before int64
	oldest        bool
}

// holds reports whether seq lies in the span.
func (s span) holds(seq int64) bool { return seq > s.after && seq < s.before }

// page returns up to limit messages of a span, ascending by seq, and whether there are more at the end
// that it was cut.
func (s *Service) page(ctx context.Context, channel chat.ChannelID, sp span, limit int) ([]frame.Event, bool, error) {
	unstored, err := s.unstored(ctx, channel, sp, limit+1)
	if err != nil {
		return nil, false, err
	}
	rows, err := s.rows(ctx, channel, sp, limit+1)
	if err != nil {
		return nil, false, err
	}
	all := merge(rows, unstored)
	if len(all) <= limit {
		return all, false, nil
	}
	if sp.oldest {
		return all[:limit], true, nil
	}
	return all[len(all)-limit:], true, nil
}

// merge returns the union of two lists by seq. What is in both is the same event.
func merge(a, b []frame.Event) []frame.Event {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y frame.Event) int { return cmp.Compare(x.Seq, y.Seq) })
	return slices.CompactFunc(all, func(x, y frame.Event) bool { return x.Seq == y.Seq })
}

// rows returns up to n messages of a span: one range of the primary key, whatever the channel's size.
func (s *Service) rows(ctx context.Context, channel chat.ChannelID, sp span, n int) ([]frame.Event, error) {
	order := "seq desc"
	if sp.oldest {
		order = "seq"
	}
	var rows []eventrow.Row
	err := s.cfg.DB.NewSelect().Model(&rows).Where("channel_id = ?", channel).
		Where("seq > ? and seq < ?", sp.after, sp.before).Where("kind = ?", event.Message).
		OrderExpr(order).Limit(int64(n)).Scan(ctx)
	if err != nil {
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

// tailPatience bounds how long Redis may take: a page without the tail would have holes, so none is
// given then, and the client should know soon.
const tailPatience = 4 * time.Second

// firstLook is how many items of the tail are read at first: with sync-service at work, more than are
// ever waiting to be stored in one channel.
const firstLook = 64

// unstored returns messages of a span that may not be stored yet: all of them, or, of a span that takes
// its newest, enough for a page.
func (s *Service) unstored(ctx context.Context, channel chat.ChannelID, sp span, enough int) ([]frame.Event, error) {
	stored, err := s.watermark(ctx, channel)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, tailPatience)
	defer cancel()
	for n := firstLook; ; n *= 4 {
		items, err := s.cfg.Log.Tail(ctx, channel, n)
		if err != nil {
			return nil, err
		}
		var found []frame.Event
		for _, it := range items {
			if it.Kind != event.Message || !sp.holds(it.Seq) || !stored.before(it.EntryID) {
				continue
			}
			e, err := frame.DecodeEvent(it.Frame)
			if err != nil {
				return nil, fmt.Errorf("read tail of channel %s at %d: %w", channel, it.Seq, err)
			}
			found = append(found, e)
		}
		whole := len(items) < n || items[0].Seq <= sp.after+1 || !stored.before(items[0].EntryID)
		if whole || !sp.oldest && len(found) >= enough {
			return found, nil
		}
	}
}

// entryID is a position in a partition's stream.
type entryID struct{ ms, seq int64 }

// watermark returns the position up to which everything of the channel's partition is stored.
func (s *Service) watermark(ctx context.Context, channel chat.ChannelID) (entryID, error) {
	var marks []struct { // none before the first entry is stored
		MS  int64 `bun:"entry_ms"`
		Seq int64 `bun:"entry_seq"`
	}
	err := s.cfg.DB.NewRaw("select entry_ms, entry_seq from sync_watermarks where partition = ?", s.cfg.Log.Partition(channel.UUID)).
		Scan(ctx, &marks)
	if err != nil {
		return entryID{}, fmt.Errorf("read watermark of channel %s: %w", channel, err)
	}
	if len(marks) == 0 {
		return entryID{}, nil
	}
	return entryID{marks[0].MS, marks[0].Seq}, nil
}

// before reports whether an entry lies after the position. One whose id cannot be read does.
func (id entryID) before(entry string) bool {
	ms, seq, _ := strings.Cut(entry, "-")
	m, errMS := strconv.ParseInt(ms, 10, 64)
	n, errSeq := strconv.ParseInt(seq, 10, 64)
	if errMS != nil || errSeq != nil {
		return true
	}
	return m > id.ms || m == id.ms && n > id.seq
}
