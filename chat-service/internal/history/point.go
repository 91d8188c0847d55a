package history

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"time"

	"github.com/jackc/pgx/v5"

	"parley.chat/internal/eventlog/unstored"
	"parley.chat/internal/platform/database"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/channel"
)

// A point of a channel's history is a seq: it comes after every event up to and including that seq.
// now is the point after every event, including future ones.
const now = math.MaxInt64

// point is the point that a request asks for. At most one field is set.
type point struct {
	seq *int64
	at  *time.Time
}

func pointOf(p *api.ListMessagesParams) (point, error) {
	switch {
	case p.AsOf == nil:
		return point{seq: p.AsOfSeq}, nil
	case p.AsOfSeq != nil:
		return point{}, apierr.Invalid("as_of", apierr.Violates(apierr.FieldCombination, "cannot be combined with as_of_seq"))
	}
	at, err := time.Parse(time.RFC3339Nano, *p.AsOf)
	if err != nil { // the API document's pattern allows times that do not exist, such as February 30
		return point{}, apierr.Invalid("as_of", apierr.Violates(apierr.FieldType, "must be a time in the format of RFC 3339, such as 2026-01-02T03:04:05Z"))
	}
	return point{at: &at}, nil
}

// fixed replaces the point by the one in a cursor, which is nil if the list shows the current
// state. The request may repeat the point with which the list began.
func (p *point) fixed(cursor *int64) error {
	if cursor == nil && (p.seq != nil || p.at != nil) || cursor != nil && p.seq != nil && *p.seq != *cursor {
		return apierr.Invalid("cursor", apierr.Violates(apierr.FieldCursor, "belongs to a list at another point; repeat the parameter that set the point, or leave it out"))
	}
	*p = point{seq: cursor}
	return nil
}

// resolve returns the seq of a point, or now if the request asks for the current state. It checks
// that the user may read the channel before it reads the times of events.
func (s *Service) resolve(ctx context.Context, r reader, p point) (int64, error) {
	switch {
	case p.seq != nil:
		return *p.seq, nil
	case p.at == nil:
		return now, nil
	}
	mark, err := channel.AdmitReader(ctx, s.cfg.DB, s.cfg.Log, r.channel, r.user)
	if err != nil {
		return 0, err
	}
	return s.seqAt(ctx, markedChannel{r.channel, mark}, *p.at)
}

// seqAt returns the seq of the newest message, edit, deletion or reaction that was sent at or
// before a time, or 0 if there is none. It assumes that these events are in the order of their
// times. If the clocks of gateways disagree, it returns one that is followed by one sent later.
//
// Other events do not count. A membership change has the time at which it was committed, and a
// tombstone the time of a repair. Both may be far from the times of the neighboring events.
func (s *Service) seqAt(ctx context.Context, in markedChannel, at time.Time) (int64, error) {
	var broken error
	sentLater := func(it event.Item) bool {
		e, err := frame.DecodeEvent(it.Frame)
		if err != nil {
			broken = fmt.Errorf("read tail of channel %s: item %d: %w", in.channel, it.Seq, err)
		}
		return e.SentAt.After(at)
	}
	items, err := unstored.Above(ctx, s.cfg.Log, in.channel, in.mark, func(items []event.Item) bool {
		return changesMessages(items[0].Kind) && !sentLater(items[0])
	})
	if err != nil {
		return 0, err
	}
	var seq int64
	for _, it := range items {
		if !changesMessages(it.Kind) {
			continue
		}
		if sentLater(it) {
			break
		}
		seq = it.Seq
	}
	switch {
	case broken != nil || seq > 0:
		return seq, broken
	case len(items) > 0:
		return s.storedSeqAt(ctx, in.channel, at, items[0].Seq-1)
	}
	head, err := unstored.Rows{DB: s.cfg.DB}.MaxSeq(ctx, in.channel)
	if err != nil {
		return 0, err
	}
	return s.storedSeqAt(ctx, in.channel, at, head)
}

// changesMessages reports whether an event is a message or changes one.
func changesMessages(k event.Kind) bool {
	return k == event.Message || k == event.Edit || k == event.Delete || k == event.Reaction
}

// seqAtSQL is a binary search over the primary key. It builds the seq from its highest bit down. A
// bit is set if the first event that counts from there on was sent at or before the time. If none
// of the next 100 events counts, the first of them does, so that a step reads few rows.
const seqAtSQL = `with recursive search (found, step) as (
		select 0::bigint, $4::bigint
		union all
		select case when next.sent_at <= $2 then found + step else found end, step / 2 from search left join lateral (
			select sent_at from (select seq, kind, sent_at from messages
				where channel_id = $1 and seq >= found + step and seq <= $3 order by seq limit 100) e
			order by kind not in ('message', 'edit', 'delete', 'reaction'), seq limit 1) next on true
		where step > 0)
	select found from search where step = 0`

// storedSeqAt is seqAt for the rows up to and including the seq head.
func (s *Service) storedSeqAt(ctx context.Context, channel chat.ChannelID, at time.Time, head int64) (seq int64, err error) {
	if head == 0 {
		return 0, nil
	}
	highest := int64(1) << (bits.Len64(uint64(head)) - 1)
	args := []any{[16]byte(channel.UUID), at, head, highest}
	err = database.Prepared(ctx, s.cfg.DB, seqAtSQL, args, func(rows pgx.Rows) error { return rows.Scan(&seq) })
	if err != nil {
		return 0, fmt.Errorf("find the newest change in channel %s at %s: %w", channel, at.UTC().Format(time.RFC3339), err)
	}
	return seq, nil
}
