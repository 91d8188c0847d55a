package standalone

import (
	"net"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"parley.chat/internal/platform/browser"
	"parley.chat/internal/platform/telemetry"
)

// TestSubregistry checks that two services can have metrics of the same name without a panic, and
// that /metrics stays valid.
func TestSubregistry(t *testing.T) {
	t.Parallel()
	reg := telemetry.NewRegistry("standalone")
	for _, service := range []string{"a", "b"} {
		sub, err := subregistry(reg, service)
		if err != nil {
			t.Fatal(err)
		}
		// Metrics are added after the subregistry was registered, as sync-service does.
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "parley_same_total", Help: "The same."}, []string{"code"})
		sub.MustRegister(c)
		c.WithLabelValues("200").Inc()
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "parley_same_total" && len(f.GetMetric()) == 2 {
			return
		}
	}
	t.Error("parley_same_total is not there once for each service")
}

// By default, only the local machine can reach a standalone, and only the first account is an
// operator.
func TestLoadConfig_defaults(t *testing.T) {
	t.Parallel()
	cfg, err := LoadConfig(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	if cfg.chat.OpsFor != "first-account" {
		t.Errorf("OPS_FOR is %q, want first-account", cfg.chat.OpsFor)
	}
	for name, addr := range map[string]string{"ADDR": cfg.Addr, "METRICS_ADDR": cfg.MetricsAddr} {
		host, _, err := net.SplitHostPort(addr)
		if err != nil || !browser.Loopback(host) {
			t.Errorf("%s is %q, want a loopback address", name, addr)
		}
	}
}

func TestLoadConfig_hosts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ addr, hosts, want string }{
		{"", "", "localhost,127.0.0.1,::1"},
		{"[::1]:0", "", "localhost,127.0.0.1,::1"},
		{"127.0.0.2:8080", "", "localhost,127.0.0.1,::1,127.0.0.2"},
		{":8080", "", ""},
		{"192.0.2.7:8080", "", ""},
		{"127.0.0.1:8080", "chat.example", "chat.example"},
	} {
		cfg, err := LoadConfig(func(name string) string {
			return map[string]string{"ADDR": tt.addr, "PUBLIC_HOSTS": tt.hosts, "DATA_DIR": t.TempDir()}[name]
		})
		if err != nil || cfg.chat.Hosts.String() != tt.want || cfg.ws.PublicHosts.String() != tt.want {
			t.Errorf("%q, %q: hosts %s and %s, %v; want %s", tt.addr, tt.hosts, cfg.chat.Hosts, cfg.ws.PublicHosts, err, tt.want)
		}
	}
}

func TestBaseURL(t *testing.T) {
	t.Parallel()
	bound := &net.TCPAddr{Port: 8080}
	for addr, want := range map[string]string{
		":8080": "http://localhost:8080", "0.0.0.0:8080": "http://localhost:8080", "[::]:8080": "http://localhost:8080",
		"127.0.0.1:0": "http://127.0.0.1:8080", "[::1]:8080": "http://[::1]:8080", "chat.example:8080": "http://chat.example:8080",
	} {
		if got := baseURL(addr, bound); got != want {
			t.Errorf("baseURL(%q) = %s, want %s", addr, got, want)
		}
	}
}

func TestHints(t *testing.T) {
	t.Parallel()
	got := hints("http://localhost:8080", "./bin/standalone")
	for _, want := range []string{
		"curl -c parley.cookies http://localhost:8080/v1/signup", "curl -b parley.cookies http://localhost:8080/v1/channels",
		"./bin/standalone talk -b parley.cookies ws://localhost:8080/ws", "npx -y wscat -c ws://localhost:8080/ws",
	} {
		if !strings.Contains(got, "\n  "+want) {
			t.Errorf("hints lack %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "%!") {
		t.Errorf("hints are badly formatted:\n%s", got)
	}
}
