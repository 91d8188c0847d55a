package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"parley.chat/shared-contracts/event"
)

// insert is the statement that inserts rows and skips rows that conflict with existing ones. Its
// arguments are arrays, one per column.
var insert = `insert into messages (` + columns + `)
	select c, s, i, k, u, n, t, b, d::jsonb, a
	from unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[], $7::uuid[], $8::text[], $9::text[], $10::timestamptz[])
		as r (c, s, i, k, u, n, t, b, d, a)
	on conflict do nothing returning channel_id, seq, id, kind`

// rowKey identifies a row by all its unique columns. The kind distinguishes an event from its
// tombstone.
type rowKey struct {
	channel uuid.UUID
	seq     int64
	id      uuid.UUID
	kind    event.Kind
}

func keyOf(r *Row) rowKey { return rowKey{r.Channel.UUID, r.Seq, r.ID.UUID, r.Kind} }

// insertRows stores the rows at the given indexes. The rows, or other rows with the same seqs, may
// already be stored.
func insertRows(ctx context.Context, tx pgx.Tx, rows []Row, at []int, res *Result) error {
	unique := make(map[rowKey]struct{}, len(at))
	first := make([]int, 0, len(at)) // the first row per key, because the rows of one statement must not conflict with each other
	for _, i := range at {
		p := keyOf(&rows[i])
		if _, twice := unique[p]; !twice {
			unique[p] = struct{}{}
			first = append(first, i)
		}
	}
	inserted, err := insertNew(ctx, tx, rows, first)
	if err != nil {
		return err
	}
	res.Inserted += len(inserted)
	added, rest := make([]int, 0, len(inserted)), make([]int, 0, len(first)-len(inserted))
	for _, i := range first {
		if _, ok := inserted[keyOf(&rows[i])]; ok {
			added = append(added, i)
		} else {
			rest = append(rest, i)
		}
	}
	if err := project(ctx, tx, rows, added); err != nil {
		return err
	}
	if len(rest) > 0 {
		if err := resolveConflicts(ctx, tx, rows, rest, res); err != nil {
			return err
		}
	}
	for _, i := range first {
		if rows[i].Kind == event.Gap {
			if err := fillGap(ctx, tx, &rows[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// insertNew inserts the rows that do not conflict with existing rows, and returns their keys.
func insertNew(ctx context.Context, tx pgx.Tx, rows []Row, at []int) (map[rowKey]struct{}, error) {
	result, err := tx.Query(ctx, insert, arrays(rows, at)...)
	if err != nil {
		return nil, err
	}
	inserted := make(map[rowKey]struct{}, len(at))
	var p rowKey
	if _, err := pgx.ForEachRow(result, []any{(*[16]byte)(&p.channel), &p.seq, (*[16]byte)(&p.id), &p.kind}, func() error {
		inserted[p] = struct{}{}
		return nil
	}); err != nil {
		return nil, err
	}
	return inserted, nil
}

// arrays returns the columns of the rows at the given indexes, as arguments for insert.
func arrays(rows []Row, at []int) []any {
	n := len(at)
	var (
		channels, ids, senders = make([]pgtype.UUID, n), make([]pgtype.UUID, n), make([]pgtype.UUID, n)
		clients, targets       = make([]pgtype.UUID, n), make([]pgtype.UUID, n)
		seqs                   = make([]int64, n)
		kinds, bodies          = make([]string, n), make([]string, n)
		datas                  = make([]pgtype.Text, n)
		sent                   = make([]time.Time, n)
	)
	for k, i := range at {
		r := &rows[i]
		channels[k] = pgtype.UUID{Bytes: r.Channel.UUID, Valid: true}
		ids[k] = pgtype.UUID{Bytes: r.ID.UUID, Valid: true}
		senders[k] = pgtype.UUID{Bytes: r.Sender.UUID, Valid: true}
		clients[k] = pgtype.UUID{Bytes: r.ClientID.UUID, Valid: r.ClientID.Valid}
		targets[k] = pgtype.UUID{Bytes: r.Target.UUID, Valid: r.Target.Valid}
		seqs[k], kinds[k], bodies[k], sent[k] = r.Seq, string(r.Kind), r.Body, r.SentAt
		datas[k] = pgtype.Text{String: string(r.Data), Valid: r.Data != nil}
	}
	return []any{channels, seqs, ids, kinds, senders, clients, targets, bodies, datas, sent}
}

// gapChunk is the maximum number of a gap's seqs that fillGap handles in one statement.
const gapChunk = 5000

// fillGap stores a tombstone at each seq of the gap's range that has no row. An event that turns up
// later replaces its tombstone.
func fillGap(ctx context.Context, tx pgx.Tx, gap *Row) error {
	for from := gap.from; from <= gap.to; from += gapChunk {
		n := int(min(gapChunk, gap.to-from+1))
		tombstones, at := make([]Row, 0, n), make([]int, 0, n)
		for i := range n {
			if seq := from + int64(i); seq != gap.Seq {
				at = append(at, len(tombstones))
				tombstones = append(tombstones, tombstoneAt(event.Lost, gap.Channel, seq, gap.SentAt))
			}
		}
		if _, err := insertNew(ctx, tx, tombstones, at); err != nil {
			return fmt.Errorf("fill a gap of %d seqs: %w", gap.to-gap.from+1, err)
		}
	}
	return nil
}
