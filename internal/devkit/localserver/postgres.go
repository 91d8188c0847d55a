package localserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"parley.chat/internal/devkit/subprocess"
)

const (
	postgresSocket = ".s.PGSQL.5432"
	postgresUser   = "postgres" // the superuser that initdb makes
	// stopWithin bounds the stop of a server that Run ends.
	stopWithin = 30 * time.Second
)

// PostgresOptions configures a private PostgreSQL.
type PostgresOptions struct {
	Bin     string // required: the folder of postgres and initdb, from Find
	DataDir string // required; made on first use. Two servers never share one.
	// RunAs is the user to drop to when we are root, which PostgreSQL refuses. Default: the owner of
	// an existing data directory, else postgres, else nobody.
	RunAs string
	// Durable keeps the data safe against a power cut. Without it a crash of the machine, though not
	// of a process, may destroy the database: for tests.
	Durable  bool
	Settings map[string]string // further server settings, they win
	Log      io.Writer         // the server's own log; default none
	Logger   *slog.Logger      // what we decide for the server; default slog.Default()
}

// Postgres is a private PostgreSQL server, reached through a Unix socket that only this user (and root)
// can open. It is safe for concurrent use.
type Postgres struct {
	opts    PostgresOptions
	account account
	dataDir string // where the data really is
	sockets string

	mu   sync.Mutex // guards proc, and makes Start, Stop and Kill exclude each other
	proc *subprocess.Process
}

// StartPostgres starts a server on opts.DataDir, which it initialises on first use, and waits until it
// answers. It recovers from a server that was killed. Stop it with Stop, or hand it to Run.
func StartPostgres(ctx context.Context, opts PostgresOptions) (*Postgres, error) {
	if opts.Bin == "" || opts.DataDir == "" {
		return nil, errors.New("localserver: Bin and DataDir are required")
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	p := &Postgres{opts: opts}
	if err := p.place(ctx); err != nil {
		return nil, fmt.Errorf("place PostgreSQL data: %w", err)
	}
	if err := p.Start(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// place decides who runs the server and where its data is.
func (p *Postgres) place(ctx context.Context) error {
	dir, err := filepath.Abs(p.opts.DataDir)
	if err != nil {
		return err
	}
	if p.account, err = p.chooseAccount(dir); err != nil {
		return err
	}
	p.dataDir = dir
	if p.account.credential == nil {
		return nil
	}
	// A user we drop to may not pass through a folder like /root. What was once put elsewhere stays.
	elsewhere := filepath.Join("/var/lib/parley", shortHash(dir))
	if initialised(elsewhere) && !initialised(dir) || !p.account.canReach(dir) {
		p.opts.Logger.InfoContext(ctx, "postgresql data kept elsewhere: its user cannot reach DATA_DIR",
			"data_dir", dir, "kept_in", elsewhere, "user", p.account.name)
		p.dataDir = elsewhere
		if !p.account.canReach(elsewhere) {
			return fmt.Errorf("user %s can reach neither %s nor %s; set DATA_DIR to a folder it can reach", p.account.name, dir, elsewhere)
		}
	}
	return nil
}

func (p *Postgres) chooseAccount(dir string) (account, error) {
	if os.Geteuid() != 0 {
		return self(), nil
	}
	if p.opts.RunAs != "" {
		return lookup(p.opts.RunAs)
	}
	if info, err := os.Stat(dir); err == nil && initialised(dir) {
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 {
			return as(int(stat.Uid), int(stat.Gid), "uid "+strconv.Itoa(int(stat.Uid))), nil
		}
	}
	return lookup("postgres", "nobody")
}

// initialised reports whether dir holds a database cluster.
func initialised(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "PG_VERSION"))
	return err == nil
}

// Start starts the server again after Stop or Kill, or after it died, at the same address.
func (p *Postgres) Start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.proc != nil {
		select {
		case <-p.proc.Done():
		default:
			return errors.New("PostgreSQL runs already")
		}
	}
	if err := os.MkdirAll(filepath.Dir(p.dataDir), 0o755); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	file, err := lock(ctx, p.dataDir+".lock")
	if err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	defer file.Close() // the server has its own copy
	if err := p.prepare(ctx); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	onDeath := syscall.SIGINT // fast shutdown: nothing to recover at the next start
	if !p.opts.Durable {
		onDeath = syscall.SIGQUIT // at once
	}
	proc, err := subprocess.Start(subprocess.Spec{
		Path: filepath.Join(p.opts.Bin, "postgres"), Args: p.args(), Dir: "/", Env: environment(),
		Output: p.opts.Log, Files: []*os.File{file}, Credential: p.account.credential, OnParentDeath: onDeath,
	})
	if err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	sign(file, proc.Pid())
	if err := waitReady(ctx, proc, "PostgreSQL", p.ping); err != nil {
		return err
	}
	p.proc = proc
	return nil
}

// prepare makes the cluster if there is none and removes what a killed server left. The lock is held.
func (p *Postgres) prepare(ctx context.Context) error {
	if !initialised(p.dataDir) {
		if err := p.initdb(ctx); err != nil {
			return err
		}
	}
	if err := p.matchVersion(ctx); err != nil {
		return err
	}
	if err := p.clearPidFile(ctx); err != nil {
		return err
	}
	var err error
	p.sockets, err = p.account.socketDir(p.dataDir, postgresSocket)
	return err
}

// initdb makes the cluster beside its place and renames it, so that one cut short is not taken for whole.
func (p *Postgres) initdb(ctx context.Context) error {
	if entries, err := os.ReadDir(p.dataDir); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is neither empty nor a PostgreSQL data directory; set DATA_DIR to another folder", p.dataDir)
	}
	dir := p.dataDir + ".new"
	run := func(ctype string) ([]byte, error) {
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
		if err := p.account.own(dir); err != nil {
			return nil, err
		}
		args := []string{"-D", dir, "-U", postgresUser, "--auth=trust", "-E", "UTF8", "--lc-collate=C", "--lc-ctype=" + ctype, "--lc-messages=C", "--no-instructions"}
		if p.opts.Durable {
			args = append(args, "--data-checksums")
		} else {
			args = append(args, "--no-sync")
		}
		cmd := exec.CommandContext(ctx, filepath.Join(p.opts.Bin, "initdb"), args...)
		cmd.Dir, cmd.Env = "/", environment()
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: p.account.credential}
		return cmd.CombinedOutput()
	}
	// Order by bytes, the same everywhere; but know the letters of Unicode.
	ctype := "C.UTF-8"
	if runtime.GOOS == "darwin" {
		ctype = "en_US.UTF-8"
	}
	out, err := run(ctype)
	if err != nil && ctx.Err() == nil {
		p.opts.Logger.WarnContext(ctx, "initdb retried without a locale", "locale", ctype, "err", err)
		out, err = run("C")
	}
	if err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	if err := os.Remove(p.dataDir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(dir, p.dataDir)
}

// matchVersion turns to another installed PostgreSQL if the data was written by that one.
func (p *Postgres) matchVersion(ctx context.Context) error {
	written, err := os.ReadFile(filepath.Join(p.dataDir, "PG_VERSION"))
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("%w: the data belongs to another user; run as that user, or set DATA_DIR to another folder", err)
		}
		return err
	}
	have, err := version(ctx, filepath.Join(p.opts.Bin, "postgres"))
	if err != nil {
		return err
	}
	want := firstNumber(string(written))
	if have.major() == want {
		return nil
	}
	for _, dir := range postgresCandidates(postgresDirs) {
		if v, err := version(ctx, filepath.Join(dir, "postgres")); err == nil && v.major() == want {
			p.opts.Logger.InfoContext(ctx, "postgresql chosen by its data", "bin", dir, "version", v.text)
			p.opts.Bin = dir
			return nil
		}
	}
	return fmt.Errorf("the data in %s was written by PostgreSQL %d, and only %s is installed; install %d too, or move the data with pg_dump", p.dataDir, want, have.text, want)
}

// clearPidFile removes a postmaster.pid that a killed server left. PostgreSQL takes any live process
// that got the same pid since (common in containers) for its old self. The lock tells that none of ours
// lives; one that was started by hand is asked for.
func (p *Postgres) clearPidFile(ctx context.Context) error {
	path := filepath.Join(p.dataDir, "postmaster.pid")
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err == nil && pid > 0 && servesData(ctx, pid, p.dataDir) {
		return fmt.Errorf("%s is in use by another PostgreSQL, process %d; stop it, or set DATA_DIR to another folder", p.dataDir, pid)
	}
	return os.Remove(path)
}

// servesData reports whether pid is a postmaster on dataDir.
func servesData(ctx context.Context, pid int, dataDir string) bool {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return false
	}
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err == nil {
		return cwd == dataDir // a postmaster changes to its data directory
	}
	out, err := exec.CommandContext(ctx, "ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), "postgres") && strings.Contains(string(out), dataDir)
}

func (p *Postgres) args() []string {
	settings := map[string]string{
		"listen_addresses": "", "port": "5432", "unix_socket_directories": p.sockets, "unix_socket_permissions": "0700",
		"max_connections": "200", "timezone": "UTC", "log_timezone": "UTC", "logging_collector": "off", "log_destination": "stderr",
		"log_checkpoints": "off", "cluster_name": "parley",
	}
	if !p.opts.Durable {
		for name, value := range map[string]string{"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "wal_level": "minimal", "max_wal_senders": "0"} {
			settings[name] = value
		}
	}
	for name, value := range p.opts.Settings {
		settings[name] = value
	}
	args := []string{"-D", p.dataDir}
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	return args
}

// environment is ours without what would change the tools' minds (PGDATA, PGPORT, PGOPTIONS, …).
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "PG") })
}

// ping connects once.
func (p *Postgres) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// URL returns the address of a database of the server, for the superuser, in the form pgx reads.
func (p *Postgres) URL(database string) string {
	q := url.Values{"host": {p.sockets}, "port": {"5432"}, "user": {postgresUser}, "sslmode": {"disable"}}
	return (&url.URL{Scheme: "postgres", Path: "/" + database, RawQuery: q.Encode()}).String()
}

// DataDir returns where the data really is, which may not be where it was asked to be: see StartPostgres.
func (p *Postgres) DataDir() string { return p.dataDir }

// CreateDatabase creates a database unless it exists.
func (p *Postgres) CreateDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	const duplicateDatabase = "42P04"
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == duplicateDatabase {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// process returns the process started last.
func (p *Postgres) process() *subprocess.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proc
}

// Done is closed when the server that runs now has ended, for whatever reason.
func (p *Postgres) Done() <-chan struct{} { return p.process().Done() }

// Err tells how the server ended: nil while it runs and after a clean stop.
func (p *Postgres) Err() error {
	proc := p.process()
	if err := proc.Err(); err != nil {
		return fmt.Errorf("PostgreSQL ended: %w\n%s", err, proc.Tail())
	}
	return nil
}

// Stop shuts the server down, ending its sessions ("fast"). When ctx ends first, the server is killed
// and recovers at the next start.
func (p *Postgres) Stop(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proc.Stop(ctx, syscall.SIGINT)
}

// Kill ends the server as a crash would.
func (p *Postgres) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proc.Kill()
}

// Run keeps the server as a part of a program: it returns nil once ctx has ended and the server is
// stopped, and an error if the server dies before.
func (p *Postgres) Run(ctx context.Context) error { return run(ctx, "PostgreSQL", p.process(), p.Stop) }

func run(ctx context.Context, what string, proc *subprocess.Process, stop func(context.Context) error) error {
	select {
	case <-proc.Done():
		return fmt.Errorf("%s ended: %w\n%s", what, errors.Join(errors.New("it was not told to"), proc.Err()), proc.Tail())
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	return stop(ctx)
}
