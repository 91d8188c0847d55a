// Package migrations contains the migrations of the database schema, and the code that applies
// them.
//
// Several processes may call Up at the same time: one process migrates, and the others wait. Each
// migration runs in a transaction unless it contains `---- tern: disable-tx ----`. If a transaction
// fails, the database stays at the previous version. The statements of a merged migration never
// change.
package migrations

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/tern/v2/migrate"

	"parley.chat/internal/platform/pgsession"
	"parley.chat/shared-contracts/schema"
)

//go:embed migrations/*.sql
var files embed.FS

const (
	// versionTable is in the public schema, like all of Parley's tables, regardless of the login's
	// search_path.
	versionTable = schema.VersionTable
	// lockKey is the key of the advisory lock that a session holds while it migrates ("parley" in
	// ASCII).
	lockKey = int64(0x7061726c6579)
	// lockPoll is how often a waiting session tries to acquire the lock.
	lockPoll = 50 * time.Millisecond
)

// NewerError means that a newer release has migrated the database.
type NewerError struct{ Database, Known int }

func (e *NewerError) Error() string {
	return fmt.Sprintf("the database has schema version %d, but this program supports versions up to %d: use a newer release, or migrate down with the release that migrated up", e.Database, e.Known)
}

// Migration is one step of the schema.
type Migration struct {
	Version int    `json:"version"`
	Name    string `json:"name"` // file name
	Applied bool   `json:"applied"`
}

// Latest returns the version of the newest migration that this program knows.
func Latest() int {
	names, err := migrate.FindMigrations(source())
	if err != nil {
		panic(err) // cannot happen: tests verify the embedded files
	}
	return len(names)
}

// Up applies the missing migrations, creates the missing service roles, and grants their missing
// rights. Several processes may call it at the same time. log may be nil.
func Up(ctx context.Context, url string, log *slog.Logger) error {
	log = cmp.Or(log, slog.New(slog.DiscardHandler))
	return open(ctx, url, source(), log, func(conn *pgx.Conn, m *migrate.Migrator, _ int32) error {
		if err := createRoles(ctx, conn); err != nil {
			return err
		}
		if err := m.MigrateTo(ctx, int32(len(m.Migrations))); err != nil {
			return err
		}
		granted, err := grantRights(ctx, conn, true)
		if granted && err == nil {
			log.InfoContext(ctx, "granted missing rights")
		}
		return err
	})
}

// To migrates up or down to the given version.
func To(ctx context.Context, url string, version int, log *slog.Logger) error {
	return open(ctx, url, source(), log, func(_ *pgx.Conn, m *migrate.Migrator, _ int32) error {
		return m.MigrateTo(ctx, int32(version))
	})
}

// Down reverts the newest migrations. steps is the number of migrations to revert. The data in
// removed tables and columns is lost.
func Down(ctx context.Context, url string, steps int, log *slog.Logger) error {
	if steps < 1 {
		return fmt.Errorf("migrate down: %d is not a number of steps", steps)
	}
	return open(ctx, url, source(), log, func(_ *pgx.Conn, m *migrate.Migrator, current int32) error {
		if int(current) < steps {
			return fmt.Errorf("migrate down %d steps: the database is at version %d", steps, current)
		}
		return m.MigrateTo(ctx, current-int32(steps))
	})
}

// Status lists the migrations that this program knows, and reports which are applied. It changes
// nothing.
func Status(ctx context.Context, url string) ([]Migration, error) {
	names, err := migrate.FindMigrations(source())
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	conn, err := connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("read schema version: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	current, err := version(ctx, conn)
	if err != nil {
		return nil, err
	}
	list := make([]Migration, len(names))
	for i, name := range names {
		list[i] = Migration{Version: i + 1, Name: name, Applied: i < current}
	}
	if current > len(names) {
		return list, &NewerError{Database: current, Known: len(names)}
	}
	return list, nil
}

// version returns the database's schema version, or 0 if the database has no schema.
func version(ctx context.Context, conn *pgx.Conn) (current int, err error) {
	var exists bool
	if err := conn.QueryRow(ctx, "select to_regclass($1) is not null", versionTable).Scan(&exists); err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	if !exists {
		return 0, nil
	}
	if err := conn.QueryRow(ctx, "select version from "+versionTable).Scan(&current); err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	return current, nil
}

func source() fs.FS {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		panic(err) // only for an invalid name
	}
	return sub
}

// connect opens a session with the same settings as the services, so that the schema does not
// depend on the server's defaults. The session has no statement timeout, because a migration may
// take a long time.
func connect(ctx context.Context, url string) (*pgx.Conn, error) {
	return pgsession.Connect(ctx, url, pgsession.Options{ApplicationName: "migrate"})
}

// open connects, acquires the lock, and calls do with the connection, a migrator and the current
// version.
func open(ctx context.Context, url string, source fs.FS, log *slog.Logger, do func(conn *pgx.Conn, m *migrate.Migrator, current int32) error) error {
	log = cmp.Or(log, slog.New(slog.DiscardHandler))
	conn, err := connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connect to migrate: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) // also releases the lock
	if err := lock(ctx, conn, log); err != nil {
		return fmt.Errorf("lock to migrate: %w", err)
	}
	m, err := migrate.NewMigrator(ctx, conn, versionTable)
	if err != nil {
		return fmt.Errorf("prepare to migrate: %w", err)
	}
	if err := m.LoadMigrations(source); err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	m.OnStart = func(version int32, name, direction, _ string) {
		log.InfoContext(ctx, "migration", "version", version, "name", name, "direction", direction)
	}
	current, err := m.GetCurrentVersion(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if int(current) > len(m.Migrations) {
		return &NewerError{Database: int(current), Known: len(m.Migrations)}
	}
	if err := do(conn, m, current); err != nil {
		return describe(err)
	}
	return nil
}

// describe adds the error detail from PostgreSQL, which helps to find the cause.
func describe(err error) error {
	pgErr, ok := errors.AsType[migrate.MigrationPgError](err)
	if !ok || pgErr.Detail == "" {
		return fmt.Errorf("migrate: %w", err)
	}
	return fmt.Errorf("migrate: %w (%s)", err, pgErr.Detail)
}

// lock acquires the migration lock. tern's own lock is not sufficient: a session waits for it
// inside a statement and therefore holds a snapshot. CREATE INDEX CONCURRENTLY in the migrating
// session would wait for this snapshot, which would be a deadlock. So lock polls between
// statements, before tern uses the session.
func lock(ctx context.Context, conn *pgx.Conn, log *slog.Logger) error {
	for first := true; ; first = false {
		var got bool
		if err := conn.QueryRow(ctx, "select pg_try_advisory_lock($1)", lockKey).Scan(&got); err != nil || got {
			return err
		}
		if first {
			log.InfoContext(ctx, "another process is migrating, waiting for it")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockPoll):
		}
	}
}
