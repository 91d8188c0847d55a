package lag

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Memory returns the highest fraction of maxmemory (0 to 1) that any Redis server uses. It returns
// 0 if no server has a maxmemory.
func Memory(ctx context.Context, rdb redis.UniversalClient) (float64, error) {
	cluster, ok := rdb.(*redis.ClusterClient)
	if !ok {
		return memoryOf(ctx, rdb)
	}
	var mu sync.Mutex // the masters are queried concurrently
	var fullest float64
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		share, err := memoryOf(ctx, master)
		mu.Lock()
		defer mu.Unlock()
		fullest = max(fullest, share)
		return err
	})
	return fullest, err
}

func memoryOf(ctx context.Context, server redis.Cmdable) (float64, error) {
	info, err := server.InfoMap(ctx, "memory").Result()
	if err != nil {
		return 0, fmt.Errorf("read memory of Redis: %w", err)
	}
	used, err := strconv.ParseFloat(info["Memory"]["used_memory"], 64)
	if err != nil {
		return 0, fmt.Errorf("read used_memory of Redis: %w", err)
	}
	limit, err := strconv.ParseFloat(info["Memory"]["maxmemory"], 64)
	if err != nil {
		return 0, fmt.Errorf("read maxmemory of Redis: %w", err)
	}
	if limit == 0 {
		return 0, nil
	}
	return used / limit, nil
}
