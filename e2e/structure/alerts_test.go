package structure_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestAlerts runs the tests of the alert rules.
func TestAlerts(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("%v: it is in Debian's package prometheus (apt-get install --no-install-recommends prometheus), or run make deps", err)
	}
	for _, args := range [][]string{{"check", "rules", "parley.rules.yml"}, {"test", "rules", "parley.rules_test.yml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = filepath.Join(root(t), "deploy", "prometheus")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// TestAlerts_metricsExist checks that alerts use existing metrics, because an alert on a missing
// metric never fires. The source may compose a name from a prefix and a suffix, both of which are
// string literals.
func TestAlerts_metricsExist(t *testing.T) {
	rules, err := os.ReadFile(filepath.Join(root(t), "deploy", "prometheus", "parley.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	literal := regexp.MustCompile(`"([a-z]+(?:_[a-z]+)*_?)"`)
	eachFile(t, func(path string, source []byte) {
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			for _, m := range literal.FindAllSubmatch(source, -1) {
				known[string(m[1])] = true
			}
		}
	})
	names := regexp.MustCompile(`parley_[a-z_]+`).FindAllString(string(rules), -1)
	if len(names) < 10 {
		t.Fatalf("the rules name only %d metrics", len(names))
	}
	for _, name := range names {
		if !composed(known, name) {
			t.Errorf("a rule uses %s, which no program exports", name)
		}
	}
}

// composed reports whether name is one of the known strings, or consists of a known prefix that
// ends in "_" and a known suffix.
func composed(known map[string]bool, name string) bool {
	if known[name] {
		return true
	}
	for i, r := range name {
		if r == '_' && known[name[:i+1]] && known[name[i+1:]] {
			return true
		}
	}
	return false
}
