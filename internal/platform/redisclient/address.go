package redisclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"parley.chat/internal/platform/config"
)

// clusterOption is the query parameter in REDIS_URL that marks the address as the address of a
// Redis Cluster.
const clusterOption = "cluster"

// address is the parsed REDIS_URL.
type address struct {
	urls    []*redis.Options // one per URL
	cluster bool
}

// parseAddress parses REDIS_URL. Its errors never quote the value, which may contain a password.
func parseAddress(urls string) (address, error) {
	var a address
	for i, u := range strings.Split(urls, ",") {
		opt, cluster, err := parseOne(strings.TrimSpace(u))
		if err != nil && strings.Contains(urls, ",") {
			err = fmt.Errorf("URL %d of %d %w", i+1, strings.Count(urls, ",")+1, err)
		}
		if err != nil {
			return address{}, &config.Error{Name: "REDIS_URL", Err: err}
		}
		a.urls, a.cluster = append(a.urls, opt), a.cluster || cluster
	}
	a.cluster = a.cluster || len(a.urls) > 1
	return a, a.check()
}

// check rejects settings that a Redis Cluster does not support or that contradict each other: all
// seed nodes must be reached in the same way and as the same user.
func (a address) check() error {
	refuse := func(why string) error { return &config.Error{Name: "REDIS_URL", Err: errors.New(why)} }
	if !a.cluster {
		return nil
	}
	first := a.urls[0]
	for _, o := range a.urls {
		switch {
		case o.Network == "unix":
			return refuse("a Cluster cannot be reached through a Unix socket")
		case (o.TLSConfig == nil) != (first.TLSConfig == nil):
			return refuse("redis:// and rediss:// are mixed: either all nodes of a Cluster use TLS or none does")
		case o.DB != 0:
			return refuse("a Cluster only has database 0")
		case o.Password != "" && (o.Password != first.Password || o.Username != first.Username):
			return refuse("the URLs have different users or passwords: use the same for all, or set them only in the first")
		}
	}
	return nil
}

func parseOne(value string) (opt *redis.Options, cluster bool, err error) {
	u, err := config.ParseURL(value, "redis", "rediss", "unix")
	if err != nil {
		return nil, false, err
	}
	query := u.Query()
	if v := query.Get(clusterOption); v != "" {
		if cluster, err = strconv.ParseBool(v); err != nil {
			return nil, false, errors.New("has a cluster option that is neither true nor false")
		}
	}
	query.Del(clusterOption)
	u.RawQuery = query.Encode()
	if opt, err = redis.ParseURL(u.String()); err != nil {
		return nil, false, errors.New("must have the form redis://[user:password@]host[:port][/database], with rediss:// for TLS or unix:// for a socket")
	}
	return opt, cluster, nil
}

// client returns a client for a single server.
func (a address) client(o Options) redis.UniversalClient {
	opt := a.urls[0]
	opt.PoolSize, opt.MaxRetries = o.PoolSize, o.retries()
	opt.DialTimeout, opt.ReadTimeout, opt.WriteTimeout = dialTimeout, ioTimeout, ioTimeout
	opt.ContextTimeoutEnabled = true
	opt.ReadBufferSize, opt.WriteBufferSize = bufferSize, bufferSize
	opt.MaintNotificationsConfig = noMaintenance()
	return redis.NewClient(opt)
}

// clusterClient returns a client for a Redis Cluster, with the URLs as its seed nodes.
func (a address) clusterClient(o Options) redis.UniversalClient {
	first := a.urls[0]
	var addrs []string
	for _, u := range a.urls {
		addrs = append(addrs, u.Addr)
	}
	return redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: addrs, Username: first.Username, Password: first.Password, TLSConfig: perNode(first.TLSConfig),
		PoolSize: o.PoolSize, MaxRetries: o.retries(),
		DialTimeout: dialTimeout, ReadTimeout: ioTimeout, WriteTimeout: ioTimeout,
		ContextTimeoutEnabled: true, ReadBufferSize: bufferSize, WriteBufferSize: bufferSize,
		// A dead master sends no MOVED, so only reloading the cluster state reveals that its
		// replica has taken over.
		ClusterStateReloadInterval: time.Second,
		MaintNotificationsConfig:   noMaintenance(),
	})
}

// noMaintenance turns off the notifications with which a managed Redis announces maintenance. In
// its default mode, go-redis requests them on each new connection and, if the server does not
// support them, writes to the client's options. That would be a data race, because Commands.refused
// may read these options at the same time.
func noMaintenance() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// perNode returns a TLS configuration that verifies each node against the host that was dialed. In
// the configuration made from REDIS_URL, ServerName is the host of the first seed node. perNode
// clears it; crypto/tls then uses the host that was dialed.
func perNode(c *tls.Config) *tls.Config {
	if c == nil {
		return nil
	}
	c = c.Clone()
	c.ServerName = ""
	return c
}

// Discover asks the server at REDIS_URL whether it is a node of a Redis Cluster. If it is, Discover
// returns urls marked as the address of a cluster. This is needed because a managed cluster or a
// Kubernetes service has only one address. Discover takes at most 2 s. It returns urls unchanged if
// the server does not answer, or if urls already denotes a cluster; Check reports a mismatch later.
func Discover(ctx context.Context, urls string) string {
	a, err := parseAddress(urls)
	if err != nil || a.cluster || a.urls[0].Network == "unix" {
		return urls
	}
	silence()
	rdb := a.client(Options{PoolSize: 1, NoRetry: true})
	defer func() { _ = rdb.Close() }()
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	info, err := rdb.Info(ctx, "cluster").Result()
	if err != nil || infoOf(info)["cluster_enabled"] != "1" {
		return urls
	}
	return AsCluster(urls)
}

// AsCluster marks the address in urls, a REDIS_URL with one address, as the address of a Redis
// Cluster, and returns the resulting REDIS_URL.
func AsCluster(urls string) string {
	u, err := url.Parse(strings.TrimSpace(urls))
	if err != nil {
		return urls
	}
	query := u.Query()
	query.Set(clusterOption, "true")
	u.RawQuery = query.Encode()
	return u.String()
}

// infoOf parses a reply to INFO.
func infoOf(reply string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(reply) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	return fields
}

// eachMaster calls f once for each server that accepts writes, with a client for that server. The
// calls do not overlap.
func eachMaster(ctx context.Context, rdb redis.UniversalClient, f func(*redis.Client) error) error {
	switch c := rdb.(type) {
	case *redis.Client:
		return f(c)
	case *redis.ClusterClient:
		var mu sync.Mutex
		return c.ForEachMaster(ctx, func(_ context.Context, m *redis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			return f(m)
		})
	}
	return fmt.Errorf("unknown client %T", rdb)
}
