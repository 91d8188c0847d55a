// Package redisclient is a process's way to the one Redis, or Redis Cluster, that a deployment has: it reads
// REDIS_URL, opens clients, and checks that what answers can do what Parley needs.
//
// Opening a client does no I/O. Await blocks until the server can serve; Check is asked again for readiness;
// a Watch looks at the server's settings every minute. No error and no log line of this package shows a
// user name or a password.
package redisclient

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// MinVersion is the oldest Redis with what Parley needs: sharded pub/sub, and scripts that use it.
const MinVersion = 7

const (
	// bufferSize is of each connection, in and out. A process has some fifty of them, most of the time idle.
	bufferSize = 16 << 10

	dialTimeout = 2 * time.Second // TLS handshake included
	ioTimeout   = 3 * time.Second // of one read or write
)

// Options shape a client.
type Options struct {
	PoolSize int  // connections per node; default 10 per core, as go-redis has it
	NoRetry  bool // for calls that may not be sent twice behind the caller's back
}

// retries is MaxRetries as go-redis has it: 0 is its default, -1 none.
func (o Options) retries() int {
	if o.NoRetry {
		return -1
	}
	return 0
}

// quiet keeps go-redis from writing to standard error: what goes wrong is an error of some call.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

var beQuiet = sync.OnceFunc(func() { redis.SetLogger(quiet{}) })

// Open returns a client for REDIS_URL: one URL (redis://, rediss://, unix://), one with ?cluster=true for a
// Cluster with a single address, or several, comma-separated, for the seeds of a Cluster. It does not connect.
func Open(urls string, o Options) (redis.UniversalClient, error) {
	beQuiet()
	a, err := parseAddress(urls)
	if err != nil {
		return nil, err
	}
	if a.cluster {
		return a.clusterClient(o), nil
	}
	return a.client(o), nil
}
