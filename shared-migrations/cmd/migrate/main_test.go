package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"parley.chat/internal/devkit/testkit/pgtest"
	migrations "parley.chat/shared-migrations"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// migrate runs the command and returns its exit code and output.
func migrate(t *testing.T, url string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, log strings.Builder
	err := run(t.Context(), args, func(name string) string { return map[string]string{"DATABASE_URL": url}[name] }, &out, &log)
	if err == nil {
		return 0, out.String(), log.String()
	}
	code = 1
	if e, ok := errors.AsType[exitError](err); ok {
		code = e.ExitCode()
	}
	return code, out.String(), log.String() + err.Error()
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	url := pgtest.Empty(t).URL
	latest := strconv.Itoa(migrations.Latest())
	for _, tt := range []struct {
		args   []string
		code   int
		output string // a part of standard output or standard error
	}{
		{[]string{"status", "--check"}, 3, "001_create_roles.sql"},
		{[]string{"up"}, 0, `"direction":"up"`},
		{[]string{"up"}, 0, ""},
		{[]string{"status", "--check"}, 0, "applied"},
		{[]string{"down", "1"}, 0, `"direction":"down"`},
		{[]string{"status"}, 0, "missing"},
		{[]string{"to", latest}, 0, `"direction":"up"`},
		{[]string{"to", "999"}, 1, "outside the valid versions"},
		{[]string{"down", "999"}, 1, "the database is at version " + latest},
		{[]string{"down", "0"}, 1, "not a number of steps"},
		{[]string{"down"}, 2, "steps"},
		{[]string{"sideways"}, 2, "sideways"},
		{[]string{"--help"}, 0, "Examples:"},
		{nil, 0, "Exit codes:"},
	} {
		code, stdout, stderr := migrate(t, url, tt.args...)
		if code != tt.code || !strings.Contains(stdout+stderr, tt.output) {
			t.Errorf("migrate %v = %d, want %d and %q:\n%s%s", tt.args, code, tt.code, tt.output, stdout, stderr)
		}
	}

	// The log consists of JSON lines, as in every program.
	migrate(t, url, "down", "1")
	_, _, stderr := migrate(t, url, "up")
	for line := range strings.Lines(stderr) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil || fields["service"] != "migrate" || fields["msg"] == nil {
			t.Errorf("a line of the log is %q, %v", line, err)
		}
	}
	if !strings.Contains(stderr, "migration") {
		t.Errorf("migrate up logs %q", stderr)
	}

	_, stdout, _ := migrate(t, url, "status", "-o", "json")
	var list []migrations.Migration
	if err := json.Unmarshal([]byte(stdout), &list); err != nil || len(list) != migrations.Latest() || !list[0].Applied {
		t.Errorf("status -o json = %s, %v", stdout, err)
	}
}

func TestMigrate_noDatabase(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"up"}, {"status"}, {"to", "1"}, {"down", "1"}} {
		if code, _, stderr := migrate(t, "", args...); code != 2 || !strings.Contains(stderr, "DATABASE_URL: must be set") {
			t.Errorf("migrate %v without DATABASE_URL = %d, %q", args, code, stderr)
		}
	}
	if code, _, stderr := migrate(t, "postgres://127.0.0.1:1/x?connect_timeout=1", "up"); code != 1 || !strings.Contains(stderr, "connect to migrate") {
		t.Errorf("migrate up without a server = %d, %q", code, stderr)
	}
}

func TestMigrate_new(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, want := range []string{"001_create_things.sql", "002_create_things.sql"} {
		path := filepath.Join(dir, want)
		if code, stdout, stderr := migrate(t, "", "new", "--dir", dir, "create_things"); code != 0 || strings.TrimSpace(stdout) != path {
			t.Errorf("migrate new = %d, %q, %q; want %s", code, stdout, stderr, path)
		}
		if b, err := os.ReadFile(path); err != nil || !strings.Contains(string(b), "---- create above / drop below ----") {
			t.Errorf("%s = %q, %v", path, b, err)
		}
	}
	if code, _, _ := migrate(t, "", "new", "--dir", dir, "Things!"); code != 2 {
		t.Errorf("migrate new Things! = %d, want 2", code)
	}
	if code, _, _ := migrate(t, "", "new", "--dir", dir+"/none", "create_things"); code != 1 {
		t.Errorf("migrate new in no folder = %d, want 1", code)
	}
}
