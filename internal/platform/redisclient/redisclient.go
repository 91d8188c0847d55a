// Package redisclient connects a process to the Redis server or Redis Cluster of its deployment. It
// parses REDIS_URL, opens clients, and checks that the server provides what Parley needs.
//
// Opening a client does no I/O. Await blocks until the server can serve the deployment. Check
// verifies, for readiness probes, that the server can still do so. A Watch reads the server's
// settings every minute. No error and no log line from this package contains a user name or a
// password.
package redisclient

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// MinVersion is the oldest major version of Redis that Parley supports. Parley needs sharded
// pub/sub, and needs to publish from scripts.
const MinVersion = 7

const (
	// bufferSize is the size of each connection's read and write buffer. A process has about fifty
	// connections, which are idle most of the time.
	bufferSize = 16 << 10

	dialTimeout = 2 * time.Second // includes the TLS handshake
	ioTimeout   = 3 * time.Second // for each read or write
)

// Options configures a client.
type Options struct {
	PoolSize int  // connections per node; 0 selects go-redis's default, 10 per core
	NoRetry  bool // disables retries, for calls that must not be repeated without the caller's knowledge
}

// retries returns the value for go-redis's option MaxRetries: 0 selects its default, -1 disables
// retries.
func (o Options) retries() int {
	if o.NoRetry {
		return -1
	}
	return 0
}

// quiet stops go-redis from writing to standard error. All failures that go-redis logs are also
// returned as errors.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

var silence = sync.OnceFunc(func() { redis.SetLogger(quiet{}) })

// Open returns a client for REDIS_URL without connecting. The value is one URL (redis://, rediss://
// or unix://), a URL with ?cluster=true for a Redis Cluster with a single address, or a
// comma-separated list of the URLs of a cluster's seed nodes.
func Open(urls string, o Options) (redis.UniversalClient, error) {
	silence()
	a, err := parseAddress(urls)
	if err != nil {
		return nil, err
	}
	if a.cluster {
		return a.clusterClient(o), nil
	}
	return a.client(o), nil
}

// ServerOf returns the connection options of the server that holds key, including its address.
func ServerOf(ctx context.Context, rdb redis.UniversalClient, key string) (*redis.Options, error) {
	switch c := rdb.(type) {
	case *redis.Client:
		return c.Options(), nil
	case *redis.ClusterClient:
		node, err := c.MasterForKey(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("find the node of %s: %w", key, err)
		}
		return node.Options(), nil
	}
	return nil, fmt.Errorf("connect to Redis: unknown client %T", rdb)
}

// Dial opens a connection to the server that holds key, outside of the client's pool. The caller
// authenticates with the returned options.
func Dial(ctx context.Context, rdb redis.UniversalClient, key string) (net.Conn, *redis.Options, error) {
	opt, err := ServerOf(ctx, rdb, key)
	if err != nil {
		return nil, nil, err
	}
	conn, err := opt.Dialer(ctx, opt.Network, opt.Addr)
	if err != nil {
		return nil, nil, fmt.Errorf("dial: %w", err)
	}
	return conn, opt, nil
}
