package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit/proctest"
	"parley.chat/loadtest/internal/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRun_bench runs the benchmark of one small scenario, from the flags to the page.
func TestRun_bench(t *testing.T) {
	page := filepath.Join(t.TempDir(), "benchmarks.md")
	var stdout, stderr strings.Builder
	err := run(t.Context(), []string{
		"bench", "--bin", proctest.Build(t, "ws-server", "sync-service", "chat-service"), "--runs", "1", "--only", "storm", "--out", page,
		"--storm-clients", "20", "--storm-channels", "2", "--storm-lacking", "3",
	}, &stdout, &stderr)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| storm | until all clients have all messages |", "| storm-cold | ", "| storm/bare | bare |"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
	data, err := os.ReadFile(strings.TrimSuffix(page, ".md") + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Results["storm"]) != 1 || r.Results["storm"][0].Deliveries != 20*3 || len(r.Rows) == 0 {
		t.Errorf("the results: %s", data)
	}
}

// TestRun_pictures checks that a benchmark of the curve draws it next to the page, and that a
// comparison without a floor has rows.
func TestRun_pictures(t *testing.T) {
	page := filepath.Join(t.TempDir(), "benchmarks.md")
	var stdout, stderr strings.Builder
	err := run(t.Context(), []string{
		"bench", "--bin", proctest.Build(t, "ws-server", "sync-service", "chat-service"), "--runs", "1", "--only", "curve", "--only", "mixed", "--out", page,
		"--curve-members", "200", "--curve-ramp", "4000", "--curve-step", "300ms", "--curve-publishers", "2", "--curve-hold", "300ms",
		"--mixed-people", "30", "--mixed-large", "2", "--mixed-each", "3", "--mixed-say", "500ms", "--mixed-duration", "1s",
	}, &stdout, &stderr)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	for path, want := range map[string]string{page: "| mixed | latency p99 |", filepath.Join(filepath.Dir(page), "images", "latency.svg"): "ingest p99"} {
		if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %q: %v", filepath.Base(path), want, err)
		}
	}
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "(images/latency.svg)") {
		t.Errorf("the page does not show the curve: %v", err)
	}
}

func TestRun_badFlag(t *testing.T) {
	var stdout, stderr strings.Builder
	if err := run(t.Context(), []string{"fanout", "--members", "many"}, &stdout, &stderr); err == nil || !strings.Contains(err.Error(), "--members") {
		t.Errorf("run = %v, want an error that names the flag", err)
	}
}
