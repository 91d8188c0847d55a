package redisclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/certtest"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/shared-contracts/rediskey"
)

// authority signs the certificates of servers in these tests.
var authority *certtest.Authority

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "redisclient")
	if err == nil {
		authority, err = certtest.NewAuthority(dir)
	}
	if err == nil {
		err = os.Setenv("SSL_CERT_FILE", authority.File)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, testkit.Redialing(), goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

func open(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	rdb, err := Open(url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

func TestOpen(t *testing.T) {
	t.Parallel()
	one := open(t, " redis://user:secret@127.0.0.1:7000/3 ")
	c, ok := one.(*redis.Client)
	if !ok {
		t.Fatalf("one URL is a %T", one)
	}
	if o := c.Options(); o.Addr != "127.0.0.1:7000" || o.DB != 3 || o.Username != "user" || o.Password != "secret" || !o.ContextTimeoutEnabled || o.MaxRetries < 1 {
		t.Errorf("options %+v", o)
	}
	unix, ok := open(t, "unix:///tmp/redis.sock").(*redis.Client)
	if !ok || unix.Options().Network != "unix" || unix.Options().Addr != "/tmp/redis.sock" {
		t.Errorf("a socket: %v", unix)
	}
	many := open(t, "rediss://user:secret@127.0.0.1:7000, rediss://127.0.0.1:7001")
	cc, ok := many.(*redis.ClusterClient)
	if !ok {
		t.Fatalf("two URLs are a %T", many)
	}
	if o := cc.Options(); !slices.Equal(o.Addrs, []string{"127.0.0.1:7000", "127.0.0.1:7001"}) || o.Password != "secret" || o.TLSConfig == nil || !o.ContextTimeoutEnabled {
		t.Errorf("options %+v", o)
	}
	for _, bad := range []string{"", "localhost:6379", "http://x", "redis://a,nonsense", "redis://127.0.0.1:1,"} {
		if rdb, err := Open(bad, Options{}); err == nil || !strings.Contains(err.Error(), "REDIS_URL") {
			t.Errorf("Open(%q) = %v, %v; want an error that names REDIS_URL", bad, rdb, err)
		}
	}
}

// No command may be sent twice without the caller's knowledge.
func TestOpen_noRetry(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t)
	rdb, err := Open(s.URL(), Options{NoRetry: true, PoolSize: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	if o := rdb.(*redis.Client).Options(); o.MaxRetries != 0 || o.PoolSize != 3 { // go-redis turns -1 into 0
		t.Errorf("retries %d, pool %d", o.MaxRetries, o.PoolSize)
	}
	if err := rdb.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	s.Kill(t)
	s.Start(t)
	// The pool has a dead connection, which a retry would hide.
	if err := rdb.Do(t.Context(), "incr", "n").Err(); err == nil {
		t.Log("the pool saw by itself that its connection was dead")
	}
	if n, _ := rdb.Get(t.Context(), "n").Int(); n > 1 {
		t.Errorf("incremented %d times", n)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t)
	rdb := open(t, s.URL())
	for range 2 {
		if err := Check(t.Context(), rdb, 16); err != nil {
			t.Fatal(err)
		}
	}
	if n := rdb.Get(t.Context(), rediskey.Partitions).Val(); n != "16" {
		t.Errorf("recorded %q", n)
	}
	err := Check(t.Context(), rdb, 32)
	if !errors.Is(err, ErrUnsuitable) || !strings.Contains(err.Error(), "32") || !strings.Contains(err.Error(), "16") || !strings.Contains(err.Error(), "STREAM_PARTITIONS") {
		t.Errorf("%v; want both numbers and the setting's name", err)
	}
	if n := rdb.Get(t.Context(), rediskey.Partitions).Val(); n != "16" {
		t.Errorf("a mismatch has changed the record to %q", n)
	}
	for _, n := range []int{0, -1, 1<<14 + 1} {
		if err := Check(t.Context(), rdb, n); !errors.Is(err, ErrUnsuitable) || !strings.Contains(err.Error(), "STREAM_PARTITIONS") {
			t.Errorf("%d partitions: %v", n, err)
		}
	}
	s.Kill(t)
	if err := Check(t.Context(), rdb, 16); err == nil || errors.Is(err, ErrUnsuitable) {
		t.Errorf("a Redis that is down: %v; it may come back", err)
	}
}

// Services start at the same time; only one number is recorded.
func TestCheck_race(t *testing.T) {
	t.Parallel()
	rdb := open(t, redistest.NewServer(t).URL())
	errs := make([]error, 16)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = Check(context.Background(), rdb, 8+i%2) })
	}
	all.Wait()
	won, err := rdb.Get(t.Context(), rediskey.Partitions).Int()
	if err != nil {
		t.Fatal(err)
	}
	for i, err := range errs {
		if ok := 8+i%2 == won; (err == nil) != ok {
			t.Errorf("%d partitions, where %d are recorded: %v", 8+i%2, won, err)
		}
	}
}

func TestCheckServer(t *testing.T) {
	t.Parallel()
	single, cluster := open(t, "redis://127.0.0.1:1"), open(t, "redis://127.0.0.1:1?cluster=true")
	for _, tt := range []struct {
		info, want string
		rdb        redis.UniversalClient
	}{
		{"# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n", "", single},
		{"redis_version:7.0.0\n", "", single},
		{"redis_version:8.2.1\r\n", "", single},
		{"redis_version:255.255.255\r\n", "", single}, // a build from the unstable branch of Redis
		{"# Server\r\nredis_version:6.2.14\r\n", "version 6.2.14, Parley needs 7.0", single},
		{"redis_version:unknown\r\n", "version unknown", single},
		{"redis_version:\r\n", "version", single},
		{"# Server\r\nredis_mode:standalone\r\n", "does not report its version", single},
		{"", "does not report its version", single},
		{"redis_version:7.0.0\r\ncluster_enabled:1\r\n", "cluster=true", single},
		{"redis_version:7.0.0\r\ncluster_enabled:1\r\n", "", cluster},
	} {
		err := checkServer(infoOf(tt.info), tt.rdb)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("checkServer(%q) = %v, want %q", tt.info, err, tt.want)
		}
	}
}

// told is a log handler that signals when something is logged.
type told struct {
	slog.Handler
	seen chan struct{}
}

func (h told) Handle(ctx context.Context, r slog.Record) error {
	select {
	case h.seen <- struct{}{}:
	default:
	}
	return h.Handler.Handle(ctx, r)
}

// TestRefused_whileOthersConnect opens connections in other goroutines while the permissions of the
// client are checked. The race detector must find nothing.
func TestRefused_whileOthersConnect(t *testing.T) {
	t.Parallel()
	url := redistest.NewServer(t).URL()
	for range 5 {
		rdb := open(t, url)
		var others sync.WaitGroup
		for range 20 {
			others.Go(func() {
				if err := rdb.Info(t.Context(), "server").Err(); err != nil {
					t.Error(err)
				}
			})
		}
		if refused, err := WSServer.refused(t.Context(), rdb.(*redis.Client), 0); err != nil || len(refused) > 0 {
			t.Errorf("refused: %v, %v", refused, err)
		}
		others.Wait()
	}
}

func TestAwait(t *testing.T) {
	t.Parallel()
	s := redistest.NewServer(t)
	rdb := open(t, s.URL())
	s.Stop(t)
	log := told{silent.Handler(), make(chan struct{}, 1)}
	done := make(chan error, 1)
	go func() { done <- Await(context.Background(), rdb, 16, nil, slog.New(log)) }()
	<-log.seen // it has made an attempt, and has logged that it is waiting
	select {
	case err := <-done:
		t.Fatalf("returned %v without a Redis", err)
	default:
	}
	s.Start(t)
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(testkit.Timeout):
		t.Fatal("does not find the Redis that is back")
	}
	// Waiting does not help against any other error.
	if err := Await(t.Context(), rdb, 32, nil, silent); !errors.Is(err, ErrUnsuitable) {
		t.Errorf("another number: %v", err)
	}
	s.Stop(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- Await(ctx, rdb, 16, nil, slog.New(log)) }()
	<-log.seen
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the context has ended: %v", err)
	}
}

func TestCheck_cluster(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t, 3, 0)
	rdb := open(t, c.URL())
	if err := Check(t.Context(), rdb, 16); err != nil {
		t.Error(err)
	}
	// If a single URL leads to a Cluster, either the Cluster is discovered, or the error explains
	// what to configure.
	one := c.Masters[0].URL()
	if err := Check(t.Context(), open(t, one), 16); !errors.Is(err, ErrUnsuitable) || !strings.Contains(err.Error(), "cluster=true") {
		t.Errorf("a client of one server: %v", err)
	}
	if err := Check(t.Context(), open(t, Discover(t.Context(), one)), 16); err != nil {
		t.Errorf("discovered: %v", err)
	}
	for _, same := range []string{redistest.NewServer(t).URL(), c.URL(), "redis://127.0.0.1:1", "nonsense"} {
		if got := Discover(t.Context(), same); got != same {
			t.Errorf("Discover(%q) = %q", same, got)
		}
	}
	if err := Check(t.Context(), rdb, 8); !errors.Is(err, ErrUnsuitable) {
		t.Errorf("another number: %v", err)
	}
}
