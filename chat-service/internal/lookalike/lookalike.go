// Package lookalike gives a key to the names that earlier releases have written, so that new names cannot look like
// them. Several instances may do so at the same time: a key depends on the name alone.
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

	"parley.chat/internal/names"
)

// interval is how often names are looked for that an instance of an earlier release has written meanwhile.
const interval = 10 * time.Minute

const batch = 500

// Keys is the filling in of keys.
type Keys struct {
	db     *bun.DB
	logger *slog.Logger
}

// New returns a Keys on db.
func New(db *bun.DB, logger *slog.Logger) *Keys { return &Keys{db, logger} }

// Run goes over the names at once, and then every ten minutes until ctx is done.
func (k *Keys) Run(ctx context.Context) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := k.Fill(ctx); err != nil && ctx.Err() == nil {
			k.logger.WarnContext(ctx, "names without a key remain", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Fill gives a key to every name that has none, the oldest first.
func (k *Keys) Fill(ctx context.Context) error {
	for _, t := range []struct{ table, column, where string }{
		{"users", "username", "true"}, {"channels", "name", "kind <> 'direct'"},
	} {
		for {
			n, err := k.fill(ctx, t.table, t.column, t.where)
			if err != nil {
				return fmt.Errorf("give %s their keys: %w", t.table, err)
			}
			if n == 0 {
				break
			}
		}
	}
	return nil
}

// fill does one batch, and returns how many names it had.
func (k *Keys) fill(ctx context.Context, table, column, where string) (int, error) {
	var rows []struct {
		ID   uuid.UUID `bun:"id,type:uuid"`
		Name string    `bun:"name"`
	}
	err := k.db.NewRaw("select id, ? as name from ? where lookalike is null and deleted_at is null and "+where+" order by created_at, id limit ?",
		bun.Ident(column), bun.Ident(table), batch).Scan(ctx, &rows)
	if err != nil {
		return 0, err
	}
	for _, r := range rows {
		key := names.Key(r.Name)
		err := k.set(ctx, table, column, r.ID, r.Name, key)
		if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "23505" {
			// It looked like another name before that was refused. Both stay.
			k.logger.WarnContext(ctx, "a name looks like an older one", "table", table, "id", r.ID.String())
			err = k.set(ctx, table, column, r.ID, r.Name, key+" "+r.ID.String())
		}
		if err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}

// set sets the key of a row that still has the name and no key.
func (k *Keys) set(ctx context.Context, table, column string, id uuid.UUID, name, key string) error {
	_, err := k.db.NewRaw("update ? set lookalike = ? where id = ? and ? = ? and lookalike is null",
		bun.Ident(table), key, id, bun.Ident(column), name).Exec(ctx)
	return err
}
