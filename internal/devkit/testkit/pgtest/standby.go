package pgtest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"parley.chat/internal/devkit/localserver"
	"parley.chat/internal/devkit/testkit"
)

// Standby starts a hot standby that replicates the server. The server needs wal_level replica and
// max_wal_senders.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Timeout)
	defer cancel()
	found, err := localserver.Find(ctx)
	if found.Postgres == "" {
		t.Fatalf("pgtest: %v", err)
	}
	dir, err := os.MkdirTemp("", prefix)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	credential := s.owner(t, dir)
	data := filepath.Join(dir, "data")
	backup := exec.CommandContext(ctx, filepath.Join(found.Postgres, "pg_basebackup"), "--dbname="+s.URL, "--pgdata="+data, "--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream")
	backup.Dir, backup.SysProcAttr = "/", &syscall.SysProcAttr{Credential: credential}
	if out, err := backup.CombinedOutput(); err != nil {
		t.Fatalf("pgtest: pg_basebackup: %v\n%s", err, out)
	}
	// The backup may contain the server's socket files, because the server may keep them in its
	// data directory.
	for _, left := range []string{".s.PGSQL.5432", ".s.PGSQL.5432.lock"} {
		if err := os.Remove(filepath.Join(data, left)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("pgtest: %v", err)
		}
	}
	settings := map[string]string{"wal_level": "replica", "max_wal_senders": "4", "hot_standby": "on"}
	pg, err := localserver.StartPostgres(ctx, localserver.PostgresOptions{Bin: found.Postgres, DataDir: data, Settings: settings})
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if err := pg.Kill(); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return &Server{DB: DB{URL: pg.URL("parley")}, pg: pg}
}

// owner makes the server's user the owner of dir and returns that user's credential. The credential
// is nil if the server runs as the user of this process.
func (s *Server) owner(t testing.TB, dir string) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(s.pg.DataDir())
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	return &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}
}

// Switch forwards connections to one of several servers, as a load balancer does.
type Switch struct {
	listener net.Listener
	all      sync.WaitGroup

	mu    sync.Mutex // guards the fields below
	to    string     // the path of the server's socket; "" after the end of the test
	conns map[net.Conn]struct{}
}

// Switch returns a Switch that forwards connections to the server. It is closed when the test ends.
func (s *Server) Switch(t testing.TB) *Switch {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	g := &Switch{listener: l, to: s.socket(t), conns: map[net.Conn]struct{}{}}
	g.all.Go(g.accept)
	t.Cleanup(func() {
		_ = l.Close()
		g.lead("")
		g.all.Wait()
	})
	return g
}

func (s *Server) socket(t testing.TB) string {
	t.Helper()
	cfg, err := pgconn.ParseConfig(s.URL)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	_, address := pgconn.NetworkAddress(cfg.Host, cfg.Port)
	return address
}

// URL returns the URL of the database behind the Switch, for the superuser.
func (g *Switch) URL() string {
	return "postgres://postgres@" + g.listener.Addr().String() + "/parley?sslmode=disable"
}

// Lead closes all connections and forwards new connections to another server.
func (g *Switch) Lead(t testing.TB, to *Server) { t.Helper(); g.lead(to.socket(t)) }

func (g *Switch) lead(to string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.to = to
	for c := range g.conns {
		_ = c.Close()
	}
	clear(g.conns)
}

func (g *Switch) accept() {
	for {
		client, err := g.listener.Accept()
		if err != nil {
			return
		}
		g.connect(client)
	}
}

// connect connects a client to the current server. It holds the lock, so that Lead cannot miss the
// new connection.
func (g *Switch) connect(client net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	server, err := net.Dial("unix", g.to)
	if err != nil {
		_ = client.Close()
		return
	}
	g.conns[client], g.conns[server] = struct{}{}, struct{}{}
	g.all.Go(func() { g.copy(client, server) })
	g.all.Go(func() { g.copy(server, client) })
}

func (g *Switch) copy(to, from net.Conn) {
	_, _ = io.Copy(to, from) // an error only means that the connection has ended
	_ = to.Close()
	_ = from.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, from)
	delete(g.conns, to)
}
