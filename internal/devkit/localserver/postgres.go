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
	postgresUser   = "postgres" // the superuser that initdb creates
	// stopTimeout limits how long stopping a server may take at the end of Run.
	stopTimeout = 30 * time.Second
)

// PostgresOptions configures a private PostgreSQL.
type PostgresOptions struct {
	Bin     string // required: the folder that contains postgres and initdb; see Find
	DataDir string // required; created on first use. Two servers never share a data directory.
	// RunAs is the user that runs the server when this process runs as root, because PostgreSQL
	// refuses to run as root. The default is the owner of an existing data directory, or else the
	// user postgres or nobody.
	RunAs string
	// Durable makes the data survive a power failure. Without Durable, a crash of the machine (but
	// not of a process) may destroy the database, so only tests may leave Durable unset.
	Durable  bool
	Settings map[string]string // further server settings; they take precedence
	Log      io.Writer         // the server's own log; default none
	Logger   *slog.Logger      // logs the choices that the setup makes; default slog.Default()
}

// Postgres is a private PostgreSQL server, with a Unix socket that only this user (and root) can
// open. It is safe for concurrent use.
type Postgres struct {
	opts    PostgresOptions
	account account
	dataDir string // the actual data directory
	sockets string

	mu   sync.Mutex // guards proc, and serializes calls to Start, Stop and Kill
	proc *subprocess.Process
}

// StartPostgres starts a server on opts.DataDir and waits until the server answers. It initializes
// the directory on first use, and recovers the data of a killed server. The caller must call Stop
// or Run.
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

// place chooses the user that runs the server and the server's data folder.
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
	// The server's user may be unable to enter a folder like /root. In that case, store the data
	// under /var/lib/parley. If an earlier start stored data there, keep using it.
	elsewhere := filepath.Join("/var/lib/parley", shortHash(dir))
	if initialized(elsewhere) && !initialized(dir) || !p.account.canReach(dir) {
		p.opts.Logger.InfoContext(ctx, "postgresql data stored elsewhere: the server's user cannot access DATA_DIR",
			"data_dir", dir, "kept_in", elsewhere, "user", p.account.name)
		p.dataDir = elsewhere
		if !p.account.canReach(elsewhere) {
			return fmt.Errorf("user %s can access neither %s nor %s; set DATA_DIR to a folder that this user can access", p.account.name, dir, elsewhere)
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
	if info, err := os.Stat(dir); err == nil && initialized(dir) {
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 {
			return as(int(stat.Uid), int(stat.Gid), "uid "+strconv.Itoa(int(stat.Uid))), nil
		}
	}
	return lookup("postgres", "nobody")
}

// initialized reports whether dir contains a database cluster.
func initialized(dir string) bool {
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
			return errors.New("PostgreSQL is already running")
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
	onDeath := syscall.SIGINT // fast shutdown, which needs no recovery at the next start
	if !p.opts.Durable {
		onDeath = syscall.SIGQUIT // immediate shutdown
	}
	proc, err := subprocess.Start(subprocess.Spec{
		Path: filepath.Join(p.opts.Bin, "postgres"), Args: p.args(), Dir: "/", Env: environment(),
		Output: p.opts.Log, Files: []*os.File{file}, Credential: p.account.credential, OnParentDeath: onDeath,
	})
	if err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	writeOwner(file, proc.Pid())
	if err := waitReady(ctx, proc, "PostgreSQL", p.ping); err != nil {
		return err
	}
	p.proc = proc
	return nil
}

// prepare creates the database cluster if there is none, and removes the postmaster.pid of a killed
// server. The caller must hold the data directory's lock.
func (p *Postgres) prepare(ctx context.Context) error {
	if !initialized(p.dataDir) {
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

// initdb creates the cluster in a temporary folder and then renames the folder, so that an
// interrupted initdb leaves no folder that looks like a complete cluster.
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
	// Sort by byte values, because their order is the same on every system, but classify letters
	// according to Unicode.
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

// matchVersion selects the installed PostgreSQL that has the same major version as the data.
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
			p.opts.Logger.InfoContext(ctx, "postgresql version chosen to match the data", "bin", dir, "version", v.text)
			p.opts.Bin = dir
			return nil
		}
	}
	return fmt.Errorf("the data in %s was written by PostgreSQL %d, and only %s is installed; install %d too, or move the data with pg_dump", p.dataDir, want, have.text, want)
}

// clearPidFile removes a postmaster.pid that a killed server left behind. If a live process now has
// the pid in that file (common in containers), PostgreSQL mistakes this process for the old server
// and refuses to start. Our lock proves that no server of ours is alive. clearPidFile also checks
// for a server that was started by hand.
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

// servesData reports whether the process pid is a postmaster that uses dataDir.
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

// environment returns the environment of this process without the variables that change the
// behavior of PostgreSQL's programs (PGDATA, PGPORT, PGOPTIONS, …).
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "PG") })
}

// ping opens one connection.
func (p *Postgres) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// URL returns a URL of one of the server's databases, for the superuser, in a format that pgx
// accepts.
func (p *Postgres) URL(database string) string {
	q := url.Values{"host": {p.sockets}, "port": {"5432"}, "user": {postgresUser}, "sslmode": {"disable"}}
	return (&url.URL{Scheme: "postgres", Path: "/" + database, RawQuery: q.Encode()}).String()
}

// DataDir returns the actual data directory. It differs from PostgresOptions.DataDir if the
// server's user cannot enter that folder.
func (p *Postgres) DataDir() string { return p.dataDir }

// CreateDatabase creates a database if it does not exist.
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

// process returns the server process that was started last.
func (p *Postgres) process() *subprocess.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proc
}

// Done returns a channel that is closed when the current server process has ended for any reason.
func (p *Postgres) Done() <-chan struct{} { return p.process().Done() }

// Err returns the server's exit error. It returns nil while the server is running and after a clean
// stop.
func (p *Postgres) Err() error {
	proc := p.process()
	if err := proc.Err(); err != nil {
		return fmt.Errorf("PostgreSQL ended: %w\n%s", err, proc.Tail())
	}
	return nil
}

// Stop shuts the server down and ends its sessions ("fast" shutdown). If ctx is done first, Stop
// kills the server, which then recovers at the next start.
func (p *Postgres) Stop(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proc.Stop(ctx, syscall.SIGINT)
}

// Kill kills the server, simulating a crash.
func (p *Postgres) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proc.Kill()
}

// Run runs the server as part of a program. It stops the server when ctx is done, and then returns
// nil. If the server dies first, Run returns an error.
func (p *Postgres) Run(ctx context.Context) error { return run(ctx, "PostgreSQL", p.process(), p.Stop) }

func run(ctx context.Context, what string, proc *subprocess.Process, stop func(context.Context) error) error {
	select {
	case <-proc.Done():
		return fmt.Errorf("%s ended: %w\n%s", what, errors.Join(errors.New("unexpectedly"), proc.Err()), proc.Tail())
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return stop(ctx)
}
