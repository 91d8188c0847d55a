package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"parley.chat/shared-contracts/event"
)

// Reasons for rejecting a row. They are shown to senders.
const (
	ReasonSeqTaken   = "another event holds its seq"
	ReasonElsewhere  = "its id is stored under another seq"
	ReasonRefused    = "the database cannot store it"
	ReasonUnreadable = "it cannot be decoded"
	ReasonMisplaced  = "it is in the stream of another channel"
)

// holder is the existing row at a seq or with an event id.
type holder struct {
	seq     int64
	id      uuid.UUID
	kind    event.Kind
	dropped bool
}

// yieldsTo reports whether r replaces the row h at its seq. Tombstones are ranked, so that the
// result does not depend on the order in which they are stored.
func (h holder) yieldsTo(r *Row) bool {
	if h.dropped || rank(h.kind) == rankEvent {
		return false
	}
	if rank(h.kind) == rank(r.Kind) {
		return bytes.Compare(r.ID.UUID[:], h.id[:]) < 0
	}
	return rank(h.kind) < rank(r.Kind)
}

const rankEvent = 3

// rank ranks rows by their kind: the more a row says about the event of its seq, the higher its
// rank. From lowest to highest, the ranks mean that the event is lost, is stored under another seq,
// is a dead letter, or is stored in the row itself.
func rank(k event.Kind) int {
	switch k {
	case event.Lost:
		return 0
	case event.Noop:
		return 1
	case event.Failed:
		return 2
	}
	return rankEvent
}

// resolveConflicts handles rows that could not be inserted. Nearly all of these rows were stored
// before, and a single query finds them. The few remaining rows are resolved one by one.
func resolveConflicts(ctx context.Context, tx pgx.Tx, rows []Row, at []int, res *Result) error {
	stored, err := holders(ctx, tx, rows, at)
	if err != nil {
		return err
	}
	for _, i := range at {
		r := &rows[i]
		if h, ok := stored[rowKey{channel: r.Channel.UUID, seq: r.Seq}]; ok && h.id == r.ID.UUID && !h.yieldsTo(r) {
			continue
		}
		if err := resolveConflict(ctx, tx, i, r, res); err != nil {
			return err
		}
	}
	return nil
}

// holders reads the existing rows at the seqs of the given rows. In the keys of the result, only
// channel and seq are set.
func holders(ctx context.Context, tx pgx.Tx, rows []Row, at []int) (map[rowKey]holder, error) {
	channels, seqs := make([]pgtype.UUID, len(at)), make([]int64, len(at))
	for k, i := range at {
		channels[k], seqs[k] = pgtype.UUID{Bytes: rows[i].Channel.UUID, Valid: true}, rows[i].Seq
	}
	// The lateral join with its limit makes PostgreSQL look up each row by index. A plain join may
	// scan the whole table if the table has grown faster than its statistics.
	result, err := tx.Query(ctx, `select m.channel_id, m.seq, m.id, m.kind, coalesce((m.data->'dropped')::boolean, false)
		from unnest($1::uuid[], $2::bigint[]) as r (channel_id, seq)
		cross join lateral (select * from messages where channel_id = r.channel_id and seq = r.seq limit 1) m`, channels, seqs)
	if err != nil {
		return nil, fmt.Errorf("read the rows at %d seqs: %w", len(at), err)
	}
	found := make(map[rowKey]holder, len(at))
	var p rowKey
	var h holder
	if _, err := pgx.ForEachRow(result, []any{(*[16]byte)(&p.channel), &p.seq, (*[16]byte)(&h.id), &h.kind, &h.dropped}, func() error {
		found[p] = h
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read the rows at %d seqs: %w", len(at), err)
	}
	return found, nil
}

// resolveConflict stores a row whose seq or id is taken. An event replaces a tombstone. A tombstone
// may replace another tombstone but never an event. If two events have the same seq, or two rows
// have the same event id, the later row is rejected.
func resolveConflict(ctx context.Context, tx pgx.Tx, i int, r *Row, res *Result) error {
	at, err := find(ctx, tx, "seq = $2", r.Channel.UUID, r.Seq)
	if err != nil {
		return err
	}
	same, err := find(ctx, tx, "id = $2", r.Channel.UUID, r.ID.UUID)
	if err != nil {
		return err
	}
	elsewhere := same != nil && same.seq != r.Seq
	switch {
	case at == nil && !elsewhere: // the conflict was with another row in this batch, and has already been resolved
		return insertOne(ctx, tx, r, res)
	case elsewhere && at != nil && rank(at.kind) == rankEvent:
		// Another event holds the seq, and this event was appended again under a new seq.
	case elsewhere: // the event is stored under another seq, but this seq needs a row too
		noop := tombstoneAt(event.Noop, r.Channel, r.Seq, r.SentAt)
		var err error
		if at == nil {
			err = insertOne(ctx, tx, &noop, &Result{})
		} else if at.yieldsTo(&noop) {
			err = replace(ctx, tx, &noop, &Result{})
		}
		res.reject(i, r, Rejected{Reason: ReasonElsewhere, Elsewhere: true})
		return err
	case at.yieldsTo(r):
		return replace(ctx, tx, r, res)
	case at.id == r.ID.UUID || r.Tombstone():
		// The row was stored before, or it is a tombstone for a seq that already has a row.
	default:
		res.reject(i, r, Rejected{Reason: ReasonSeqTaken})
	}
	return nil
}

// reject records a rejected event. A rejected tombstone is ignored, because it represents no event.
func (res *Result) reject(i int, r *Row, why Rejected) {
	if r.Tombstone() {
		return
	}
	why.Row = i
	res.Rejected = append(res.Rejected, why)
}

func find(ctx context.Context, tx pgx.Tx, where string, channel, arg any) (*holder, error) {
	var h holder
	err := tx.QueryRow(ctx, `select seq, id, kind, coalesce((data->'dropped')::boolean, false)
		from messages where channel_id = $1 and `+where, channel, arg).
		Scan(&h.seq, (*[16]byte)(&h.id), &h.kind, &h.dropped)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read a conflicting row: %w", err)
	}
	return &h, nil
}

func insertOne(ctx context.Context, tx pgx.Tx, r *Row, res *Result) error {
	one := []Row{*r}
	inserted, err := insertNew(ctx, tx, one, []int{0})
	res.Inserted += len(inserted)
	if err != nil || len(inserted) == 0 {
		return err
	}
	return project(ctx, tx, one, []int{0})
}

// replace replaces a tombstone with a row.
func replace(ctx context.Context, tx pgx.Tx, r *Row, res *Result) error {
	if _, err := tx.Exec(ctx, `delete from messages where channel_id = $1 and seq = $2`, r.Channel.UUID, r.Seq); err != nil {
		return fmt.Errorf("replace a tombstone: %w", err)
	}
	return insertOne(ctx, tx, r, res)
}
