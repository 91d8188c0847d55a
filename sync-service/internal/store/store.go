// Package store stores events in PostgreSQL in batches.
//
// Storing is idempotent and independent of order: the resulting rows depend only on the set of
// events, not on how often or in which order they are stored. Each storing transaction first locks
// the sync_watermarks rows of its partitions in ascending order. So two transactions never work on
// the same channel at the same time and never deadlock.
//
// The package starts no goroutines and never retries. If Store returns an error, the caller must
// store the batch again, because any part of it may have been stored.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"

	"parley.chat/sync-service/internal/entryid"
)

// Store is safe for concurrent use.
type Store struct{ db *bun.DB }

// New returns a Store that uses db. The caller keeps ownership of db.
func New(db *bun.DB) *Store { return &Store{db: db} }

// Batch is the input of one call to Store.
type Batch struct {
	Partitions []int // the partitions of the rows' channels, ascending
	Rows       []Row
	// MaybeStored is true if some rows may be stored already. The fast path would fail on such
	// rows, so Store skips it.
	MaybeStored bool
}

// Result is the outcome of storing a batch. Rows that were neither inserted nor rejected had been
// stored before.
type Result struct {
	Inserted int
	Copied   bool // the fast path (COPY) was used
	Rejected []Rejected
}

// Rejected describes a row that could not be stored. Another row or a tombstone holds its seq.
type Rejected struct {
	Row    int    // index in the batch
	Reason string // shown to the sender
	Detail string // explanation for operators, for example an error text; may be empty
	// Elsewhere is true if the event itself is stored under another seq.
	Elsewhere bool
}

// Why returns the reason and the detail as a single string for operators.
func (r Rejected) Why() string {
	if r.Detail == "" {
		return r.Reason
	}
	return r.Reason + ": " + r.Detail
}

// Store stores b. If PostgreSQL refuses rows because of their contents, Store splits the batch to
// isolate them. It rejects these rows, stores tombstones in their place, and stores all other rows.
// After an error, part of the batch may have been stored.
func (s *Store) Store(ctx context.Context, b Batch) (Result, error) {
	if len(b.Rows) == 0 {
		return Result{}, nil
	}
	all := make([]int, len(b.Rows))
	for i := range all {
		all[i] = i
	}
	var res Result
	if !b.MaybeStored {
		err := s.transaction(ctx, b.Partitions, func(ctx context.Context, tx pgx.Tx) error {
			return copyRows(ctx, tx, b.Rows)
		})
		if err == nil {
			return Result{Inserted: len(b.Rows), Copied: true}, nil
		}
		if !isDuplicate(err) && !isRefused(err) {
			return Result{}, fmt.Errorf("copy %d rows: %w", len(b.Rows), err)
		}
	}
	if err := s.split(ctx, b, all, &res); err != nil {
		return Result{}, err
	}
	return res, nil
}

// split stores the rows at the given indexes with idempotent statements. If PostgreSQL refuses the
// rows, split stores each half separately.
func (s *Store) split(ctx context.Context, b Batch, at []int, res *Result) error {
	var part Result
	err := s.transaction(ctx, b.Partitions, func(ctx context.Context, tx pgx.Tx) error {
		part = Result{}
		return insertRows(ctx, tx, b.Rows, at, &part)
	})
	switch {
	case err == nil:
		res.Inserted += part.Inserted
		res.Rejected = append(res.Rejected, part.Rejected...)
		return nil
	case !isRefused(err):
		return fmt.Errorf("insert %d rows: %w", len(at), err)
	case len(at) > 1:
		if err := s.split(ctx, b, at[:len(at)/2], res); err != nil {
			return err
		}
		return s.split(ctx, b, at[len(at)/2:], res)
	}
	row := &b.Rows[at[0]]
	tombstone := []Row{row.failed(ReasonRefused)}
	if err := s.transaction(ctx, b.Partitions, func(ctx context.Context, tx pgx.Tx) error {
		return insertRows(ctx, tx, tombstone, []int{0}, &Result{})
	}); err != nil {
		return fmt.Errorf("insert the tombstone of a refused row: %w", err)
	}
	res.Rejected = append(res.Rejected, Rejected{Row: at[0], Reason: ReasonRefused, Detail: err.Error()})
	return nil
}

// errNoWatermarkRow is returned if Prepare has not yet created the sync_watermarks row of a
// partition.
var errNoWatermarkRow = errors.New("a partition has no sync_watermarks row")

// transaction runs f in a transaction that holds the locks of the given partitions.
func (s *Store) transaction(ctx context.Context, partitions []int, f func(context.Context, pgx.Tx) error) error {
	run := func(conn *pgx.Conn) error {
		tx, err := conn.Begin(ctx)
		if err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		// Rollback has no effect after a commit. Its error is ignored, because an earlier error is
		// already being returned.
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
		if err := lock(ctx, tx, partitions); err != nil {
			return err
		}
		if err := f(ctx, tx); err != nil {
			return &rowsError{err}
		}
		return tx.Commit(ctx)
	}
	err := s.onConn(ctx, run)
	if errors.Is(err, errNoWatermarkRow) {
		if err = s.Prepare(ctx, partitions); err == nil {
			err = s.onConn(ctx, run)
		}
	}
	return err
}

// onConn calls f with a pgx connection from the pool, because database/sql supports neither COPY
// nor pipelining.
func (s *Store) onConn(ctx context.Context, f func(*pgx.Conn) error) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	// If f has broken the connection, the pool detects that on its own.
	defer func() { _ = conn.Close() }()
	return conn.Raw(func(driver any) error { return f(driver.(*stdlib.Conn).Conn()) })
}

func lock(ctx context.Context, tx pgx.Tx, partitions []int) error {
	tag, err := tx.Exec(ctx, `select from sync_watermarks where partition = any($1) order by partition for update`, partitions)
	if err != nil {
		return fmt.Errorf("lock %d partitions: %w", len(partitions), err)
	}
	if int(tag.RowsAffected()) < len(partitions) {
		return errNoWatermarkRow
	}
	return nil
}

// Prepare creates the sync_watermarks rows that Store locks.
func (s *Store) Prepare(ctx context.Context, partitions []int) error {
	return s.onConn(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `insert into sync_watermarks (partition)
			select p from unnest($1::integer[]) p order by p on conflict do nothing`, partitions)
		if err != nil {
			return fmt.Errorf("prepare %d partitions: %w", len(partitions), err)
		}
		return nil
	})
}

// Watermark returns the id at or below which every entry of the partition is stored and
// acknowledged.
func (s *Store) Watermark(ctx context.Context, partition int) (entryid.ID, error) {
	var id entryid.ID
	err := s.db.NewRaw(`select entry_ms, entry_seq from sync_watermarks where partition = ?`, partition).
		Scan(ctx, &id.Ms, &id.Seq)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return entryid.ID{}, fmt.Errorf("read the watermark of partition %d: %w", partition, err)
	}
	return id, nil
}

// Raise raises the watermarks of the given partitions. It does not lower a watermark.
func (s *Store) Raise(ctx context.Context, marks map[int]entryid.ID) error {
	if len(marks) == 0 {
		return nil
	}
	partitions := slices.Sorted(maps.Keys(marks)) // rows of sync_watermarks are always locked in ascending order
	ms, seqs := make([]int64, len(partitions)), make([]int64, len(partitions))
	for i, p := range partitions {
		ms[i], seqs[i] = marks[p].Ms, marks[p].Seq
	}
	return s.onConn(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `insert into sync_watermarks as w (partition, entry_ms, entry_seq)
			select p, ms, seq from unnest($1::integer[], $2::bigint[], $3::bigint[]) as r (p, ms, seq) order by p
			on conflict (partition) do update set entry_ms = excluded.entry_ms, entry_seq = excluded.entry_seq, updated_at = now()
			where (w.entry_ms, w.entry_seq) < (excluded.entry_ms, excluded.entry_seq)`, partitions, ms, seqs)
		if err != nil {
			return fmt.Errorf("raise %d watermarks: %w", len(marks), err)
		}
		return nil
	})
}

// rowsError is an error from a statement that stores rows. The SQLSTATE alone does not show whether
// the rows caused the error: connecting with a role that does not exist also fails with a data
// exception (class 22).
type rowsError struct{ error }

func (e *rowsError) Unwrap() error { return e.error }

// ofRows returns the PostgreSQL error if err comes from a statement that stores rows. It ignores
// fatal errors, because they concern the connection.
func ofRows(err error) (*pgconn.PgError, bool) {
	rows, ok := errors.AsType[*rowsError](err)
	if !ok {
		return nil, false
	}
	pg, ok := errors.AsType[*pgconn.PgError](rows.error)
	return pg, ok && pg.SeverityUnlocalized == "ERROR"
}

// isDuplicate reports whether err is a unique violation, which means that a row already exists, not
// that its contents are invalid.
func isDuplicate(err error) bool {
	pg, ok := ofRows(err)
	return ok && pg.Code == "23505"
}

// isRefused reports whether PostgreSQL refused the contents of the rows, because of a data
// exception, a constraint or a limit. All other errors (connections, resources, shutdown, a schema
// that is not migrated yet) may be temporary.
func isRefused(err error) bool {
	pg, ok := ofRows(err)
	if !ok {
		return false
	}
	return strings.HasPrefix(pg.Code, "22") || strings.HasPrefix(pg.Code, "54") ||
		strings.HasPrefix(pg.Code, "23") && pg.Code != "23505"
}

var columns = strings.Join(columnNames, ", ")

var columnNames = []string{
	"channel_id", "seq", "id", "kind", "sender_id", "client_id", "target", "body", "data", "sent_at",
}
