package migrations

import (
	"context"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/tern/v2/migrate"
)

// UpFrom is like Up, but with other migrations.
func UpFrom(ctx context.Context, url string, source fs.FS) error {
	return open(ctx, url, source, nil, func(_ *pgx.Conn, m *migrate.Migrator, _ int32) error { return m.Migrate(ctx) })
}

// VersionTable is the table with the schema version.
const VersionTable = versionTable
