package syncservice_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"parley.chat/internal/testkit/redistest"
	"parley.chat/sync-service/internal/consumer"
	"parley.chat/sync-service/internal/lag"
	"parley.chat/sync-service/internal/receipts"
)

var rulesDir = filepath.Join("..", "deploy", "prometheus")

// TestAlerts runs the tests of the alert rules.
func TestAlerts(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("%v: it is in Debian's package prometheus (apt-get install --no-install-recommends prometheus), or run make deps", err)
	}
	for _, args := range [][]string{{"check", "rules", "parley.rules.yml"}, {"test", "rules", "parley.rules_test.yml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = rulesDir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// TestAlerts_metricsExist: a rule on a metric that nobody has never fires.
func TestAlerts_metricsExist(t *testing.T) {
	t.Parallel()
	rules, err := os.ReadFile(filepath.Join(rulesDir, "parley.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	consumer.NewMetrics(reg)
	receipts.NewMetrics(reg)
	reg.MustRegister(lag.NewCollector(redistest.NewServer(t).Client(t), partitions))
	descriptions := make(chan *prometheus.Desc, 100)
	reg.Describe(descriptions)
	close(descriptions)
	var known strings.Builder
	for d := range descriptions {
		known.WriteString(d.String())
	}
	for _, name := range regexp.MustCompile(`parley_sync_[a-z_]+`).FindAllString(string(rules), -1) {
		if !strings.Contains(known.String(), `"`+name+`"`) {
			t.Errorf("a rule asks for %s, which does not exist", name)
		}
	}
}
