package localserver

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

func startRedis(t *testing.T, opts RedisOptions) *Redis {
	t.Helper()
	opts.Bin = binaries(t).Redis
	r, err := StartRedis(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Kill() })
	return r
}

func client(t *testing.T, r *Redis) *redis.Client {
	t.Helper()
	opts, err := redis.ParseURL(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(opts)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestStartRedis_socketOnly(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30), "redis")
	r := startRedis(t, RedisOptions{Dir: dir, MaxMemory: 64 << 20})
	t.Cleanup(func() { _ = os.RemoveAll(filepath.Dir(r.Addr())) })
	c := client(t, r)
	for name, want := range map[string]string{"appendfsync": "always", "appendonly": "yes", "port": "0", "maxmemory": "67108864", "maxmemory-policy": "noeviction"} {
		if got, err := c.ConfigGet(t.Context(), name).Result(); err != nil || got[name] != want {
			t.Errorf("%s = %v, %v; want %s", name, got, err, want)
		}
	}
	if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	if r.Err() == nil {
		t.Error("Err = nil after a kill")
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(t.Context(), "k").Result(); err != nil || got != "v" {
		t.Errorf("after kill and restart: %q, %v; want v", got, err)
	}
}

func TestStartRedis_portTaken(t *testing.T) {
	t.Parallel()
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = StartRedis(t.Context(), RedisOptions{Bin: binaries(t).Redis, Dir: t.TempDir(), Port: port})
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("StartRedis on a taken port = %v, want address in use", err)
	}
}

func TestRedis_Run(t *testing.T) {
	t.Parallel()
	r := startRedis(t, RedisOptions{Dir: t.TempDir(), Port: FreshPort, AppendFsync: NoAOF})
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- r.Run(ctx) }()
	if err := client(t, r).Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
	cancel()
	if err := errors.Join(<-result, r.Err()); err != nil {
		t.Errorf("Run = %v, want a clean stop", err)
	}
}

// appendTwo writes to two keys in one transaction of the append-only file.
var appendTwo = redis.NewScript(`
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], ARGV[1])`)

// A transaction that was cut off when Redis was killed is undone as a whole. None of its writes
// comes back at a later start.
func TestRedis_startUndoesAnUnfinishedTransaction(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]int64{
		"within EXEC":                  3,
		"before EXEC":                  int64(len("*1\r\n$4\r\nEXEC\r\n")),
		"within the second write":      int64(len("*1\r\n$4\r\nEXEC\r\n") + 3),
		"within the length of a value": int64(len("*1\r\n$4\r\nEXEC\r\n") + len("5\r\nfirst\r\n")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			r := startRedis(t, RedisOptions{Dir: dir, Port: FreshPort})
			write := func(value string) {
				t.Helper()
				if err := appendTwo.Run(t.Context(), client(t, r), []string{"list", "last"}, value).Err(); err != nil && !errors.Is(err, redis.Nil) {
					t.Fatal(err)
				}
			}
			restart := func() {
				t.Helper()
				if err := r.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			kill := func() {
				t.Helper()
				if err := r.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			write("zeroth")
			write("first")
			kill()
			shorten(t, filepath.Join(dir, "appendonlydir", "appendonly.aof.1.incr.aof"), cut)
			restart()
			write("second")
			kill()
			restart()
			c := client(t, r)
			if got, err := c.LRange(t.Context(), "list", 0, -1).Result(); err != nil || !slices.Equal(got, []string{"zeroth", "second"}) {
				t.Errorf("list = %v, %v; want zeroth and second", got, err)
			}
			if got, err := c.Get(t.Context(), "last").Result(); err != nil || got != "second" {
				t.Errorf("last = %q, %v; want second", got, err)
			}
		})
	}
}

// Damage in the middle of the append-only file is not repaired: that could drop any number of
// writes, so an operator has to decide.
func TestRedis_startRefusesADamagedFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := startRedis(t, RedisOptions{Dir: dir, Port: FreshPort})
	for _, value := range []string{"first", "second", "third"} {
		if err := client(t, r).Set(t.Context(), "k", value, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "appendonlydir", "appendonly.aof.1.incr.aof")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	damaged := strings.Replace(string(text), "$6\r\nsecond", "!6\r\nsecond", 1)
	if err := os.WriteFile(file, []byte(damaged), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "Bad file format") {
		t.Errorf("start: %v, want a refusal", err)
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != damaged {
		t.Errorf("the file was changed (%v)", err)
	}
}

// shorten removes the last n bytes of a file.
func shorten(t *testing.T, file string, n int64) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, info.Size()-n); err != nil {
		t.Fatal(err)
	}
}
