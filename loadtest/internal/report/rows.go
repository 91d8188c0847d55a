package report

import (
	"cmp"

	"parley.chat/loadtest/internal/scenario"
	"parley.chat/loadtest/internal/stats"
)

// Row is a row of the results table: a measured value, the floor's value, and the bar that the
// value or the ratio of the two must meet.
type Row struct {
	Scenario string  `json:"scenario"`
	Figure   string  `json:"figure"`
	Unit     string  `json:"unit"`
	Floor    float64 `json:"floor,omitempty"`
	Value    float64 `json:"value"`
	Ratio    float64 `json:"ratio,omitempty"` // ratio of the medians
	// Runs contains, for each run, the ratio of its value to the floor's value in the same run. If
	// there is no floor, it contains the values.
	Runs    []float64 `json:"runs,omitempty"`
	Bar     string    `json:"bar,omitempty"`
	Met     bool      `json:"met"`               // whether the medians meet the bar; true if there is no bar
	Holding int       `json:"holding,omitempty"` // number of Runs that meet the bar
}

// values returns one figure from each result.
func values(results []*scenario.Result, f func(*scenario.Result) float64) []float64 {
	all := make([]float64, 0, len(results))
	for _, r := range results {
		if r != nil {
			all = append(all, f(r))
		}
	}
	return all
}

// These functions each return one metric of a result.

func memory(r *scenario.Result) float64     { return r.Server().BytesPerConnection / 1024 }
func perMillion(r *scenario.Result) float64 { return r.Server().CPUPerMillion }
func p50(r *scenario.Result) float64        { return r.Latency.P50 }
func p99(r *scenario.Result) float64        { return r.Latency.P99 }
func ackP50(r *scenario.Result) float64     { return r.AckLatency.P50 }
func ackP99(r *scenario.Result) float64     { return r.AckLatency.P99 }

func figure(name string) func(*scenario.Result) float64 {
	return func(r *scenario.Result) float64 { return r.Figures[name] }
}

func kilo(f func(*scenario.Result) float64) func(*scenario.Result) float64 {
	return func(r *scenario.Result) float64 { return f(r) / 1e3 }
}

// faults returns the number of delivery and storage errors: events or receipts that were lost,
// repeated or skipped. A valid run has none.
func faults(r *scenario.Result) float64 {
	return float64(r.Lost+r.Holes+r.Repeats) + r.Figures["clients_without_all"] + r.Figures["not_stored"] + r.Figures["cursors_behind"]
}

// rule defines a row of the results table: its metric, the results to compare, and the bar.
type rule struct {
	scenario, floor  string // keys of the results; floor is "" if there is no floor
	figure, unit     string
	value, floorsOwn func(*scenario.Result) float64 // if not nil, floorsOwn returns the metric of the floor (the minimal program)
	bar              string
	met              func(value, ratio float64) bool
}

func atMost(limit float64) func(float64, float64) bool {
	return func(v, _ float64) bool { return v <= limit }
}

func ratioAtMost(limit float64) func(float64, float64) bool {
	return func(_, r float64) bool { return r <= limit }
}

func ratioAtLeast(limit float64) func(float64, float64) bool {
	return func(_, r float64) bool { return r >= limit }
}

// rules define the rows of the results table, in order.
var rules = []rule{
	{"idle", "idle/bare", "memory per connection", "KiB", memory, nil, "≤ 11 KiB", atMost(11)},
	{"idle", "", "heap per connection", "KiB", func(r *scenario.Result) float64 { return r.Figures["heap_inuse_bytes_per_connection"] / 1024 }, nil, "", nil},
	{"idle", "", "stacks per connection", "KiB", func(r *scenario.Result) float64 { return r.Figures["stack_bytes_per_connection"] / 1024 }, nil, "", nil},
	{"fanout", "fanout/bare", "CPU per million deliveries", "s", perMillion, nil, "≤ 1.25×", ratioAtMost(1.25)},
	{"fanout", "fanout/bare", "latency p50", "ms", p50, nil, "≤ 1.15×", ratioAtMost(1.15)},
	{"fanout", "fanout/bare", "latency p99", "ms", p99, nil, "", nil},
	{"fanout", "fanout/bare", "highest sustained rate", "k/s", kilo(figure("sustained_deliveries_per_second")), nil, "≥ 1500 k/s", func(v, _ float64) bool { return v >= 1500 }},
	{"many-channels", "many-channels/bare", "CPU per million deliveries", "s", perMillion, nil, "≤ 1.4×", ratioAtMost(1.4)},
	{"many-channels", "many-channels/bare", "latency p50", "ms", p50, nil, "≤ 0.5 ms", atMost(.5)},
	{"many-channels", "many-channels/bare", "latency p99", "ms", p99, nil, "", nil},
	{"ingest", "ingest/script", "acknowledged messages", "k/s", kilo(figure("acks_per_second")), kilo(figure("events_per_second")), "≥ 20 k/s and ≥ 0.5×", func(v, r float64) bool { return v >= 20 && r >= .5 }},
	{"ingest", "", "ack p50", "ms", ackP50, nil, "", nil},
	{"ingest", "", "ack p99", "ms", ackP99, nil, "≤ 6 ms", atMost(6)},
	{"ingest-always", "ingest-always/script", "acknowledged messages", "k/s", kilo(figure("acks_per_second")), kilo(figure("events_per_second")), "", nil},
	{"ingest-always", "", "ack p99", "ms", ackP99, nil, "", nil},
	{"ingest-always", "", "one fsync", "ms", figure("fsync_ms"), nil, "", nil},
	{"storm", "storm/bare", "until all clients have all messages", "s", figure("seconds"), nil, "≤ 0.5 s", atMost(.5)},
	{"storm-cold", "storm/bare", "until all clients have all messages", "s", figure("seconds"), nil, "", nil},
	{"history", "history/rest", "pages per second", "/s", figure("requests_per_second"), nil, "≥ 0.7×", ratioAtLeast(.7)},
	{"history", "history/rest", "CPU of all servers per page", "ms", figure("cpu_ms_per_request"), nil, "", nil},
	{"history", "history/rest", "latency p50", "ms", p50, nil, "", nil},
	{"history", "history/rest", "latency p99", "ms", p99, nil, "", nil},
	{"channels", "channels/rest", "lists per second", "/s", figure("requests_per_second"), nil, "≥ 0.7×", ratioAtLeast(.7)},
	{"channels", "channels/rest", "CPU of all servers per list", "ms", figure("cpu_ms_per_request"), nil, "", nil},
	{"channels", "channels/rest", "latency p50", "ms", p50, nil, "", nil},
	{"channels", "channels/rest", "latency p99", "ms", p99, nil, "", nil},
	{"pipeline", "pipeline/script", "acknowledged messages", "k/s", kilo(figure("acks_per_second")), kilo(figure("events_per_second")), "≥ 12 k/s", func(v, _ float64) bool { return v >= 12 }},
	{"pipeline", "", "ack p50", "ms", ackP50, nil, "", nil},
	{"pipeline", "", "ack p99", "ms", ackP99, nil, "", nil},
	{"pipeline", "", "from ack to row, p50", "ms", figure("row_p50_ms"), nil, "", nil},
	{"pipeline", "", "from ack to row, p99", "ms", figure("row_p99_ms"), nil, "", nil},
	{"pipeline", "", "highest backlog, entries", "k", kilo(figure("lag_max")), nil, "", nil},
	{"pipeline", "", "backlog grew (1: yes)", "", figure("lag_growing"), nil, "0", atMost(0)},
	{"pipeline-always", "pipeline-always/script", "acknowledged messages", "k/s", kilo(figure("acks_per_second")), kilo(figure("events_per_second")), "", nil},
	{"pipeline-always", "", "ack p99", "ms", ackP99, nil, "", nil},
	{"pipeline-always", "", "from ack to row, p99", "ms", figure("row_p99_ms"), nil, "", nil},
	{"drain", "drain/copy", "entries stored", "k/s", kilo(figure("entries_per_second")), nil, "≥ 0.5×", ratioAtLeast(.5)},
	{"drain", "", "CPU of sync-service per entry", "µs", figure("cpu_us_per_entry_sync-service"), nil, "", nil},
	{"drain", "", "CPU of Redis per entry", "µs", figure("cpu_us_per_entry_redis"), nil, "", nil},
	{"drain", "", "CPU of PostgreSQL per entry", "µs", figure("cpu_us_per_entry_postgresql"), nil, "", nil},
	{"mixed", "", "latency p50", "ms", p50, nil, "", nil},
	{"mixed", "", "latency p99", "ms", p99, nil, "≤ 50 ms", atMost(50)},
	{"mixed", "", "latency p99.9", "ms", func(r *scenario.Result) float64 { return r.Latency.P999 }, nil, "", nil},
	{"mixed", "", "page of history, p99", "ms", figure("history_p99_ms"), nil, "", nil},
}

// rows returns the table's rows, computed from the medians of the results.
func rows(results map[string][]*scenario.Result) (filled []Row) {
	for _, rule := range rules {
		got := results[rule.scenario]
		if len(got) == 0 {
			continue
		}
		row := Row{
			Scenario: rule.scenario, Figure: rule.figure, Unit: rule.unit, Bar: rule.bar, Met: true,
			Value: stats.Round(stats.MedianOf(values(got, rule.value)), 3),
		}
		floorOf := rule.floorsOwn
		if floorOf == nil {
			floorOf = rule.value
		}
		runs, floors := values(got, rule.value), values(results[rule.floor], floorOf)
		if floor := stats.MedianOf(floors); floor != 0 {
			row.Floor = stats.Round(floor, 3)
			row.Ratio = stats.Round(stats.MedianOf(runs)/floor, 3)
		}
		for i, v := range runs {
			ratio := 0.0
			if i < len(floors) && floors[i] != 0 {
				ratio = v / floors[i]
			}
			row.Runs = append(row.Runs, stats.Round(cmp.Or(ratio, v), 3))
			if rule.met != nil && rule.met(v, ratio) {
				row.Holding++
			}
		}
		if rule.met != nil {
			row.Met = rule.met(row.Value, row.Ratio)
		}
		filled = append(filled, row)
	}
	for _, name := range []string{"fanout", "many-channels", "ingest", "ingest-always", "storm", "storm-cold", "pipeline", "pipeline-always", "drain", "mixed"} {
		if got := results[name]; len(got) > 0 {
			worst := 0.0
			for _, v := range values(got, faults) {
				worst = max(worst, v)
			}
			filled = append(filled, Row{Scenario: name, Figure: "lost, repeated or skipped events, worst run", Value: worst, Bar: "0", Met: worst == 0})
		}
	}
	return filled
}
