package store_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-migrations/schematest"
	"parley.chat/sync-service/internal/store"
	"parley.chat/sync-service/internal/streamtest"
)

// TestStore_failedConnectionRejectsNoRow checks that no row becomes a tombstone if some new
// connections fail with a SQLSTATE that a row could have caused.
func TestStore_failedConnectionRejectsNoRow(t *testing.T) {
	t.Parallel()
	pg := schematest.Open(t)
	cfg, err := pgx.ParseConfig(pg.URLAs("parley_sync"))
	if err != nil {
		t.Fatal(err)
	}
	var refusals atomic.Int64
	pool := stdlib.OpenDB(*cfg, stdlib.OptionBeforeConnect(func(context.Context, *pgx.ConnConfig) error {
		if refusals.Add(-1) >= 0 {
			return fmt.Errorf("connect: %w", &pgconn.PgError{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "22023", Message: `role "parley_sync" does not exist`})
		}
		return nil
	}))
	pool.SetMaxIdleConns(-1) // every transaction opens a connection
	t.Cleanup(func() { _ = pool.Close() })
	s := store.New(bun.NewDB(pool, pgdialect.New()))
	for n := range int64(6) {
		ch := chat.NewChannelID()
		batch := store.Batch{Partitions: []int{3}, Rows: []store.Row{rowOf(t, streamtest.Message(ch, 1, "x")), rowOf(t, streamtest.Message(ch, 2, "y"))}}
		refusals.Store(n)
		for tries := int64(0); ; tries++ {
			res, err := s.Store(t.Context(), batch)
			if len(res.Rejected) > 0 {
				t.Errorf("%d refusals: rejected %+v", n, res.Rejected)
			}
			if err == nil {
				break
			}
			if tries > n {
				t.Fatalf("%d refusals: %v", n, err)
			}
			batch.MaybeStored = true // as the consumer does
		}
		if got := log(t, pg.Pool(t), ch); !slices.Equal(got, []string{"1 message x", "2 message y"}) {
			t.Errorf("%d refusals: the log reads %q", n, got)
		}
	}
}
