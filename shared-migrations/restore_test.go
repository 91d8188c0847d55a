package migrations_test

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"testing"

	"parley.chat/internal/devkit/localserver"
	"parley.chat/internal/devkit/testkit/pgtest"
	migrations "parley.chat/shared-migrations"
	"parley.chat/shared-migrations/schematest"
)

// TestUp_restored restores a dump into a new server, which has no roles. migrate status --check
// must report that, and migrate up must create the roles and privileges, so that the services can
// work.
func TestUp_restored(t *testing.T) {
	t.Parallel()
	old, fresh := schematest.NewServer(t), pgtest.NewServer(t)
	users(t, old.Pool(t))
	want := dump(t, old.URL)
	if err := migrations.CheckRights(t.Context(), old.URL); err != nil {
		t.Errorf("a healthy database: %v", err)
	}
	restore(t, old.URL, fresh.URL)
	if err := migrations.CheckRights(t.Context(), fresh.URL); !errors.Is(err, migrations.ErrRights) {
		t.Errorf("after the restore: %v, want ErrRights", err)
	}
	if err := migrations.Up(t.Context(), fresh.URL, nil); err != nil {
		t.Fatal(err)
	}
	if got := dump(t, fresh.URL); got != want {
		t.Errorf("the restored database differs:\n%s", diff(want, got))
	}
	var name string
	if err := fresh.PoolAs(t, "parley_chat").QueryRow(t.Context(), "select username from users where id = $1", ann).Scan(&name); err != nil || name != "ann" {
		t.Errorf("parley_chat reads %q, %v", name, err)
	}
	if err := migrations.CheckRights(t.Context(), fresh.URL); err != nil {
		t.Errorf("after migrate up: %v", err)
	}

	// Now the roles exist, but one privilege is missing.
	if _, err := fresh.Pool(t).Exec(t.Context(), "revoke insert on messages from parley_sync"); err != nil {
		t.Fatal(err)
	}
	if err := migrations.CheckRights(t.Context(), fresh.URL); !errors.Is(err, migrations.ErrRights) {
		t.Errorf("without a right: %v, want ErrRights", err)
	}
	if err := errors.Join(migrations.Up(t.Context(), fresh.URL, nil), migrations.CheckRights(t.Context(), fresh.URL)); err != nil {
		t.Error(err)
	}
}

// TestUp_restoredOlder restores a dump from an older release, and checks that the roles are created
// before the missing migrations are applied.
func TestUp_restoredOlder(t *testing.T) {
	t.Parallel()
	old, fresh := schematest.NewServer(t), pgtest.NewServer(t)
	want := dump(t, old.URL)
	to(t, old.URL, 20)
	restore(t, old.URL, fresh.URL)
	if err := migrations.Up(t.Context(), fresh.URL, nil); err != nil {
		t.Fatal(err)
	}
	if got := dump(t, fresh.URL); got != want {
		t.Errorf("the restored database differs:\n%s", diff(want, got))
	}
}

// restore copies a database as described in docs/operations.md. Grants to missing roles cause
// errors in psql, which continues after them.
func restore(t *testing.T, from, to string) {
	t.Helper()
	found, err := localserver.Find(t.Context())
	if found.Postgres == "" {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(found.Postgres, "pg_dump"), "--dbname="+from).Output()
	if err != nil {
		t.Fatalf("pg_dump: %v", err)
	}
	psql := exec.CommandContext(t.Context(), filepath.Join(found.Postgres, "psql"), "--no-psqlrc", "--quiet", "--dbname="+to)
	psql.Stdin = bytes.NewReader(out)
	if out, err := psql.CombinedOutput(); err != nil {
		t.Fatalf("psql: %v\n%s", err, out)
	}
}
