package localserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
)

// TestMain also lets the test binary act as a program that runs both servers until it is killed.
func TestMain(m *testing.M) {
	dir := os.Getenv("LOCALSERVER_TEST_DIR")
	if dir == "" {
		goleak.VerifyTestMain(m, testkit.Redialing())
		return
	}
	ctx := context.Background()
	found, err := Find(ctx)
	if err != nil {
		panic(err)
	}
	if _, err := StartPostgres(ctx, PostgresOptions{Bin: found.Postgres, DataDir: filepath.Join(dir, "pg"), Durable: true}); err != nil {
		panic(err)
	}
	if _, err := StartRedis(ctx, RedisOptions{Bin: found.Redis, Dir: filepath.Join(dir, "redis")}); err != nil {
		panic(err)
	}
	fmt.Println("ready")
	select {}
}

// binaries returns the server programs that are installed on this machine.
func binaries(t *testing.T) Binaries {
	t.Helper()
	found, err := Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// openDir returns a temporary folder that PostgreSQL's user can access.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "parley-localserver-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestParentKilled checks that the servers of a killed program die with it, and that the next
// program can use their data.
func TestParentKilled(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	parent := exec.CommandContext(t.Context(), os.Args[0])
	parent.Env = append(os.Environ(), "LOCALSERVER_TEST_DIR="+dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 64)
	if n, err := out.Read(line); err != nil || !strings.HasPrefix(string(line[:n]), "ready") {
		t.Fatalf("the program said %q, %v", line[:n], err)
	}
	found := binaries(t)

	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := StartRedis(short, RedisOptions{Bin: found.Redis, Dir: filepath.Join(dir, "redis")}); err == nil || !strings.Contains(err.Error(), "in use by process") {
		t.Errorf("second Redis on the data = %v, want in use", err)
	}
	if _, err := StartPostgres(short, PostgresOptions{Bin: found.Postgres, DataDir: filepath.Join(dir, "pg")}); err == nil || !strings.Contains(err.Error(), "in use by process") {
		t.Errorf("second PostgreSQL on the data = %v, want in use", err)
	}

	_ = parent.Process.Kill()
	_ = parent.Wait()
	pg, err := StartPostgres(t.Context(), PostgresOptions{Bin: found.Postgres, DataDir: filepath.Join(dir, "pg"), Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := StartRedis(t.Context(), RedisOptions{Bin: found.Redis, Dir: filepath.Join(dir, "redis")})
	if err != nil {
		t.Fatal(err)
	}
	for _, stop := range []func(context.Context) error{r.Stop, pg.Stop} {
		if err := stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if pg.Err() != nil || r.Err() != nil {
		t.Errorf("after Stop: %v, %v; want clean ends", pg.Err(), r.Err())
	}
}
