package localserver

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"parley.chat/internal/devkit/testkit"
)

func startPostgres(t *testing.T, opts PostgresOptions) *Postgres {
	t.Helper()
	opts.Bin = binaries(t).Postgres
	pg, err := StartPostgres(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pg.Kill() })
	return pg
}

func query(t *testing.T, address, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	var s string
	if err := conn.QueryRow(t.Context(), sql).Scan(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestStartPostgres_longDir checks a folder whose path is longer than the limit for sockets, about
// 100 bytes.
func TestStartPostgres_longDir(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), strings.Repeat("long", 30), "pg")
	pg := startPostgres(t, PostgresOptions{DataDir: dir, Durable: true})
	for range 2 {
		if err := pg.CreateDatabase(t.Context(), "parley"); err != nil {
			t.Fatal(err)
		}
	}
	if got := query(t, pg.URL("parley"), "select lower('ÄÖ') || current_setting('timezone') || current_setting('fsync') || current_setting('listen_addresses')"); got != "äöUTCon" {
		t.Errorf("server settings = %q", got)
	}
	if err := pg.Start(t.Context()); err == nil {
		t.Error("Start of a running server = nil")
	}
	u, err := url.Parse(pg.URL("x"))
	if err != nil {
		t.Fatal(err)
	}
	socketDir := u.Query().Get("host")
	t.Cleanup(func() { _ = os.RemoveAll(socketDir) })
	if info, err := os.Stat(socketDir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("socket folder %s: %v, %v; want it closed to others", socketDir, info.Mode(), err)
	}
}

// TestStartPostgres_stalePidFile checks a start after a kill that left a postmaster.pid whose pid
// now belongs to another process.
func TestStartPostgres_stalePidFile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "pg")
	pg := startPostgres(t, PostgresOptions{DataDir: dir})
	if err := pg.Kill(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "postmaster.pid")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("a killed server leaves its pid file: %v", err)
	}
	_, rest, _ := strings.Cut(string(content), "\n")
	if err := os.WriteFile(path, fmt.Appendf(nil, "%d\n%s", os.Getppid(), rest), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := pg.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := query(t, pg.URL("postgres"), "select 'ok'"); got != "ok" {
		t.Error(got)
	}
}

func TestPostgres_Run(t *testing.T) {
	t.Parallel()
	pg := startPostgres(t, PostgresOptions{DataDir: filepath.Join(openDir(t), "pg")})
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- pg.Run(ctx) }()
	cancel()
	if err := errors.Join(<-result, pg.Err()); err != nil {
		t.Errorf("Run = %v, want a clean stop", err)
	}

	if err := pg.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	go func() { result <- pg.Run(t.Context()) }()
	if err := pg.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err == nil || !strings.Contains(err.Error(), "PostgreSQL ended") {
		t.Errorf("Run = %v, want an error about the unexpected end", err)
	}
}

func TestStartPostgres_refuses(t *testing.T) {
	t.Parallel()
	bin := binaries(t).Postgres
	foreign := filepath.Join(openDir(t), "pg")
	if err := os.MkdirAll(filepath.Join(foreign, "holiday pictures"), 0o755); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(openDir(t), "pg")
	if err := os.MkdirAll(other, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "PG_VERSION"), []byte("8\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{foreign: "neither empty", other: "written by PostgreSQL 8"} {
		ctx, cancel := context.WithTimeout(t.Context(), testkit.Timeout)
		if _, err := StartPostgres(ctx, PostgresOptions{Bin: bin, DataDir: dir}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("StartPostgres = %v, want %q", err, want)
		}
		cancel()
	}
}

// TestStartPostgres_unreachableDir checks a start as root with a data folder inside a folder that
// only root may enter.
func TestStartPostgres_unreachableDir(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "closed", "pg")
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	pg := startPostgres(t, PostgresOptions{DataDir: dir})
	if os.Geteuid() != 0 {
		if pg.DataDir() != dir {
			t.Errorf("data in %s, want %s", pg.DataDir(), dir)
		}
		return
	}
	t.Cleanup(func() {
		for _, left := range []string{pg.DataDir(), pg.DataDir() + ".lock"} {
			_ = os.RemoveAll(left)
		}
	})
	if !strings.HasPrefix(pg.DataDir(), "/var/lib/parley/") {
		t.Errorf("data in %s, want it where the server's user gets", pg.DataDir())
	}
	if err := pg.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The data must still be found after the folder is made accessible.
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	again := startPostgres(t, PostgresOptions{DataDir: dir})
	if again.DataDir() != pg.DataDir() {
		t.Errorf("data in %s, want %s as before", again.DataDir(), pg.DataDir())
	}
}
