package database

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"

	"parley.chat/internal/lifecycle"
	"parley.chat/internal/outage"
	"parley.chat/internal/pgsession"
	"parley.chat/internal/telemetry"
)

// Ping reports whether the pool has a session, or gets one, that can write and is what it was made to be.
// Sessions that are not are closed. Its errors fit /readyz.
func Ping(ctx context.Context, db *bun.DB) error {
	for {
		closed, err := ping(ctx, db)
		if err == nil {
			return nil
		}
		if closed && ctx.Err() == nil {
			continue // the pool may have others; in the end it connects
		}
		err = fmt.Errorf("reach PostgreSQL: %w", err)
		if e, ok := errors.AsType[*pgsession.Error](err); ok {
			return &telemetry.StateError{Words: e.Words, Err: err}
		}
		return err
	}
}

// ping checks one session of the pool. It reports whether it closed it.
func ping(ctx context.Context, db *bun.DB) (closed bool, err error) {
	conn, err := db.DB.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }() // which only hands it back
	err = conn.Raw(func(driverConn any) error {
		c, ok := driverConn.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("the driver is %T, not pgx", driverConn)
		}
		err := pgsession.Check(ctx, c.Conn().PgConn())
		if _, unfit := errors.AsType[*pgsession.Error](err); unfit {
			closed = true
			return errors.Join(driver.ErrBadConn, err)
		}
		return err
	})
	return closed, err
}

// The pauses between two tries of Watch.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 2 * time.Second
)

// Watch waits for the first session of db, and then for the end of ctx. It is a part for lifecycle.Run.
// An error says that sessions can never be what the service needs, because of the database or of a
// pooler: the service should not start. Everything else may be well later, and is logged.
func Watch(ctx context.Context, db *bun.DB, log *slog.Logger) error {
	waits := outage.New(log, "waiting for PostgreSQL", "PostgreSQL can be used")
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := Ping(ctx, db)
		if e, ok := errors.AsType[*pgsession.Error](err); ok && e.Refused {
			return fmt.Errorf("DATABASE_URL: %w", e)
		}
		if err == nil {
			waits.Worked(ctx, "")
			<-ctx.Done()
			return nil
		}
		if ctx.Err() != nil {
			return nil
		}
		waits.Failed(ctx, "", err)
		if !lifecycle.Sleep(ctx, pause) {
			return nil
		}
	}
}
