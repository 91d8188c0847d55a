// Package pgtest gives tests real PostgreSQL databases.
//
// Empty and Template.Open create a database in the private server that a test process starts on
// first use. NewServer starts a server for one test, which may stop the server. Test processes
// share no servers, so packages can be tested in parallel. If PostgreSQL is not installed, a test
// fails and explains how to install it.
//
// The package knows no schema: shared-migrations/schematest provides databases with Parley's
// schema.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"parley.chat/internal/devkit/localserver"
	"parley.chat/internal/devkit/testkit"
)

// shared is the server of this process.
var shared struct {
	once   sync.Once
	server *localserver.Postgres
	dir    string
	err    error

	last atomic.Int64 // numbers the databases
}

// Main runs the tests of a package, stops the server, and checks for leaked goroutines. Use it in
// TestMain: func TestMain(m *testing.M) { pgtest.Main(m) }. Without Main, the server still dies
// with the process (on Linux), and a later run removes the server's folder.
func Main(m *testing.M, leaks ...goleak.Option) {
	code := m.Run()
	if err := stopShared(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		code = max(code, 1)
	}
	if code == 0 {
		if err := goleak.Find(append(leaks, testkit.Redialing())...); err != nil {
			fmt.Fprintln(os.Stderr, "goleak:", err)
			code = 1
		}
	}
	os.Exit(code)
}

func stopShared() error {
	if shared.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Timeout)
	defer cancel()
	return errors.Join(shared.server.Stop(ctx), os.RemoveAll(shared.dir))
}

// server returns the server of this process.
func server(ctx context.Context) (*localserver.Postgres, error) {
	shared.once.Do(func() {
		sweep()
		shared.server, shared.dir, shared.err = start(ctx, map[string]string{"max_connections": "500"})
	})
	return shared.server, shared.err
}

// prefix is the prefix of the servers' folders in the temporary directory.
const prefix = "parley-pgtest-"

// start starts a server in a new folder.
func start(ctx context.Context, settings map[string]string) (*localserver.Postgres, string, error) {
	found, err := localserver.Find(ctx)
	if found.Postgres == "" {
		return nil, "", err
	}
	dir, err := os.MkdirTemp("", prefix)
	if err != nil {
		return nil, "", err
	}
	// The server may run as another user, and that user must be able to enter the folder.
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, "", errors.Join(err, os.RemoveAll(dir))
	}
	pg, err := localserver.StartPostgres(ctx, localserver.PostgresOptions{Bin: found.Postgres, DataDir: filepath.Join(dir, "data"), Settings: settings})
	if err != nil {
		return nil, "", errors.Join(err, os.RemoveAll(dir))
	}
	return pg, dir, nil
}

// sweep removes the folders of killed test processes. These are the folders whose lock no process
// holds. A test that has stopped its server does not hold the lock either. So sweep removes only
// folders whose lock file is more than an hour old.
func sweep() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*")) // the pattern is well formed
	for _, dir := range dirs {
		file, err := os.Open(filepath.Join(dir, "data.lock"))
		if err != nil {
			continue // the folder has no lock file yet, or another user owns the folder
		}
		info, err := file.Stat()
		if err == nil && time.Since(info.ModTime()) > time.Hour && syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(dir) // the next run tries again
		}
		_ = file.Close()
	}
}

// DB is a database for a test.
type DB struct {
	URL string // for the superuser
}

// Empty returns an empty database. It is dropped when the test ends.
func Empty(t testing.TB) *DB {
	t.Helper()
	return clone(t, "template0", nil)
}

// Template is a database that each test process prepares on first use and then clones for each
// test.
type Template struct {
	name    string
	prepare func(ctx context.Context, url string) error

	once sync.Once
	err  error
}

// NewTemplate returns a template that prepare fills on first use. It does not start the server.
func NewTemplate(name string, prepare func(ctx context.Context, url string) error) *Template {
	return &Template{name: name, prepare: prepare}
}

// Open returns a clone of the template. It is dropped when the test ends.
func (tpl *Template) Open(t testing.TB) *DB {
	t.Helper()
	return clone(t, tpl.name, func(ctx context.Context, pg *localserver.Postgres) error {
		tpl.once.Do(func() {
			if tpl.err = pg.CreateDatabase(ctx, tpl.name); tpl.err == nil {
				tpl.err = tpl.prepare(ctx, pg.URL(tpl.name))
			}
		})
		return tpl.err
	})
}

// clone returns a copy of database `from`. If ready is not nil, clone calls it first to ensure that
// the database exists.
func clone(t testing.TB, from string, ready func(context.Context, *localserver.Postgres) error) *DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Timeout)
	defer cancel()
	pg, err := server(ctx)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	if ready != nil {
		if err := ready(ctx, pg); err != nil {
			t.Fatalf("pgtest: prepare the database %s: %v", from, err)
		}
	}
	name := fmt.Sprintf("test_%d", shared.last.Add(1))
	if err := admin(ctx, pg, "CREATE DATABASE "+name+" TEMPLATE "+from); err != nil {
		t.Fatalf("pgtest: clone database: %v", err)
	}
	t.Cleanup(func() {
		// t.Context is already canceled.
		ctx, cancel := context.WithTimeout(context.Background(), testkit.Timeout)
		defer cancel()
		if err := admin(ctx, pg, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("pgtest: drop database: %v", err)
		}
	})
	return &DB{URL: pg.URL(name)}
}

// admin runs one statement in the server's postgres database.
func admin(ctx context.Context, pg *localserver.Postgres, sql string) error {
	conn, err := pgx.Connect(ctx, pg.URL("postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

// URLAs returns the URL of the database with the role as a startup parameter, so that every session
// has this role.
func (db *DB) URLAs(role string) string { return withRole(db.URL, role) }

func withRole(address, role string) string {
	sep := "?"
	if strings.Contains(address, "?") {
		sep = "&"
	}
	return address + sep + "role=" + url.QueryEscape(role)
}

// Pool returns a connection pool for the superuser. It is closed when the test ends.
func (db *DB) Pool(t testing.TB) *pgxpool.Pool { t.Helper(); return pool(t, db.URL) }

// PoolAs returns a connection pool whose sessions have the given role. It is closed when the test
// ends.
func (db *DB) PoolAs(t testing.TB, role string) *pgxpool.Pool {
	t.Helper()
	return pool(t, db.URLAs(role))
}

func pool(t testing.TB, address string) *pgxpool.Pool {
	t.Helper()
	p, err := pgxpool.New(context.Background(), address)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(p.Close)
	return p
}

// Server is a PostgreSQL server for one test, which may stop it. Committed data survives Kill.
type Server struct {
	DB // its database, which is empty at first
	pg *localserver.Postgres
}

// Options configures a server.
type Options struct {
	Settings map[string]string // of postgresql.conf
}

// NewServer starts a server for one test. The server is removed when the test ends.
func NewServer(t testing.TB, options ...Options) *Server {
	t.Helper()
	o := Options{}
	if len(options) > 0 {
		o = options[0]
	}
	settings := map[string]string{"synchronous_commit": "on"}
	maps.Copy(settings, o.Settings)
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Timeout)
	defer cancel()
	pg, dir, err := start(ctx, settings)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if err := errors.Join(pg.Kill(), os.RemoveAll(dir)); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	if err := pg.CreateDatabase(ctx, "parley"); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	return &Server{DB: DB{URL: pg.URL("parley")}, pg: pg}
}

// Stop shuts the server down.
func (s *Server) Stop(t testing.TB) { t.Helper(); s.do(t, s.pg.Stop) }

// Start starts the server again at the same address, after Stop or Kill.
func (s *Server) Start(t testing.TB) { t.Helper(); s.do(t, s.pg.Start) }

// Kill kills the server, simulating a crash.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.do(t, func(context.Context) error { return s.pg.Kill() })
}

func (s *Server) do(t testing.TB, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Timeout)
	defer cancel()
	if err := f(ctx); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
}
