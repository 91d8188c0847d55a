package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley.chat/loadtest/internal/scenario"
	"parley.chat/loadtest/internal/stats"
)

// fanout returns a result with the given cost and latency.
func fanout(target, process string, cpu, p50 float64) *scenario.Result {
	return &scenario.Result{
		Scenario: "fanout", Target: target, Connections: 1000, Latency: stats.Quantiles{P50: p50},
		Processes: map[string]scenario.Cost{process: {CPUPerMillion: cpu}},
		Figures:   map[string]float64{"sustained_deliveries_per_second": 2e6},
	}
}

func TestRows(t *testing.T) {
	got := rows(map[string][]*scenario.Result{
		"fanout/bare": {fanout("bare", "bare", 6, 1), fanout("bare", "bare", 12, 2), fanout("bare", "bare", 6.2, 1)},
		"fanout":      {fanout("parley", "ws-server", 7.2, 2), fanout("parley", "ws-server", 14.4, 4), fanout("parley", "ws-server", 7.44, 2)},
	})
	find := func(figure string) Row {
		for _, row := range got {
			if row.Figure == figure {
				return row
			}
		}
		t.Fatalf("no row for %s in %v", figure, got)
		return Row{}
	}
	if row := find("CPU per million deliveries"); row.Ratio != 1.2 || !row.Met || row.Value != 7.44 || row.Floor != 6.2 {
		t.Errorf("%+v", row)
	}
	if row := find("latency p50"); row.Ratio != 2 || row.Met || row.verdict() != "misses" {
		t.Errorf("%+v", row)
	}
	if row := find("highest sustained rate"); row.Value != 2000 || !row.Met {
		t.Errorf("%+v", row)
	}
}

// TestRows_runsThatDisagree checks that the verdict is based on the medians, and says how many runs
// agree with it.
func TestRows_runsThatDisagree(t *testing.T) {
	for _, row := range rows(map[string][]*scenario.Result{
		"fanout/bare": {fanout("bare", "bare", 8, 7), fanout("bare", "bare", 8, 5), fanout("bare", "bare", 8, 5)},
		"fanout":      {fanout("parley", "ws-server", 8, 7.7), fanout("parley", "ws-server", 8, 5), fanout("parley", "ws-server", 8, 6.7)},
	}) {
		if row.Figure == "latency p50" && (row.Ratio != 1.34 || row.verdict() != "misses (holds in 2 of 3 runs)" || row.spread() != "1 – 1.34×") {
			t.Errorf("%+v: %s, %s", row, row.verdict(), row.spread())
		}
	}
}

func TestWrite_keepsTheProse(t *testing.T) {
	page := filepath.Join(t.TempDir(), "docs", "benchmarks.md")
	r := &Report{Rows: []Row{{Scenario: "storm", Figure: "until all clients have all messages", Unit: "s", Floor: .12, Value: .7, Ratio: 5.8, Bar: "≤ 0.5 s"}}}
	if err := r.write(page); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := "Before.\n" + string(b) + "After.\n"
	if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r.Rows[0].Value, r.Rows[0].Met = .4, true
	if err := r.write(page); err != nil {
		t.Fatal(err)
	}
	if b, err = os.ReadFile(page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Before.", "After.", "| storm | until all clients have all messages | 0.12 s | 0.4 s | 5.8× |  | ≤ 0.5 s | holds |"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the page lacks %q:\n%s", want, b)
		}
	}
	if strings.Contains(string(b), "misses") {
		t.Errorf("the old table is still there:\n%s", b)
	}
	if err := os.WriteFile(page, []byte("no marks"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.write(page); err == nil {
		t.Error("a page without marks was overwritten")
	}
}
