package localserver

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
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
