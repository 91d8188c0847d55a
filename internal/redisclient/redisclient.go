// Package redisclient opens clients of the one Redis, or Redis Cluster, that a deployment has.
package redisclient

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/rediskey"
)

// MinVersion is the oldest Redis with what Parley needs: sharded pub/sub, and scripts that use it.
const MinVersion = 7

// bufferSize is of each connection, in and out. A process has some fifty of them, most of the time idle.
const bufferSize = 16 << 10

// Options shape a client.
type Options struct {
	PoolSize int  // connections per node; default 10 per core, as go-redis has it
	NoRetry  bool // for calls that may not be sent twice behind the caller's back
}

// quiet keeps go-redis from writing to standard error: what goes wrong is an error of some call.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

var beQuiet = sync.OnceFunc(func() { redis.SetLogger(quiet{}) })

// Open returns a client for urls: one URL (redis://, rediss://, unix://), or several, comma-separated,
// for the seeds of a Cluster. It does not connect.
func Open(urls string, o Options) (redis.UniversalClient, error) {
	beQuiet()
	var addrs []string
	var first *redis.Options
	for u := range strings.SplitSeq(urls, ",") {
		opt, err := redis.ParseURL(strings.TrimSpace(u))
		if err != nil {
			return nil, fmt.Errorf("REDIS_URL: %w", err)
		}
		if first == nil {
			first = opt
		}
		addrs = append(addrs, opt.Addr)
	}
	retries := 0 // go-redis: its default
	if o.NoRetry {
		retries = -1
	}
	if len(addrs) == 1 {
		first.PoolSize, first.MaxRetries = o.PoolSize, retries
		first.DialTimeout, first.ReadTimeout, first.WriteTimeout = 2*time.Second, 3*time.Second, 3*time.Second
		first.ContextTimeoutEnabled = true
		first.ReadBufferSize, first.WriteBufferSize = bufferSize, bufferSize
		return redis.NewClient(first), nil
	}
	return redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: addrs, Username: first.Username, Password: first.Password, TLSConfig: first.TLSConfig,
		PoolSize: o.PoolSize, MaxRetries: retries,
		DialTimeout: 2 * time.Second, ReadTimeout: 3 * time.Second, WriteTimeout: 3 * time.Second,
		ContextTimeoutEnabled: true, ReadBufferSize: bufferSize, WriteBufferSize: bufferSize,
		// A dead master says MOVED to nobody: only a look at the cluster tells that its replica took over.
		ClusterStateReloadInterval: time.Second,
	}), nil
}

// ErrUnsuitable is returned by Check for a Redis that answers and cannot serve: waiting does not help.
var ErrUnsuitable = errors.New("this Redis cannot be used")

// Await is Check, again and again while Redis does not answer. It returns nil, an ErrUnsuitable, or the
// context's error.
func Await(ctx context.Context, rdb redis.UniversalClient, partitions int, log *slog.Logger) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := Check(ctx, rdb, partitions)
		if err == nil || errors.Is(err, ErrUnsuitable) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		log.WarnContext(ctx, "waiting for Redis", "err", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// Check verifies that the Redis behind rdb can serve a deployment of the given number of partitions:
// its version, and the number that the deployment was begun with, which the first caller records.
func Check(ctx context.Context, rdb redis.UniversalClient, partitions int) error {
	if partitions < 1 || partitions > 1<<14 {
		return fmt.Errorf("%w: STREAM_PARTITIONS: %d is not between 1 and 16384", ErrUnsuitable, partitions)
	}
	info, err := rdb.Info(ctx, "server").Result()
	if err != nil {
		return fmt.Errorf("reach Redis: %w", err)
	}
	if err := checkVersion(info); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsuitable, err)
	}
	if err := rdb.SetNX(ctx, rediskey.Partitions, partitions, 0).Err(); err != nil {
		return fmt.Errorf("record the number of partitions: %w", err)
	}
	recorded, err := rdb.Get(ctx, rediskey.Partitions).Int()
	if err != nil {
		return fmt.Errorf("read the number of partitions: %w", err)
	}
	if recorded != partitions {
		return fmt.Errorf("%w: STREAM_PARTITIONS is %d, but this deployment was begun with %d (%s in Redis); the number is fixed",
			ErrUnsuitable, partitions, recorded, rediskey.Partitions)
	}
	return nil
}

func checkVersion(info string) error {
	for line := range strings.Lines(info) {
		version, ok := strings.CutPrefix(strings.TrimSpace(line), "redis_version:")
		if !ok {
			continue
		}
		major, _, _ := strings.Cut(version, ".")
		if n, err := strconv.Atoi(major); err != nil || n < MinVersion {
			return fmt.Errorf("the Redis server is version %s, Parley needs %d.0 or newer", version, MinVersion)
		}
		return nil
	}
	return errors.New("the Redis server does not tell its version")
}
