package migrations_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"parley.chat/internal/devkit/localserver"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/shared-contracts/schema"
	migrations "parley.chat/shared-migrations"
	"parley.chat/shared-migrations/schematest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { pgtest.Main(m) }

// TestEachMigration: each step down comes to the schema before the step up, and all steps up again to the
// same schema.
func TestEachMigration(t *testing.T) {
	t.Parallel()
	url := pgtest.Empty(t).URL
	if err := migrations.To(t.Context(), url, 0, nil); err != nil {
		t.Fatal(err)
	}
	schemas := []string{dump(t, url)} // by version
	for v := 1; v <= migrations.Latest(); v++ {
		to(t, url, v)
		schemas = append(schemas, dump(t, url))
	}
	for v := migrations.Latest(); v > 0; v-- {
		if err := migrations.Down(t.Context(), url, 1, nil); err != nil {
			t.Fatalf("down from %d: %v", v, err)
		}
		if got := dump(t, url); got != schemas[v-1] {
			t.Fatalf("going down from %d leaves something behind:\n%s", v, diff(schemas[v-1], got))
		}
	}
	to(t, url, migrations.Latest())
	if got, want := dump(t, url), schemas[migrations.Latest()]; got != want {
		t.Errorf("going up again differs:\n%s", diff(want, got))
	}
}

func to(t *testing.T, url string, version int) {
	t.Helper()
	if err := migrations.To(t.Context(), url, version, nil); err != nil {
		t.Fatalf("to %d: %v", version, err)
	}
}

// TestSchema compares what the migrations add up to with a file, for the eyes of a reviewer.
func TestSchema(t *testing.T) {
	t.Parallel()
	if migrations.Latest() != schema.Version {
		t.Errorf("schema.Version is %d, and the newest migration %d: change shared-contracts/schema", schema.Version, migrations.Latest())
	}
	url := pgtest.Empty(t).URL
	to(t, url, migrations.Latest()) // by the migrations alone
	got := dump(t, url)
	if *update {
		if err := os.WriteFile("grants.sql", []byte(grants(got)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile("grants.sql"); err != nil || string(have) != grants(got) {
		t.Errorf("grants.sql is not what the migrations grant, %v (-update rewrites it):\n%s", err, diff(string(have), grants(got)))
	}
	golden := filepath.Join("testdata", "schema.golden.sql")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the schema differs from %s (-update rewrites it):\n%s", golden, diff(string(want), got))
	}
}

// grants returns the statements of a dump that grant and revoke rights.
func grants(dump string) string {
	var b strings.Builder
	b.WriteString("-- What the migrations grant and revoke in sum. Made by: go test ./shared-migrations -run TestSchema -update\n")
	for line := range strings.Lines(dump) {
		if strings.HasPrefix(line, "GRANT ") || strings.HasPrefix(line, "REVOKE ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// What differs from one pg_dump or server to the next: versions, session settings (their number
// grows), comments, and the key that newer ones put around the dump.
var noise = regexp.MustCompile(`(?m)^(--.*|SET .*|SELECT pg_catalog\.set_config.*|\\(un)?restrict .*)$\n?`)

// dump returns the schema as pg_dump writes it, with what is not ours taken out.
func dump(t *testing.T, url string) string {
	t.Helper()
	found, err := localserver.Find(t.Context())
	if found.Postgres == "" {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), filepath.Join(found.Postgres, "pg_dump"), "--schema-only", "--no-owner", "--dbname="+url)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("pg_dump: %v\n%s", err, stderr.String())
	}
	s := noise.ReplaceAllString(string(out), "")
	return strings.TrimSpace(regexp.MustCompile(`\n{3,}`).ReplaceAllString(s, "\n\n")) + "\n"
}

// diff lists the lines that only one of the two has.
func diff(want, got string) string {
	var b strings.Builder
	for _, side := range []struct{ mark, of, notIn string }{{"-", want, got}, {"+", got, want}} {
		lines := map[string]bool{}
		for line := range strings.Lines(side.notIn) {
			lines[line] = true
		}
		for line := range strings.Lines(side.of) {
			if !lines[line] {
				b.WriteString(side.mark + line)
			}
		}
	}
	return b.String()
}

// TestUp_manyAtOnce: ten services that start together migrate once.
func TestUp_manyAtOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.Empty(t).URL
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if err := migrations.Up(t.Context(), url, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	list, err := migrations.Status(t.Context(), url)
	if err != nil || len(list) != migrations.Latest() || !list[len(list)-1].Applied {
		t.Errorf("Status = %v, %v; want all applied", list, err)
	}
}

// TestUp_concurrentIndex: sessions that wait for their turn do not block CREATE INDEX CONCURRENTLY,
// which waits for every snapshot.
func TestUp_concurrentIndex(t *testing.T) {
	t.Parallel()
	url := pgtest.Empty(t).URL
	source := fstest.MapFS{
		"001_create_t.sql": {Data: []byte("create table t (n int); insert into t select generate_series(1, 100000); select pg_sleep(0.3);\n---- create above / drop below ----\ndrop table t;")},
		"002_index_t.sql":  {Data: []byte("---- tern: disable-tx ----\ncreate index concurrently t_n on t (n);\n---- create above / drop below ----\n---- tern: disable-tx ----\ndrop index concurrently t_n;")},
	}
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if err := migrations.UpFrom(t.Context(), url, source); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestUp_failureLeavesTheVersionBefore(t *testing.T) {
	t.Parallel()
	url := pgtest.Empty(t).URL
	source := fstest.MapFS{
		"001_create_t.sql": {Data: []byte("create table t (n int);")},
		"002_break_t.sql":  {Data: []byte("create table u (n int); alter table nonsense add m int;")},
	}
	err := migrations.UpFrom(t.Context(), url, source)
	const undefinedTable = "42P01"
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code != undefinedTable || !strings.Contains(err.Error(), "002_break_t.sql") {
		t.Errorf("UpFrom = %v, want an undefined table in 002_break_t.sql", err)
	}
	var version, tables int
	if err := scan(t, url, "select version, (select count(*) from pg_tables where tablename in ('t', 'u')) from "+migrations.VersionTable, &version, &tables); err != nil || version != 1 || tables != 1 {
		t.Errorf("version %d, %d tables, %v; want 1, 1", version, tables, err)
	}
}

func TestNewerDatabase(t *testing.T) {
	t.Parallel()
	db := schematest.Open(t)
	if _, err := db.Pool(t).Exec(t.Context(), "update "+migrations.VersionTable+" set version = 9999"); err != nil {
		t.Fatal(err)
	}
	_, status := migrations.Status(t.Context(), db.URL)
	for name, err := range map[string]error{
		"Up": migrations.Up(t.Context(), db.URL, nil), "Down": migrations.Down(t.Context(), db.URL, 1, nil),
		"To": migrations.To(t.Context(), db.URL, 1, nil), "Status": status,
	} {
		if e, ok := errors.AsType[*migrations.NewerError](err); !ok || e.Database != 9999 || e.Known != migrations.Latest() {
			t.Errorf("%s = %v, want a NewerError", name, err)
		}
	}
}

func TestStatus_changesNothing(t *testing.T) {
	t.Parallel()
	db := pgtest.Empty(t)
	list, err := migrations.Status(t.Context(), db.URL)
	if err != nil || len(list) != migrations.Latest() || list[0].Applied || list[0].Version != 1 {
		t.Errorf("Status = %v, %v; want none applied", list, err)
	}
	var exists bool
	if err := scan(t, db.URL, fmt.Sprintf("select to_regclass('%s') is not null", migrations.VersionTable), &exists); err != nil || exists {
		t.Errorf("version table exists = %v, %v; want false", exists, err)
	}
	if err := migrations.Down(t.Context(), db.URL, 1, nil); err == nil {
		t.Error("Down from 0 = nil, want an error")
	}
}

func scan(t *testing.T, url, sql string, dst ...any) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	return conn.QueryRow(t.Context(), sql).Scan(dst...)
}
