package migrations_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/platform/database"
	"parley.chat/internal/platform/telemetry"
	"parley.chat/shared-contracts/schema"
	migrations "parley.chat/shared-migrations"
)

// TestReady_schema checks that Ready distinguishes a missing, an older and a newer schema. A newer
// schema is only a degraded state, because a release migrates the database before its programs
// start.
func TestReady_schema(t *testing.T) {
	t.Parallel()
	s := pgtest.NewServer(t)
	for _, role := range []string{"parley_chat", "parley_ws", "parley_sync"} {
		db := openAs(t, s.URL, role)
		wantReason(t, database.Ready(t.Context(), db), "run migrate up to create the roles")
	}
	migrate := func(version int) {
		t.Helper()
		if err := migrations.To(t.Context(), s.URL, version, nil); err != nil {
			t.Fatal(err)
		}
	}
	migrate(1)
	db := openAs(t, s.URL, "parley_chat")
	wantReason(t, database.Ready(t.Context(), db), "an older schema") // in this version of the schema, the services may not read the schema version
	if _, err := s.Pool(t).Exec(t.Context(), "alter table parley_schema_version rename to elsewhere"); err != nil {
		t.Fatal(err)
	}
	wantReason(t, database.Ready(t.Context(), db), "has no schema")
	if _, err := s.Pool(t).Exec(t.Context(), "alter table elsewhere rename to parley_schema_version"); err != nil {
		t.Fatal(err)
	}
	if err := migrations.Up(t.Context(), s.URL, nil); err != nil {
		t.Fatal(err)
	}
	if err := database.Ready(t.Context(), db); err != nil {
		t.Errorf("with the schema: %v", err)
	}
	for version, words := range map[int]string{schema.Version - 1: "this program needs", schema.Version + 1: "upgrade the program"} {
		if _, err := s.Pool(t).Exec(t.Context(), "update parley_schema_version set version = $1", version); err != nil {
			t.Fatal(err)
		}
		err := database.Ready(t.Context(), db)
		wantReason(t, err, fmt.Sprintf("version %d", version))
		wantReason(t, err, words)
		if e, ok := errors.AsType[*telemetry.StateError](err); ok && e.Degraded != (version > schema.Version) {
			t.Errorf("version %d: degraded %v", version, e.Degraded)
		}
	}
}

func openAs(t *testing.T, url, role string) *bun.DB {
	t.Helper()
	db, err := database.Open(url, database.Options{Role: role})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func wantReason(t *testing.T, err error, reason string) {
	t.Helper()
	if e, ok := errors.AsType[*telemetry.StateError](err); !ok || !strings.Contains(e.Reason, reason) {
		t.Errorf("%v, want the reason %q", err, reason)
	}
}
