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

	"parley.chat/internal/platform/lifecycle"
	"parley.chat/internal/platform/outage"
	"parley.chat/internal/platform/pgsession"
	"parley.chat/internal/platform/telemetry"
	"parley.chat/shared-contracts/schema"
)

// Ping checks that the pool has, or can open, a session that can write and whose settings are still
// those that pgsession applied. It closes sessions that fail this check. Its errors are suitable
// for /readyz.
func Ping(ctx context.Context, db *bun.DB) error {
	for {
		closed, err := ping(ctx, db)
		if err == nil {
			return nil
		}
		if closed && ctx.Err() == nil {
			continue // the pool may have other sessions; once it has none left, it opens a new one
		}
		err = fmt.Errorf("reach PostgreSQL: %w", err)
		if e, ok := errors.AsType[*pgsession.Error](err); ok {
			return &telemetry.StateError{Reason: e.Reason, Err: err}
		}
		return err
	}
}

// Ready is like Ping, but also checks that the database has the schema that this program was built
// for. A newer schema is accepted, because migrations run before the programs that need them are
// started, and do not break the previous release.
func Ready(ctx context.Context, db *bun.DB) error {
	if err := Ping(ctx, db); err != nil {
		return err
	}
	var version int
	err := db.QueryRowContext(ctx, "select version from "+schema.VersionTable).Scan(&version)
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code {
		case "42P01": // undefined_table
			return &telemetry.StateError{Reason: "has no schema: run migrate up", Err: err}
		case "42501": // insufficient_privilege: fixed by the migrations of this release
			return &telemetry.StateError{Reason: "has an older schema than this program needs, or lacks its privileges: run migrate up", Err: err}
		}
	}
	switch {
	case errors.Is(err, sql.ErrNoRows) || err == nil && version == 0:
		return &telemetry.StateError{Reason: "has no schema: run migrate up"}
	case err != nil:
		return fmt.Errorf("read the version of the schema: %w", err)
	case version < schema.Version:
		return &telemetry.StateError{Reason: fmt.Sprintf("has schema version %d, but this program needs %d: run migrate up", version, schema.Version)}
	case version > schema.Version:
		return &telemetry.StateError{
			Reason: fmt.Sprintf("has schema version %d, but this program was built for %d: upgrade the program", version, schema.Version), Degraded: true,
		}
	}
	return nil
}

// ping checks one session from the pool. closed reports whether it has closed that session.
func ping(ctx context.Context, db *bun.DB) (closed bool, err error) {
	conn, err := db.DB.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }() // Close only returns the connection to the pool
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

// Pauses between two attempts by Watch.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 2 * time.Second
)

// Watch waits until db has a session, and then until ctx is done. It is meant to run as one of the
// parts of lifecycle.Run. It returns an error if the database or a pooler can never provide a
// session that meets the service's needs. In that case the service should not start. Every other
// failure may be temporary and is logged.
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
