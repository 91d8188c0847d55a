// Package schematest creates PostgreSQL databases with Parley's schema for tests. It uses package
// pgtest and applies the migrations.
package schematest

import (
	"context"
	"testing"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/pgtest"
	migrations "parley.chat/shared-migrations"
)

var template = pgtest.NewTemplate("parley_template", migrate)

func migrate(ctx context.Context, url string) error { return migrations.Up(ctx, url, nil) }

// Open returns a migrated database, which is dropped when the test ends.
func Open(t testing.TB) *pgtest.DB {
	t.Helper()
	return template.Open(t)
}

// NewServer starts a PostgreSQL server with a migrated database for one test. The server is removed
// when the test ends.
func NewServer(t testing.TB, options ...pgtest.Options) *pgtest.Server {
	t.Helper()
	s := pgtest.NewServer(t, options...)
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Timeout)
	defer cancel()
	if err := migrate(ctx, s.URL); err != nil {
		t.Fatalf("schematest: %v", err)
	}
	return s
}
