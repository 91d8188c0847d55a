package redisclient

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/rediskey"
)

// ErrUnsuitable is returned by Check and Await if Redis answers but cannot be used. Waiting does
// not help.
var ErrUnsuitable = errors.New("this Redis cannot be used")

// ErrCluster is wrapped in an ErrUnsuitable if a client for a single server has reached a Redis
// Cluster. That happens if Redis did not answer Discover. The caller should start again with the
// URL that AsCluster returns.
var ErrCluster = errors.New("REDIS_URL leads to a Redis Cluster: add ?cluster=true to it, or give the URLs of several nodes, comma-separated")

// repeatInterval is the interval at which Await repeats the log line with the reason for waiting.
const repeatInterval = time.Minute

// Await blocks until Redis can serve a deployment with the given number of partitions and permits
// the given commands. It logs the reason when it starts to wait, when the reason changes, and once
// a minute. It returns nil, an ErrUnsuitable, or the context's error.
func Await(ctx context.Context, rdb redis.UniversalClient, partitions int, commands Commands, log *slog.Logger) error {
	var said string
	var saidAt time.Time
	began := time.Now()
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := checkAll(ctx, rdb, partitions, commands)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil || errors.Is(err, ErrUnsuitable) {
			if err == nil && said != "" {
				log.InfoContext(ctx, "Redis can be used", "after", time.Since(began).Round(time.Millisecond).String())
			}
			return err
		}
		if state := Reason(err); state != said || time.Since(saidAt) >= repeatInterval {
			said, saidAt = state, time.Now()
			log.WarnContext(ctx, "waiting for Redis", "state", state, "err", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// checkAll runs Check and verifies that the commands are permitted. If the user may not run a
// command that Check sends, the error lists all commands that are not permitted.
func checkAll(ctx context.Context, rdb redis.UniversalClient, partitions int, commands Commands) error {
	err := Check(ctx, rdb, partitions)
	if err != nil && !redis.HasErrorPrefix(err, "NOPERM") {
		return err
	}
	if missing := commands.allowed(ctx, rdb, partitions); missing != nil {
		return missing
	}
	return err
}

// Check verifies that the Redis behind rdb can serve a deployment with the given number of
// partitions. It checks the version, whether the server is a cluster node, and that every partition
// accepts writes. It also checks that the deployment was started with the same number of
// partitions; the first caller records that number.
func Check(ctx context.Context, rdb redis.UniversalClient, partitions int) error {
	if partitions < 1 || partitions > 1<<14 {
		return fmt.Errorf("%w: STREAM_PARTITIONS: %d is not between 1 and 16384", ErrUnsuitable, partitions)
	}
	info, err := rdb.Info(ctx, "server", "cluster").Result()
	if err != nil {
		return reached(err)
	}
	if err := checkServer(infoOf(info), rdb); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsuitable, err)
	}
	return checkWrites(ctx, rdb, partitions)
}

// reached wraps the error of the first command that Check sends. If the error shows that the client
// is for a Redis Cluster and the server does not belong to one, the result is an ErrUnsuitable.
func reached(err error) error {
	if strings.Contains(err.Error(), "cluster support disabled") {
		return fmt.Errorf("%w: REDIS_URL is for a Cluster, but the server is a single one: use one URL, without cluster=true", ErrUnsuitable)
	}
	return fmt.Errorf("reach Redis: %w", err)
}

func checkServer(info map[string]string, rdb redis.UniversalClient) error {
	version, told := info["redis_version"]
	if !told {
		return errors.New("the Redis server does not report its version")
	}
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err != nil || n < MinVersion {
		return fmt.Errorf("the Redis server is version %s, Parley needs %d.0 or newer", version, MinVersion)
	}
	if _, single := rdb.(*redis.Client); single && info["cluster_enabled"] == "1" {
		return ErrCluster
	}
	return nil
}

// checkWrites verifies that each partition's server accepts writes. SETRANGE with an empty value
// changes nothing, but a server that refuses writes also refuses this command. The check therefore
// detects a read-only replica; a server that is loading its data, is out of memory or cannot save
// its data; and a Redis Cluster that has lost a master.
func checkWrites(ctx context.Context, rdb redis.UniversalClient, partitions int) error {
	var begun *redis.BoolCmd
	var recorded *redis.StringCmd
	// The error of Pipelined is ignored, because each command has its own error.
	cmds, _ := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		begun = p.SetNX(ctx, rediskey.Partitions, partitions, 0)
		recorded = p.Get(ctx, rediskey.Partitions)
		for i := range distinct(rdb, partitions) {
			p.SetRange(ctx, rediskey.Probe(i), 0, "")
		}
		return nil
	})
	if err := begun.Err(); err != nil {
		return fmt.Errorf("record the number of partitions: %w", err)
	}
	n, err := recorded.Int()
	if err != nil {
		return fmt.Errorf("read the number of partitions: %w", err)
	}
	for i, cmd := range cmds[2:] {
		if err := cmd.Err(); err != nil {
			return fmt.Errorf("write to partition %d: %w", i, err)
		}
	}
	if n != partitions {
		return fmt.Errorf("%w: STREAM_PARTITIONS is %d, but this deployment was started with %d (%s in Redis); the number is fixed",
			ErrUnsuitable, partitions, n, rediskey.Partitions)
	}
	return nil
}

// distinct returns the number of partitions that must be checked separately, because they may be on
// different servers.
func distinct(rdb redis.UniversalClient, partitions int) int {
	if _, cluster := rdb.(*redis.ClusterClient); cluster {
		return partitions
	}
	return 1
}
