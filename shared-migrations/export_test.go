package migrations

import (
	"context"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/tern/v2/migrate"
)

// UpFrom is Up with other migrations than ours.
func UpFrom(ctx context.Context, url string, source fs.FS) error {
	return open(ctx, url, source, nil, func(_ *pgx.Conn, m *migrate.Migrator, _ int32) error { return m.Migrate(ctx) })
}

// VersionTable is where the version is kept.
const VersionTable = versionTable
