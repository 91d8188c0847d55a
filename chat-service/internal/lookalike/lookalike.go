// Package lookalike computes lookalike keys for names that earlier releases stored without one.
// Names that look alike have the same key, and keys are unique. A new name that looks like an
// existing name is therefore refused. Several instances may compute keys at the same time, because
// a key depends only on the name.
package lookalike

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"

	"parley.chat/internal/platform/names"
)

// interval is how often the package checks for names without a key. An instance of an earlier
// release may still be writing such names.
const interval = 10 * time.Minute

const batchSize = 500

// Backfill computes missing keys.
type Backfill struct {
	db     *bun.DB
	logger *slog.Logger
}

// New returns a Backfill for the tables in db.
func New(db *bun.DB, logger *slog.Logger) *Backfill { return &Backfill{db, logger} }

// Run computes and stores the missing lookalike keys, immediately and then every ten minutes until
// ctx is canceled.
func (k *Backfill) Run(ctx context.Context) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := k.Fill(ctx); err != nil && ctx.Err() == nil {
			k.logger.WarnContext(ctx, "failed to compute all missing lookalike keys", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Fill computes the missing keys, starting with the oldest names.
func (k *Backfill) Fill(ctx context.Context) error {
	for _, t := range []struct{ table, column, where string }{
		{"users", "username", "true"}, {"channels", "name", "kind <> 'direct'"},
	} {
		for {
			n, err := k.fill(ctx, t.table, t.column, t.where)
			if err != nil {
				return fmt.Errorf("compute keys of %s: %w", t.table, err)
			}
			if n == 0 {
				break
			}
		}
	}
	return nil
}

// fill processes one batch and returns the number of names in it.
func (k *Backfill) fill(ctx context.Context, table, column, where string) (int, error) {
	var rows []struct {
		ID   uuid.UUID `bun:"id,type:uuid"`
		Name string    `bun:"name"`
	}
	err := k.db.NewRaw("select id, ? as name from ? where lookalike is null and deleted_at is null and "+where+" order by created_at, id limit ?",
		bun.Ident(column), bun.Ident(table), batchSize).Scan(ctx, &rows)
	if err != nil {
		return 0, err
	}
	for _, r := range rows {
		key := names.Key(r.Name)
		err := k.set(ctx, table, column, r.ID, r.Name, key)
		if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "23505" {
			// Another row has the same key: two names that look alike were stored before lookalikes
			// were refused. Both rows keep their names, so the newer one gets a unique key.
			k.logger.WarnContext(ctx, "name looks like an older name", "table", table, "id", r.ID.String())
			err = k.set(ctx, table, column, r.ID, r.Name, key+" "+r.ID.String())
		}
		if err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}

// set stores the key of a row if the row still has the same name and no key.
func (k *Backfill) set(ctx context.Context, table, column string, id uuid.UUID, name, key string) error {
	_, err := k.db.NewRaw("update ? set lookalike = ? where id = ? and ? = ? and lookalike is null",
		bun.Ident(table), key, id, bun.Ident(column), name).Exec(ctx)
	return err
}
