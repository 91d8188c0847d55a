// Package stage starts the programs that a load test measures: PostgreSQL, Redis, the services, and
// the floors. Each runs in its own process. The package fills the database, issues tokens, serves
// the public keys that verify them, and measures each process's CPU time and memory.
package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/localserver"
	"parley.chat/internal/devkit/subprocess"
	"parley.chat/internal/platform/token"
	migrations "parley.chat/shared-migrations"
)

// startTimeout limits how long a server may take to start or stop. It is long enough for a busy
// machine.
const startTimeout = 60 * time.Second

// Programs contains the paths of the programs to run.
type Programs struct {
	WSServer, SyncService, ChatService string
	Bare, Script, Rest                 string // the floors
}

// Build builds the programs into dir, from the Go workspace that contains the working directory. If
// bin is not empty, Build uses the services in the folder bin, and builds only the floors.
func Build(ctx context.Context, dir, bin string) (Programs, error) {
	services := bin
	targets := []string{"parley.chat/loadtest/floor/bare", "parley.chat/loadtest/floor/script", "parley.chat/loadtest/floor/rest"}
	if bin == "" {
		services = dir
		targets = append(targets, "parley.chat/ws-server/cmd/ws-server", "parley.chat/sync-service/cmd/sync-service", "parley.chat/chat-service/cmd/chat-service")
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-o", dir + string(filepath.Separator)}, targets...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return Programs{}, fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	p := Programs{
		WSServer: filepath.Join(services, "ws-server"), SyncService: filepath.Join(services, "sync-service"),
		ChatService: filepath.Join(services, "chat-service"),
		Bare:        filepath.Join(dir, "bare"), Script: filepath.Join(dir, "script"), Rest: filepath.Join(dir, "rest"),
	}
	for _, service := range []string{p.WSServer, p.SyncService, p.ChatService} {
		if _, err := os.Stat(service); err != nil {
			return Programs{}, fmt.Errorf("find the services: %w", err)
		}
	}
	return p, nil
}

// Stage contains a PostgreSQL server, a Redis server, a key set, and the processes that use them.
type Stage struct {
	Programs Programs
	Log      io.Writer // output of the processes

	dir   string
	found localserver.Binaries
	pg    *localserver.Postgres
	pgPid int
	redis *localserver.Redis
	keys  *httptest.Server
	key   token.SigningKey
	procs []*Process
	runs  int
}

// Open starts PostgreSQL, applies the migrations, and starts serving the key set. The caller must
// close the Stage.
func Open(ctx context.Context, p Programs, log io.Writer) (s *Stage, err error) {
	if err := raiseFiles(); err != nil {
		return nil, err
	}
	s = &Stage{Programs: p, Log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.found, err = localserver.Ensure(ctx, log); err != nil {
		return s, err
	}
	if s.dir, err = os.MkdirTemp("", "parley-load-"); err != nil {
		return s, fmt.Errorf("create a folder for the servers: %w", err)
	}
	if err := os.Chmod(s.dir, 0o711); err != nil { // PostgreSQL may run as another user
		return s, fmt.Errorf("open the folder of the servers: %w", err)
	}
	if s.key, err = token.NewSigningKey(); err != nil {
		return s, err
	}
	set := token.EncodeJWKS(token.StaticKeys{s.key.ID: s.key.Public()})
	s.keys = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(set) // ignore the error: the gateway may have exited
	}))
	return s, s.startPostgres(ctx)
}

func (s *Stage) startPostgres(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	s.pg, err = localserver.StartPostgres(ctx, localserver.PostgresOptions{
		Bin: s.found.Postgres, DataDir: filepath.Join(s.dir, "pg"), Durable: true,
	})
	if err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(s.pg.DataDir(), "postmaster.pid"))
	if err != nil {
		return fmt.Errorf("find PostgreSQL's process: %w", err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	if s.pgPid, err = strconv.Atoi(line); err != nil {
		return fmt.Errorf("find PostgreSQL's process: %w", err)
	}
	if err := s.pg.CreateDatabase(ctx, "parley"); err != nil {
		return err
	}
	return migrations.Up(ctx, s.DatabaseURL(), nil)
}

// DatabaseURL returns the address of the migrated database.
func (s *Stage) DatabaseURL() string { return s.pg.URL("parley") }

// StartRedis stops the previous Redis server, if any, and starts an empty one.
func (s *Stage) StartRedis(ctx context.Context, fsync string) error {
	if err := s.stopRedis(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	s.runs++
	// Connect over TCP, as in a real deployment. A Unix socket would be unrealistically fast.
	r, err := localserver.StartRedis(ctx, localserver.RedisOptions{
		Bin: s.found.Redis, Dir: s.redisDir(), AppendFsync: fsync, Port: localserver.FreshPort,
	})
	if err != nil {
		return err
	}
	s.redis = r
	return nil
}

func (s *Stage) redisDir() string { return filepath.Join(s.dir, "redis-"+strconv.Itoa(s.runs)) }

// RedisURL returns the address of the current Redis server.
func (s *Stage) RedisURL() string { return s.redis.URL() }

func (s *Stage) stopRedis() error {
	if s.redis == nil {
		return nil
	}
	// Kill Redis, because it would waste time writing data that is no longer needed.
	err := errors.Join(s.redis.Kill(), os.RemoveAll(s.redisDir()))
	s.redis = nil
	return err
}

// redisPid asks Redis for its process id.
func (s *Stage) redisPid(ctx context.Context) (int, error) {
	opts, err := redis.ParseURL(s.RedisURL())
	if err != nil {
		return 0, fmt.Errorf("find Redis's process: %w", err)
	}
	rdb := redis.NewClient(opts)
	defer rdb.Close()
	info, err := rdb.InfoMap(ctx, "server").Result()
	if err != nil {
		return 0, fmt.Errorf("find Redis's process: %w", err)
	}
	pid, err := strconv.Atoi(info["Server"]["process_id"])
	if err != nil {
		return 0, fmt.Errorf("find Redis's process: %w", err)
	}
	return pid, nil
}

// FsyncTime returns the median duration of a small append followed by fdatasync, in the folder that
// contains Redis's data.
func (s *Stage) FsyncTime() (time.Duration, error) {
	file, err := os.CreateTemp(s.dir, "fsync-")
	if err != nil {
		return 0, fmt.Errorf("measure fsync: %w", err)
	}
	defer file.Close()
	defer os.Remove(file.Name())
	return fsyncTime(file)
}

// Process is a running Parley service or floor.
type Process struct {
	Name string
	Addr string // host:port
	proc *subprocess.Process

	metrics  string // host:port
	profiles string // host:port, empty if it serves no profiles
}

// Pid returns the process id.
func (p *Process) Pid() int { return p.proc.Pid() }

// Err returns an error if the process has ended, and nil while it is running.
func (p *Process) Err() error {
	select {
	case <-p.proc.Done():
		return fmt.Errorf("%s ended: %w\n%s", p.Name, errors.Join(errors.New("without being stopped"), p.proc.Err()), p.proc.Tail())
	default:
		return nil
	}
}

// Gateway starts a ws-server without rate limits. The limit on the backlog is also off, because
// most scenarios run no sync-service.
func (s *Stage) Gateway(ctx context.Context) (*Process, error) {
	return s.gateway(ctx, map[string]string{"RATE_LIMIT": "off", "FRAME_RATE": "off", "BACKLOG_BUDGET": "1000000000"})
}

// GatewayAsShipped starts a ws-server with its default limits, and with an address that serves its
// profiles.
func (s *Stage) GatewayAsShipped(ctx context.Context) (*Process, error) {
	port, err := localserver.FreePort()
	if err != nil {
		return nil, err
	}
	profiles := "127.0.0.1:" + strconv.Itoa(port)
	p, err := s.gateway(ctx, map[string]string{"PPROF_ADDR": profiles})
	if err != nil {
		return nil, err
	}
	p.profiles = profiles
	return p, nil
}

func (s *Stage) gateway(ctx context.Context, settings map[string]string) (*Process, error) {
	env := map[string]string{"DATABASE_URL": s.DatabaseURL(), "REDIS_URL": s.RedisURL(), "JWKS_URL": s.keys.URL, "LOG_LEVEL": "warn"}
	maps.Copy(env, settings)
	return s.start(ctx, s.Programs.WSServer, "WS_ADDR", "/readyz", env)
}

// SyncService starts a sync-service on the stage.
func (s *Stage) SyncService(ctx context.Context) (*Process, error) {
	return s.start(ctx, s.Programs.SyncService, "SYNC_ADDR", "/readyz", map[string]string{
		"DATABASE_URL": s.DatabaseURL(), "REDIS_URL": s.RedisURL(), "LOG_LEVEL": "warn", "CONSUMER_NAME": "load-" + strconv.Itoa(len(s.procs)),
	})
}

// ChatService starts a chat-service that signs tokens with the stage's key.
func (s *Stage) ChatService(ctx context.Context) (*Process, error) {
	dir := filepath.Join(s.dir, "jwt")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create a folder for the key: %w", err)
	}
	if err := token.WriteKey(dir, s.key); err != nil {
		return nil, err
	}
	return s.start(ctx, s.Programs.ChatService, "CHAT_ADDR", "/readyz", map[string]string{
		"DATABASE_URL": s.DatabaseURL(), "REDIS_URL": s.RedisURL(), "JWT_KEYS_DIR": dir, "LOG_LEVEL": "warn",
	})
}

// Rest starts the floor of REST.
func (s *Stage) Rest(ctx context.Context) (*Process, error) {
	return s.start(ctx, s.Programs.Rest, "", "/ready", map[string]string{"DATABASE_URL": s.DatabaseURL()})
}

// Bare starts the bare broadcaster.
func (s *Stage) Bare(ctx context.Context) (*Process, error) {
	return s.start(ctx, s.Programs.Bare, "", "/ready", nil)
}

// start starts a program and waits until it is ready. It passes the program's address in the
// environment variable addrVar or, if addrVar is empty, as an argument.
func (s *Stage) start(ctx context.Context, path, addrVar, ready string, env map[string]string) (*Process, error) {
	port, err := localserver.FreePort()
	if err != nil {
		return nil, err
	}
	p := &Process{Name: filepath.Base(path), Addr: "127.0.0.1:" + strconv.Itoa(port)}
	spec := subprocess.Spec{Path: path, Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, Dir: s.dir, Output: s.Log}
	for name, value := range env {
		spec.Env = append(spec.Env, name+"="+value)
	}
	if addrVar == "" {
		spec.Args = []string{p.Addr}
	} else {
		spec.Env = append(spec.Env, addrVar+"="+p.Addr)
		if p.metrics, err = s.metricsAddr(addrVar, p.Addr, &spec); err != nil {
			return nil, err
		}
	}
	if p.proc, err = subprocess.Start(spec); err != nil {
		return nil, err
	}
	s.procs = append(s.procs, p)
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		_, err := get(ctx, "http://"+p.Addr+ready)
		if err == nil {
			return p, nil
		}
		if ended := p.Err(); ended != nil {
			return nil, ended
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for %s: %w\n%s", p.Name, err, p.proc.Tail())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// metricsAddr returns the address of a program's metrics. If the program has a setting for a
// separate address, metricsAddr chooses one and adds it to spec.
func (s *Stage) metricsAddr(addrVar, addr string, spec *subprocess.Spec) (string, error) {
	variable, own := map[string]string{"CHAT_ADDR": "CHAT_METRICS_ADDR", "WS_ADDR": "WS_METRICS_ADDR"}[addrVar]
	if !own {
		return addr, nil
	}
	port, err := localserver.FreePort()
	if err != nil {
		return "", err
	}
	addr = "127.0.0.1:" + strconv.Itoa(port)
	spec.Env = append(spec.Env, variable+"="+addr)
	return addr, nil
}

// Metrics returns the process's metrics in the Prometheus text format.
func (p *Process) Metrics(ctx context.Context) (string, error) {
	return get(ctx, "http://"+p.metrics+"/metrics")
}

// askClient holds the connections of Ask.
var askClient = &http.Client{Timeout: 10 * time.Second}

// Ask sends a REST request as a user over a persistent connection, and discards the response.
func (p *Process) Ask(ctx context.Context, path, token string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Addr+path, nil)
	if err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := askClient.Do(req)
	if err != nil {
		return err // the error names the URL
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask %s: %s", path, resp.Status)
	}
	return nil
}

// Profile records a CPU profile of the process for the given time, and returns it in pprof's
// format.
func (p *Process) Profile(ctx context.Context, long time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, long+10*time.Second)
	defer cancel()
	return getWithin(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", p.profiles, int(long.Seconds())))
}

func get(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return getWithin(ctx, url)
}

// getWithin is like get but has no timeout of its own; only ctx limits its duration.
func getWithin(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", fmt.Errorf("get %s: %w", url, err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return "", err // the error names the URL
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("get %s: %s: %.200s", url, resp.Status, b)
	}
	return string(b), err
}

// Script runs the floor of the ingest scenario and returns its output.
func (s *Stage) Script(ctx context.Context, events, channels, body int) ([]byte, error) {
	cmd := exec.CommandContext(ctx, s.Programs.Script, "--redis", s.RedisURL(), "--events", strconv.Itoa(events),
		"--channels", strconv.Itoa(channels), "--body", strconv.Itoa(body))
	cmd.Stderr = s.Log
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run the script floor: %w", err)
	}
	return out, nil
}

// Snapshot contains the resource usage of each process since its start, by name.
type Snapshot map[string]Usage

// Names of the processes in a Snapshot, in addition to the services and floors.
const (
	Redis     = "redis"
	Postgres  = "postgresql"
	Generator = "generator"
)

// Snapshot reads the usage of every process.
func (s *Stage) Snapshot(ctx context.Context) (Snapshot, error) {
	snap := Snapshot{}
	var err error
	if snap[Generator], err = UsageOf(os.Getpid()); err != nil {
		return nil, err
	}
	if snap[Postgres], err = FamilyUsageOf(s.pgPid); err != nil {
		return nil, err
	}
	if s.redis != nil {
		pid, err := s.redisPid(ctx)
		if err != nil {
			return nil, err
		}
		if snap[Redis], err = FamilyUsageOf(pid); err != nil {
			return nil, err
		}
	}
	for _, p := range s.procs {
		if err := p.Err(); err != nil {
			return nil, err
		}
		u, err := UsageOf(p.Pid())
		if err != nil {
			return nil, err
		}
		sum := snap[p.Name]
		snap[p.Name] = Usage{sum.CPUSeconds + u.CPUSeconds, sum.RSSBytes + u.RSSBytes}
	}
	return snap, nil
}

// Clear stops the services, the floors and Redis, but not PostgreSQL.
func (s *Stage) Clear() error {
	var errs []error
	askClient.CloseIdleConnections()
	for _, p := range s.procs {
		errs = append(errs, p.proc.Kill())
	}
	s.procs = nil
	return errors.Join(append(errs, s.stopRedis())...)
}

// Close stops everything and removes its files.
func (s *Stage) Close() error {
	err := s.Clear()
	if s.keys != nil {
		s.keys.Close()
	}
	if s.pg != nil {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		err = errors.Join(err, s.pg.Stop(ctx))
	}
	if s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

// raiseFiles raises the limit on open files for this process and the processes that it starts. The
// new limit is at least 65536 if the system permits it, and otherwise the hard limit.
func raiseFiles() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	const wanted = 65536
	if raised := (syscall.Rlimit{Cur: wanted, Max: max(limit.Max, wanted)}); limit.Max < wanted &&
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
		return nil // only root may raise the hard limit
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	return nil
}
