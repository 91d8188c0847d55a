package redisclient

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/localserver"
	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/certtest"
	"parley.chat/internal/devkit/testkit/redistest"
)

// The nodes of a Cluster have different addresses and certificates (Linux has all of 127.0.0.0/8),
// and the URL names one node. Every node is verified against its own address, and a node with a
// certificate for another address is refused.
func TestCluster_certificatePerNode(t *testing.T) {
	t.Parallel()
	host := func(i int) string { return fmt.Sprintf("127.0.0.%d", i+2) }
	ports := []int{freePort(t), freePort(t), freePort(t)}
	redistest.Cluster(t, 3, 0, redistest.Options{Node: func(i int) map[string]string {
		s := authority.Redis(t, host(i), ports[i])
		maps.Copy(s, map[string]string{"tls-cluster": "yes", "bind": "127.0.0.1 " + host(i), "cluster-announce-ip": host(i)})
		return s
	}})
	one := fmt.Sprintf("rediss://%s:%d", host(0), ports[0])
	found := Discover(t.Context(), one)
	if found != one+"?cluster=true" {
		t.Fatalf("Discover = %q", found)
	}
	rdb := open(t, found)
	if _, ok := rdb.(*redis.ClusterClient); !ok {
		t.Fatalf("a %T", rdb)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Timeout)
	defer cancel()
	if err := Await(ctx, rdb, 16, WSServer, slog.New(slog.NewTextHandler(t.Output(), nil))); err != nil {
		t.Fatalf("%v; Redis %s", err, Reason(Check(t.Context(), rdb, 16)))
	}
	asked := map[string]bool{}
	err := eachMaster(t.Context(), rdb, func(c *redis.Client) error {
		asked[c.Options().Addr] = true
		return c.Ping(t.Context()).Err()
	})
	if err != nil || len(asked) != 3 {
		t.Errorf("asked %v: %v", asked, err)
	}
	// Every node also listens on 127.0.0.1, which is not in its certificate.
	err = Check(t.Context(), open(t, fmt.Sprintf("rediss://127.0.0.1:%d", ports[1])), 16)
	if reason := Reason(err); !strings.HasSuffix(reason, "it is for another host name") {
		t.Errorf("%q: %v", reason, err)
	}
}

// Reason distinguishes a certificate for another host from one that is not signed by a trusted
// authority.
func TestReason_certificates(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	redistest.NewServer(t, redistest.Options{Settings: authority.Redis(t, "redis.example.org", port)})
	err := Check(t.Context(), open(t, fmt.Sprintf("rediss://127.0.0.1:%d", port)), 16)
	if reason := Reason(err); !strings.HasSuffix(reason, "it is for another host name") {
		t.Errorf("%q: %v", reason, err)
	}
	stranger, err := certtest.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	port = freePort(t)
	redistest.NewServer(t, redistest.Options{Settings: stranger.Redis(t, "127.0.0.1", port)})
	err = Check(t.Context(), open(t, fmt.Sprintf("rediss://127.0.0.1:%d", port)), 16)
	if reason := Reason(err); !strings.HasSuffix(reason, "it is not signed by a trusted authority") {
		t.Errorf("%q: %v", reason, err)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := localserver.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}
