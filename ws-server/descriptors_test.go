package wsserver

import (
	"strings"
	"testing"
)

func TestConnections(t *testing.T) {
	t.Parallel()
	base := Config{DatabaseMaxConns: 10, RedisURL: "redis://h:1", Partitions: 16}
	for _, tt := range []struct {
		name       string
		limit, max int
		url        string
		want       int
		err        string
	}{
		{"unknown limit", 0, 0, "", 0, ""},
		{"unknown limit, MAX_CONNECTIONS set", 0, 50, "", 50, ""},
		{"small", 256, 0, "", 116, ""},
		{"usual", 1024, 0, "", 820, ""},
		{"large", 1 << 20, 0, "", 1<<20 - 76 - 4096, ""},
		{"MAX_CONNECTIONS set", 1024, 500, "", 500, ""},
		{"a Cluster needs more descriptors", 1024, 0, "redis://a:1,redis://b:1", 1024 - 32 - 11 - 256 - 16 - 128, ""},
		{"MAX_CONNECTIONS too high", 1024, 1000, "", 0, "MAX_CONNECTIONS: 1000 exceeds 820"},
		{"too small", 128, 0, "", 0, "ulimit -n"},
	} {
		cfg := base
		cfg.MaxConnections = tt.max
		if tt.url != "" {
			cfg.RedisURL = tt.url
		}
		got, err := connections(cfg, tt.limit)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %d, %v; want %d, %q", tt.name, got, err, tt.want, tt.err)
		}
	}
}
