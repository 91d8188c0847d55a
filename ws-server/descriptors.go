package wsserver

import (
	"fmt"
	"strings"

	"parley.chat/internal/platform/config"
	"parley.chat/internal/platform/descriptors"
)

const (
	// spareDescriptors are for standard files, the listener, the poller, key sets, traces and profiles.
	spareDescriptors = 32
	// clusterNodes is for how many nodes of a Redis Cluster descriptors are kept.
	clusterNodes = 8
)

// connections returns how many WebSockets the instance may hold when the process may have limit descriptors
// open; 0 means no bound. What the stores, health, metrics and connections that are being made need is kept.
func connections(cfg Config, limit int) (int, error) {
	if limit == 0 {
		return cfg.MaxConnections, nil
	}
	stores := cfg.DatabaseMaxConns + 1 + redisPool + 1
	if strings.Contains(cfg.RedisURL, ",") || strings.Contains(cfg.RedisURL, "cluster=true") {
		stores = cfg.DatabaseMaxConns + 1 + clusterNodes*redisPool + cfg.Partitions
	}
	room := limit - spareDescriptors - stores - cfg.OtherDescriptors - descriptors.Plain(limit)
	switch {
	case room < 1:
		return 0, fmt.Errorf("the process may open %d files, which leaves none for connections: raise the limit (ulimit -n, LimitNOFILE)", limit)
	case cfg.MaxConnections > room:
		return 0, &config.Error{Name: "MAX_CONNECTIONS", Err: fmt.Errorf(
			"%d are more than the %d that fit into the %d files that the process may open: lower it, or raise that limit (ulimit -n, LimitNOFILE)",
			cfg.MaxConnections, room, limit)}
	case cfg.MaxConnections > 0:
		return cfg.MaxConnections, nil
	}
	return room, nil
}
