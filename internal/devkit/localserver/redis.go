package localserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/subprocess"
)

const redisSocket = "redis.sock"

// The values of RedisOptions.AppendFsync.
const (
	FsyncAlways   = "always"   // every answered write survives a power cut
	FsyncEverySec = "everysec" // a crash of the machine may lose the last 2 s
	NoAOF         = "no-aof"   // nothing is written to disk: for tests
)

// FreshPort selects a free loopback port. It is a value for RedisOptions.Port.
const FreshPort = -1

// RedisOptions configures a private Redis.
type RedisOptions struct {
	Bin         string // required: redis-server or valkey-server, from Find
	Dir         string // required; created on first use. Two servers never share a folder.
	AppendFsync string // default FsyncAlways
	MaxMemory   int64  // in bytes; default 0, unlimited. The eviction policy is noeviction.
	// Port is a loopback TCP port, or FreshPort for a free one. With the default, 0, the server
	// listens only on a Unix socket, which other users cannot open. A loopback port is open to
	// every user of the machine.
	Port     int
	Cluster  bool              // run the server as a cluster node; requires a Port
	Settings map[string]string // further settings of redis.conf; they take precedence
	Log      io.Writer         // the server's own log; default none
}

// Redis is a private Redis server. It is safe for concurrent use.
type Redis struct {
	opts    RedisOptions
	sockets string // the socket's folder; empty if the server listens on a port
	port    int
	busPort int // only with Cluster

	mu   sync.Mutex // guards proc, and serializes calls to Start, Stop and Kill
	proc *subprocess.Process
}

// StartRedis starts a server that stores its data in opts.Dir, and waits until the server has
// loaded its data and answers. The caller must call Stop or Run.
func StartRedis(ctx context.Context, opts RedisOptions) (*Redis, error) {
	if opts.Bin == "" || opts.Dir == "" {
		return nil, errors.New("localserver: Bin and Dir are required")
	}
	if opts.Cluster && opts.Port == 0 {
		return nil, errors.New("localserver: a cluster node needs a Port")
	}
	if opts.AppendFsync == "" {
		opts.AppendFsync = FsyncAlways
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("start Redis: %w", err)
	}
	opts.Dir = dir
	r := &Redis{opts: opts}
	for attempt := 1; ; attempt++ {
		if err := r.address(); err != nil {
			return nil, fmt.Errorf("start Redis: %w", err)
		}
		err := r.Start(ctx)
		if err == nil {
			return r, nil
		}
		// Another process may have started to use the free port since it was chosen.
		if opts.Port != FreshPort || attempt == 5 || !strings.Contains(err.Error(), "Address already in use") {
			return nil, err
		}
	}
}

// address determines where the server listens.
func (r *Redis) address() (err error) {
	if err := self().own(r.opts.Dir); err != nil {
		return err
	}
	switch r.opts.Port {
	case 0:
		r.sockets, err = self().socketDir(r.opts.Dir, redisSocket)
	case FreshPort:
		r.port, err = FreePort()
	default:
		r.port = r.opts.Port
	}
	if err == nil && r.opts.Cluster {
		r.busPort, err = FreePort()
	}
	return err
}

// Start starts the server again after Stop or Kill, or after it died, at the same address.
func (r *Redis) Start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.proc != nil {
		select {
		case <-r.proc.Done():
		default:
			return errors.New("Redis is already running")
		}
	}
	file, err := lock(ctx, filepath.Join(r.opts.Dir, "parley.lock"))
	if err != nil {
		return fmt.Errorf("start Redis: %w", err)
	}
	defer file.Close() // the server has its own copy
	err = r.launch(ctx, file)
	if err != nil && strings.Contains(err.Error(), truncatedAOF) {
		if err := r.cutAOF(ctx); err != nil {
			return fmt.Errorf("start Redis: %w", err)
		}
		err = r.launch(ctx, file)
	}
	return err
}

// launch starts the server process, which inherits the lock file, and waits until the server
// answers.
func (r *Redis) launch(ctx context.Context, file *os.File) error {
	onDeath := syscall.SIGTERM
	if r.opts.AppendFsync == NoAOF {
		onDeath = syscall.SIGKILL
	}
	proc, err := subprocess.Start(subprocess.Spec{
		Path: r.opts.Bin, Args: r.args(), Dir: r.opts.Dir,
		Output: r.opts.Log, Files: []*os.File{file}, OnParentDeath: onDeath,
	})
	if err != nil {
		return fmt.Errorf("start Redis: %w", err)
	}
	writeOwner(file, proc.Pid())
	if err := waitReady(ctx, proc, "Redis", func(ctx context.Context) error { return r.ping(ctx, proc) }); err != nil {
		return err
	}
	r.proc = proc
	return nil
}

// ping verifies that our own server answers, because another process might listen on the port.
// Until the append-only file is loaded, Redis answers LOADING, and ping returns an error.
func (r *Redis) ping(ctx context.Context, proc *subprocess.Process) error {
	network := "tcp"
	if r.sockets != "" {
		network = "unix"
	}
	// First try to connect without a Redis client, because the client's pool would log a failure.
	// Create a new client for each attempt, because a pool waits for a second after a failure.
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, network, r.Addr())
	if err != nil {
		return err
	}
	if err := conn.Close(); err != nil {
		return err
	}
	client := redis.NewClient(&redis.Options{Network: network, Addr: r.Addr(), PoolSize: 1, MaxRetries: -1})
	defer client.Close()
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return err
	}
	if !strings.Contains(info, "process_id:"+strconv.Itoa(proc.Pid())+"\r\n") {
		return fmt.Errorf("another server answers on %s", r.Addr())
	}
	return client.Ping(ctx).Err()
}

// aofRewriteAt is the size below which Redis does not rewrite the append-only file. Above it, Redis
// rewrites the file when its size has doubled since the last rewrite. Under load, the file would
// reach Redis's default of 64mb every few seconds. Each rewrite forks Redis and copies the data
// set, and the rewrites would take about 15% of Redis's CPU time. Redis loads a file of this size
// in about four seconds.
const aofRewriteAt = "512mb"

func (r *Redis) args() []string {
	settings := map[string]string{
		"dir": r.opts.Dir, "daemonize": "no", "port": strconv.Itoa(r.port), "bind": "127.0.0.1", "protected-mode": "yes",
		"save": "", "maxmemory": strconv.FormatInt(r.opts.MaxMemory, 10), "maxmemory-policy": "noeviction",
		"appendonly": "yes", "appendfsync": r.opts.AppendFsync, "auto-aof-rewrite-min-size": aofRewriteAt,
		"aof-load-truncated": "no", // see cutAOF
	}
	if r.opts.AppendFsync == NoAOF {
		settings["appendonly"] = "no"
		delete(settings, "appendfsync")
		delete(settings, "aof-load-truncated")
	}
	if r.sockets != "" {
		settings["unixsocket"], settings["unixsocketperm"] = r.Addr(), "700"
	}
	if r.opts.Cluster {
		settings["cluster-enabled"], settings["cluster-port"] = "yes", strconv.Itoa(r.busPort)
	}
	for name, value := range r.opts.Settings {
		settings[name] = value
	}
	var args []string
	for name, value := range settings {
		args = append(args, "--"+name, value)
	}
	return args
}

// Addr returns the server's address: host:port, or the path of its Unix socket.
func (r *Redis) Addr() string {
	if r.sockets != "" {
		return filepath.Join(r.sockets, redisSocket)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port))
}

// URL returns the server's URL in the format that REDIS_URL and redis.ParseURL accept.
func (r *Redis) URL() string {
	if r.sockets != "" {
		return (&url.URL{Scheme: "unix", Path: r.Addr()}).String()
	}
	return "redis://" + r.Addr()
}

// BusPort returns the server's cluster bus port, or 0 if the server is not a cluster node.
func (r *Redis) BusPort() int { return r.busPort }

// process returns the server process that was started last.
func (r *Redis) process() *subprocess.Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proc
}

// Done returns a channel that is closed when the current server process has ended for any reason.
func (r *Redis) Done() <-chan struct{} { return r.process().Done() }

// Err returns the server's exit error. It returns nil while the server is running and after a clean
// stop.
func (r *Redis) Err() error {
	proc := r.process()
	if err := proc.Err(); err != nil {
		return fmt.Errorf("Redis ended: %w\n%s", err, proc.Tail())
	}
	return nil
}

// Stop shuts the server down cleanly: the server first writes its append-only file. If ctx is done
// first, Stop kills the server.
func (r *Redis) Stop(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proc.Stop(ctx, syscall.SIGTERM)
}

// Kill kills the server, simulating a crash.
func (r *Redis) Kill() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proc.Kill()
}

// Restart stops the server and starts it again at the same address.
func (r *Redis) Restart(ctx context.Context) error {
	if err := r.Stop(ctx); err != nil {
		return err
	}
	return r.Start(ctx)
}

// Pause freezes the server until Resume is called. A paused server neither answers nor closes its
// connections.
func (r *Redis) Pause() error { return r.process().Signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (r *Redis) Resume() error { return r.process().Signal(syscall.SIGCONT) }

// Run runs the server as part of a program. It stops the server when ctx is done, and then returns
// nil. If the server dies first, Run returns an error.
func (r *Redis) Run(ctx context.Context) error { return run(ctx, "Redis", r.process(), r.Stop) }
