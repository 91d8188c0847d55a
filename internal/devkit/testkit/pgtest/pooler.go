package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"parley.chat/internal/devkit/subprocess"
	"parley.chat/internal/devkit/testkit"
)

// Pooler starts a PgBouncer in front of the server and returns the address of the database behind
// it. mode is session, transaction or statement; all other settings are PgBouncer's defaults. If
// PgBouncer is not installed, the test is skipped.
func (s *Server) Pooler(t testing.TB, mode string) string {
	t.Helper()
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		if path = "/usr/sbin/pgbouncer"; !executable(path) {
			t.Skip("PgBouncer is not installed (Debian: apt-get install pgbouncer; make deps does it)")
		}
	}
	dir, err := os.MkdirTemp("", prefix+"pooler-")
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	server, err := pgconn.ParseConfig(s.URL)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	config := fmt.Sprintf(`[databases]
* = host=%s port=%d user=%s
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = %s
auth_type = any
pool_mode = %s
`, server.Host, server.Port, server.User, dir, mode)
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	// Run PgBouncer as the server's user, because only that user can open the server's socket, and
	// because PgBouncer refuses to run as root.
	credential := s.owner(t, dir)
	proc, err := subprocess.Start(subprocess.Spec{Path: path, Args: []string{file}, Dir: "/", Credential: credential})
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if err := proc.Kill(); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	q := url.Values{"host": {dir}, "port": {"6432"}, "user": {server.User}, "sslmode": {"disable"}}
	address := (&url.URL{Scheme: "postgres", Path: "/" + server.Database, RawQuery: q.Encode()}).String()
	testkit.Until(t, testkit.Timeout, func() error {
		select {
		case <-proc.Done():
			t.Fatalf("pgtest: PgBouncer ended: %v\n%s", proc.Err(), proc.Tail())
		default:
		}
		conn, err := pgconn.Connect(t.Context(), address)
		if err != nil {
			return err
		}
		return errors.Join(conn.Ping(t.Context()), conn.Close(context.WithoutCancel(t.Context())))
	})
	return address
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0
}
