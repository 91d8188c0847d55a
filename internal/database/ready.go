package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"

	"parley.chat/internal/lifecycle"
	"parley.chat/internal/outage"
	"parley.chat/internal/pgsession"
	"parley.chat/internal/telemetry"
	"parley.chat/shared-contracts/schema"
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

// Ready is Ping, and whether the database has the schema that this program was built for. A newer one will
// do: migrations come before the programs that need them, and break no release before.
func Ready(ctx context.Context, db *bun.DB) error {
	if err := Ping(ctx, db); err != nil {
		return err
	}
	var version int
	err := db.QueryRowContext(ctx, "select version from "+schema.VersionTable).Scan(&version)
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code {
		case "42P01": // undefined_table
			return &telemetry.StateError{Words: "has no schema: run migrate up", Err: err}
		case "42501": // insufficient_privilege: migrations of this release show it
			return &telemetry.StateError{Words: "has an older schema than this program needs, or lacks its rights: run migrate up", Err: err}
		}
	}
	switch {
	case errors.Is(err, sql.ErrNoRows) || err == nil && version == 0:
		return &telemetry.StateError{Words: "has no schema: run migrate up"}
	case err != nil:
		return fmt.Errorf("read the version of the schema: %w", err)
	case version < schema.Version:
		return &telemetry.StateError{Words: fmt.Sprintf("has schema version %d, and this program needs %d: run migrate up", version, schema.Version)}
	case version > schema.Version:
		return &telemetry.StateError{
			Words: fmt.Sprintf("has schema version %d, newer than %d, which this program was built for: upgrade it", version, schema.Version), Degraded: true,
		}
	}
	return nil
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
