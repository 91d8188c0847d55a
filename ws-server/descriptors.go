package wsserver

import (
	"fmt"
	"strings"

	"parley.chat/internal/platform/config"
	"parley.chat/internal/platform/descriptors"
)

const (
	// spareDescriptors is the number of file descriptors reserved for the standard streams, the
	// listener, the network poller, and connections that fetch key sets, export traces and serve
	// profiles.
	spareDescriptors = 32
	// clusterNodes is the number of Redis Cluster nodes for which descriptors are reserved.
	clusterNodes = 8
)

// connections returns the number of WebSockets that the instance may hold if the process may open
// at most limit file descriptors. A limit of 0 means no limit. It reserves descriptors for
// PostgreSQL, Redis, health checks, metrics and connections that are being opened.
func connections(cfg Config, limit int) (int, error) {
	if limit == 0 {
		return cfg.MaxConnections, nil
	}
	stores := cfg.DatabaseMaxConns + 1 + redisPool + 1
	if strings.Contains(cfg.RedisURL, ",") || strings.Contains(cfg.RedisURL, "cluster=true") {
		stores = cfg.DatabaseMaxConns + 1 + clusterNodes*redisPool + cfg.Partitions
	}
	available := limit - spareDescriptors - stores - cfg.OtherDescriptors - descriptors.Plain(limit)
	switch {
	case available < 1:
		return 0, fmt.Errorf("the limit of %d open files leaves no room for connections: raise it (ulimit -n, LimitNOFILE)", limit)
	case cfg.MaxConnections > available:
		return 0, &config.Error{Name: "MAX_CONNECTIONS", Err: fmt.Errorf(
			"%d exceeds %d, the maximum under the limit of %d open files: lower it, or raise the limit of open files (ulimit -n, LimitNOFILE)",
			cfg.MaxConnections, available, limit)}
	case cfg.MaxConnections > 0:
		return cfg.MaxConnections, nil
	}
	return available, nil
}
