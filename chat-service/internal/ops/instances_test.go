package ops

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"parley.chat/internal/devkit/testkit/dnstest"
)

// TestInstances checks that a host name stands for all addresses that it currently has, so that a
// service can be scaled without changing a setting.
func TestInstances(t *testing.T) {
	t.Parallel()
	names := dnstest.Local(t)
	port := "0"
	gateway := func(address string, connections int) {
		t.Helper()
		l, err := net.Listen("tcp", net.JoinHostPort(address, port))
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ = net.SplitHostPort(l.Addr().String())
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Host != "gateways.test:"+port {
				t.Errorf("asked as %s", r.Host)
			}
			fmt.Fprintf(w, "parley_ws_connections %d\n", connections)
		}))
		_ = server.Listener.Close()
		server.Listener = l
		server.Start()
		t.Cleanup(server.Close)
	}
	gateway("127.0.1.1", 3)
	gateway("127.0.1.2", 4)
	s := open(t, Config{Targets: []string{"http://gateways.test:" + port + "/metrics", "http://nobody.test/metrics"}, Resolver: names.Resolver()})
	for _, tt := range []struct {
		addresses   []string
		connections string
		up          []string
	}{
		{[]string{"127.0.1.1"}, "3", []string{"http://gateways.test:" + port}},
		{[]string{"127.0.1.2", "127.0.1.1"}, "7", []string{"http://127.0.1.1:" + port, "http://127.0.1.2:" + port}},
		{nil, "-", nil},
	} {
		names.Set("gateways.test", tt.addresses...)
		m := s.gather(t.Context(), time.Now())
		var up []string
		for _, target := range m.Targets {
			if target.Up {
				up = append(up, target.URL)
			} else if *target.Problem != "the host name cannot be resolved" {
				t.Errorf("%s: %s", target.URL, *target.Problem)
			}
		}
		if got := text(m.Totals.Connections); got != tt.connections || !slices.Equal(up, tt.up) {
			t.Errorf("%v: %s connections of %v, want %s of %v", tt.addresses, got, up, tt.connections, tt.up)
		}
	}
}
