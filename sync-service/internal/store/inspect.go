package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// EventRef identifies an event by the channel, seq and id in its entry.
type EventRef struct {
	Channel chat.ChannelID
	Seq     int64
	ID      chat.EventID
}

// Found describes what is stored for an EventRef.
type Found struct {
	Held      bool // the seq has a row
	ID        chat.EventID
	Kind      event.Kind
	Dropped   bool
	Elsewhere bool // the event is stored under another seq
}

// Stored reports whether the event itself, and not a tombstone, is stored at its seq or at another
// one.
func (f Found) Stored(p EventRef) bool {
	return f.Elsewhere || f.Held && f.ID == p.ID && !tombstone(f.Kind)
}

// Lookup returns what is stored for each event, in the order of refs. It locks no rows.
func (s *Store) Lookup(ctx context.Context, refs []EventRef) ([]Found, error) {
	channels, ids := make([]pgtype.UUID, len(refs)), make([]pgtype.UUID, len(refs))
	seqs := make([]int64, len(refs))
	for i, p := range refs {
		channels[i], ids[i], seqs[i] = known(p.Channel.UUID), known(p.ID.UUID), p.Seq
	}
	found := make([]Found, 0, len(refs))
	err := s.onConn(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `select m.seq is not null, m.id, coalesce(m.kind, ''), coalesce((m.data->'dropped')::boolean, false),
				exists (select from messages e where e.channel_id = r.c and e.id = r.i and e.seq <> r.s and e.kind not in ('failed', 'lost', 'noop'))
			from unnest($1::uuid[], $2::bigint[], $3::uuid[]) with ordinality as r (c, s, i, n)
			left join lateral (select * from messages where channel_id = r.c and seq = r.s limit 1) m on true
			order by r.n`, channels, seqs, ids)
		if err != nil {
			return err
		}
		var f Found
		var id pgtype.UUID
		_, err = pgx.ForEachRow(rows, []any{&f.Held, &id, &f.Kind, &f.Dropped, &f.Elsewhere}, func() error {
			f.ID = chat.EventID{UUID: id.Bytes}
			found = append(found, f)
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look up %d events: %w", len(refs), err)
	}
	return found, nil
}

// Missing counts the rows that Store would insert or put in place of a tombstone. It changes
// nothing.
func (s *Store) Missing(ctx context.Context, rows []Row) (n int, err error) {
	refs := make([]EventRef, len(rows))
	for i := range rows {
		refs[i] = EventRef{rows[i].Channel, rows[i].Seq, rows[i].ID}
	}
	found, err := s.Lookup(ctx, refs)
	if err != nil {
		return 0, err
	}
	for i, f := range found {
		h := holder{seq: rows[i].Seq, id: f.ID.UUID, kind: f.Kind, dropped: f.Dropped}
		if !f.Elsewhere && (!f.Held || h.yieldsTo(&rows[i])) {
			n++
		}
	}
	return n, nil
}

// ChannelRows summarizes the rows of a channel.
type ChannelRows struct {
	Channel    chat.ChannelID
	Rows       int64 // number of rows; Counts includes only rows up to the given seq
	Last       int64 // the highest seq
	Tombstones int64 // number of tombstones among the rows
}

const sumUp = `select channel_id, count(*), max(seq), count(*) filter (where kind in ('failed', 'lost', 'noop')) from messages`

// Channels returns one page of the channels that have rows, in the order of their ids, starting
// after the given one. Unlike Counts, it counts all rows of each channel.
func (s *Store) Channels(ctx context.Context, after chat.ChannelID, limit int) ([]ChannelRows, error) {
	return s.channelRows(ctx, sumUp+` where channel_id > $1
		group by channel_id order by channel_id limit $2`, after.UUID, limit)
}

// Counts summarizes the rows of one channel up to a seq.
func (s *Store) Counts(ctx context.Context, channel chat.ChannelID, upTo int64) (ChannelRows, error) {
	list, err := s.channelRows(ctx, sumUp+` where channel_id = $1 and seq <= $2 group by channel_id`, channel.UUID, upTo)
	if err != nil || len(list) == 0 {
		return ChannelRows{Channel: channel}, err
	}
	return list[0], nil
}

func (s *Store) channelRows(ctx context.Context, sql string, args ...any) (list []ChannelRows, err error) {
	err = s.onConn(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		var c ChannelRows
		_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&c.Channel.UUID), &c.Rows, &c.Last, &c.Tombstones}, func() error {
			list = append(list, c)
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("count rows by channel: %w", err)
	}
	return list, nil
}

// Range is a range of seqs, both ends included.
type Range struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Holes returns up to limit ranges of seqs between 1 and upTo that have no row.
func (s *Store) Holes(ctx context.Context, channel chat.ChannelID, upTo int64, limit int) (holes []Range, err error) {
	err = s.onConn(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `select seq + 1, next - 1 from (
				select seq, lead(seq, 1, $2::bigint + 1) over (order by seq) as next from (
					select 0::bigint as seq union all select seq from messages where channel_id = $1 and seq <= $2) a) b
			where next > seq + 1 order by seq limit $3`, channel.UUID, upTo, limit)
		if err != nil {
			return err
		}
		var r Range
		_, err = pgx.ForEachRow(rows, []any{&r.From, &r.To}, func() error {
			holes = append(holes, r)
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find holes in channel %s: %w", channel, err)
	}
	return holes, nil
}

// StoreTombstones stores a tombstone of kind event.Lost for each seq in a range that has no row.
// Existing rows do not change, and an event that turns up later replaces its tombstone.
func (s *Store) StoreTombstones(ctx context.Context, partition int, channel chat.ChannelID, lost Range) error {
	const page = 1000
	for from := lost.From; from <= lost.To; from += page {
		b := Batch{Partitions: []int{partition}, MaybeStored: true}
		for seq := from; seq <= min(from+page-1, lost.To); seq++ {
			b.Rows = append(b.Rows, tombstoneAt(event.Lost, channel, seq, time.Now()))
		}
		if _, err := s.Store(ctx, b); err != nil {
			return fmt.Errorf("store the tombstones of channel %s: %w", channel, err)
		}
	}
	return nil
}

// Drop marks the tombstone of a dead letter as permanent: nothing replaces it anymore. It reports
// whether it found the tombstone.
func (s *Store) Drop(ctx context.Context, partition int, channel chat.ChannelID, seq int64) (dropped bool, err error) {
	err = s.transaction(ctx, []int{partition}, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `update messages set data = coalesce(data, '{}') || '{"dropped": true}'
			where channel_id = $1 and seq = $2 and kind = 'failed'`, channel.UUID, seq)
		dropped = tag.RowsAffected() > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("drop seq %d of channel %s: %w", seq, channel, err)
	}
	return dropped, nil
}

// Unknown returns the given users and channels that are not in the database.
func (s *Store) Unknown(ctx context.Context, users []chat.UserID, channels []chat.ChannelID) (u []chat.UserID, c []chat.ChannelID, err error) {
	err = s.onConn(ctx, func(conn *pgx.Conn) error {
		ids := make([]pgtype.UUID, len(users))
		for i := range users {
			ids[i] = known(users[i].UUID)
		}
		if err := collect(ctx, conn, `select unknown_users($1)`, ids, func(id uuid.UUID) { u = append(u, chat.UserID{UUID: id}) }); err != nil {
			return err
		}
		ids = make([]pgtype.UUID, len(channels))
		for i := range channels {
			ids[i] = known(channels[i].UUID)
		}
		return collect(ctx, conn, `select i from unnest($1::uuid[]) i where not exists (select from channels k where k.id = i)`, ids,
			func(id uuid.UUID) { c = append(c, chat.ChannelID{UUID: id}) })
	})
	if err != nil {
		return nil, nil, fmt.Errorf("look up %d users and %d channels: %w", len(users), len(channels), err)
	}
	return u, c, nil
}

func collect(ctx context.Context, conn *pgx.Conn, sql string, ids []pgtype.UUID, found func(uuid.UUID)) error {
	rows, err := conn.Query(ctx, sql, ids)
	if err != nil {
		return err
	}
	var id uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&id)}, func() error { found(id); return nil })
	return err
}
