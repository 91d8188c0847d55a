// Package redistest gives tests real Redis servers.
//
// Parley's keys and topics have fixed names, and pub/sub ignores logical databases. So every call
// starts its own servers, which takes about 50 ms. Servers listen on loopback ports and keep their
// address when a test stops and restarts them. If Redis is not installed, the test fails and
// explains how to install it.
package redistest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/localserver"
	"parley.chat/internal/devkit/testkit"
)

// Options changes a test's server.
type Options struct {
	MaxMemory int64             // bytes; default unlimited
	Settings  map[string]string // further settings of redis.conf
	// Node returns additional settings for server i of a Redis Cluster. Servers are numbered from
	// 0, masters first.
	Node func(i int) map[string]string
}

// Server is a Redis server for one test. It syncs its append-only file after every write
// (appendfsync always), so all acknowledged writes survive Kill and Start.
type Server struct {
	redis *localserver.Redis
	dir   string
}

// NewServer starts a server for one test. The server is removed when the test ends.
func NewServer(t testing.TB, opts ...Options) *Server {
	t.Helper()
	return start(t, localserver.RedisOptions{}, opts...)
}

func start(t testing.TB, o localserver.RedisOptions, opts ...Options) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Timeout)
	defer cancel()
	found, err := localserver.Find(ctx)
	if found.Redis == "" {
		t.Fatalf("redistest: %v", err)
	}
	dir := t.TempDir()
	o.Bin, o.Dir, o.Port = found.Redis, dir, localserver.FreshPort
	for _, opt := range opts {
		o.MaxMemory, o.Settings = opt.MaxMemory, opt.Settings
	}
	r, err := localserver.StartRedis(ctx, o)
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	t.Cleanup(func() {
		if err := r.Kill(); err != nil {
			t.Errorf("redistest: %v", err)
		}
	})
	return &Server{redis: r, dir: dir}
}

// URL returns the server's address in the format of REDIS_URL.
func (s *Server) URL() string { return s.redis.URL() }

// Addr returns host:port.
func (s *Server) Addr() string { return s.redis.Addr() }

// Dir returns the folder of its files.
func (s *Server) Dir() string { return s.dir }

// Client returns a client with default options. It is closed when the test ends.
func (s *Server) Client(t testing.TB) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.Addr()})
	t.Cleanup(func() { _ = client.Close() }) // the test may have closed it already
	return client
}

// Stop shuts the server down cleanly.
func (s *Server) Stop(t testing.TB) { t.Helper(); s.do(t, s.redis.Stop) }

// Start starts the server again at the same address with the same data, after Stop or Kill.
func (s *Server) Start(t testing.TB) { t.Helper(); s.do(t, s.redis.Start) }

// Kill kills the server, simulating a crash.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.do(t, func(context.Context) error { return s.redis.Kill() })
}

// Pause freezes the server until Resume is called. Connections stay open, but the server does not
// answer.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	s.do(t, func(context.Context) error { return s.redis.Pause() })
}

// Resume ends a Pause.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	s.do(t, func(context.Context) error { return s.redis.Resume() })
}

func (s *Server) do(t testing.TB, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Timeout)
	defer cancel()
	if err := f(ctx); err != nil {
		t.Fatalf("redistest: %v", err)
	}
}

// ClusterServers is a Redis Cluster for one test.
type ClusterServers struct {
	Masters  []*Server   // as they were at the start
	Replicas [][]*Server // the replicas of each master in Masters
}

// slots is the number of hash slots in a cluster.
const slots = 16384

// Cluster starts a Redis Cluster with the given number of masters and of replicas per master. It
// waits until every node reports that the cluster is complete. A replica replaces a dead master
// within several seconds.
func Cluster(t testing.TB, masters, replicas int, opts ...Options) *ClusterServers {
	t.Helper()
	o := Options{Settings: map[string]string{}}
	for _, opt := range opts {
		o.MaxMemory, o.Node = opt.MaxMemory, opt.Node
		for name, value := range opt.Settings {
			o.Settings[name] = value
		}
	}
	for name, value := range map[string]string{"cluster-node-timeout": "2000", "repl-diskless-sync-delay": "0", "cluster-replica-validity-factor": "0"} {
		if _, set := o.Settings[name]; !set {
			o.Settings[name] = value
		}
	}
	c := &ClusterServers{}
	for i := range masters {
		c.Masters = append(c.Masters, start(t, localserver.RedisOptions{Cluster: true}, o.node(i)))
		var own []*Server
		for j := range replicas {
			own = append(own, start(t, localserver.RedisOptions{Cluster: true}, o.node(masters+i*replicas+j)))
		}
		c.Replicas = append(c.Replicas, own)
	}
	if err := c.form(t); err != nil {
		t.Fatalf("redistest: form cluster: %v", err)
	}
	return c
}

// node returns the options for server i.
func (o Options) node(i int) Options {
	if o.Node == nil {
		return o
	}
	own := maps.Clone(o.Settings)
	maps.Copy(own, o.Node(i))
	o.Settings = own
	return o
}

// form joins the nodes into a cluster. It assigns hash slots to every master, and a master to every
// replica.
func (c *ClusterServers) form(t testing.TB) error {
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Timeout)
	defer cancel()
	for i, m := range c.Masters {
		client := m.Client(t)
		// Give each master a different config epoch. Otherwise, the masters would need to resolve
		// the conflict by themselves, which is slow.
		if err := client.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
			return err
		}
		first, last := i*slots/len(c.Masters), (i+1)*slots/len(c.Masters)-1
		if err := client.ClusterAddSlotsRange(ctx, first, last).Err(); err != nil {
			return err
		}
	}
	all := c.all()
	seed := all[0].Client(t)
	for _, s := range all[1:] {
		host, port, err := net.SplitHostPort(s.Addr())
		if err != nil {
			return err
		}
		if err := seed.Do(ctx, "CLUSTER", "MEET", host, port, strconv.Itoa(s.redis.BusPort())).Err(); err != nil {
			return err
		}
	}
	c.WaitOK(t)
	for i, m := range c.Masters {
		id, err := m.Client(t).Do(ctx, "CLUSTER", "MYID").Text()
		if err != nil {
			return err
		}
		for _, r := range c.Replicas[i] {
			if err := r.Client(t).ClusterReplicate(ctx, id).Err(); err != nil {
				return err
			}
		}
	}
	for i := range c.Masters {
		for _, r := range c.Replicas[i] {
			client := r.Client(t)
			testkit.Until(t, testkit.Timeout, func() error { return linked(client) })
		}
	}
	// A failover requires that every node knows the master of each replica. Nodes learn this by
	// gossip.
	for _, s := range c.all() {
		client := s.Client(t)
		testkit.Until(t, testkit.Timeout, func() error { return c.roles(client) })
	}
	c.WaitOK(t)
	return nil
}

// roles returns nil if the node that client is connected to has learned the role of every replica.
func (c *ClusterServers) roles(client *redis.Client) error {
	nodes, err := client.ClusterNodes(context.Background()).Result()
	if err != nil {
		return err
	}
	want := len(c.all()) - len(c.Masters)
	if n := strings.Count(nodes, "slave "); n != want {
		return fmt.Errorf("a node knows of %d replicas, want %d", n, want)
	}
	return nil
}

// linked returns nil if the replica that client is connected to is in sync with its master.
func linked(client *redis.Client) error {
	info, err := client.Info(context.Background(), "replication").Result()
	if err == nil && !strings.Contains(info, "master_link_status:up") {
		err = errors.New("replica is not in sync with its master")
	}
	return err
}

func (c *ClusterServers) all() []*Server {
	all := append([]*Server(nil), c.Masters...)
	for _, own := range c.Replicas {
		all = append(all, own...)
	}
	return all
}

// WaitOK waits until every running node reports that the cluster is complete and knows all nodes.
func (c *ClusterServers) WaitOK(t testing.TB) {
	t.Helper()
	all := c.all()
	for _, s := range all {
		if s.down() {
			continue
		}
		client := s.Client(t)
		testkit.Until(t, testkit.Timeout, func() error {
			info, err := client.ClusterInfo(context.Background()).Result()
			if err != nil {
				return err
			}
			for _, want := range []string{"cluster_state:ok", fmt.Sprintf("cluster_known_nodes:%d", len(all)), fmt.Sprintf("cluster_slots_ok:%d", slots)} {
				if !strings.Contains(info, want+"\r\n") {
					return fmt.Errorf("node %s does not report %s", s.Addr(), want)
				}
			}
			return nil
		})
	}
}

// down reports whether the server has ended.
func (s *Server) down() bool {
	select {
	case <-s.redis.Done():
		return true
	default:
		return false
	}
}

// URLs returns the URLs of all masters and replicas.
func (c *ClusterServers) URLs() []string {
	var urls []string
	for _, s := range c.all() {
		urls = append(urls, s.URL())
	}
	return urls
}

// URL returns the addresses in the format of REDIS_URL, separated by commas.
func (c *ClusterServers) URL() string { return strings.Join(c.URLs(), ",") }

// Client returns a client for the cluster. It is closed when the test ends.
func (c *ClusterServers) Client(t testing.TB) *redis.ClusterClient {
	t.Helper()
	var addrs []string
	for _, s := range c.all() {
		addrs = append(addrs, s.Addr())
	}
	// By default, go-redis may take a minute to notice a failover, because a dead master sends no
	// MOVED.
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, ClusterStateReloadInterval: time.Second})
	t.Cleanup(func() { _ = client.Close() }) // the test may have closed it already
	return client
}

// KillMaster kills the i-th server in Masters, simulating a crash.
func (c *ClusterServers) KillMaster(t testing.TB, i int) { t.Helper(); c.Masters[i].Kill(t) }
