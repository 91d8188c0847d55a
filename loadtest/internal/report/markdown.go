package report

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley.chat/loadtest/internal/scenario"
	"parley.chat/loadtest/internal/stats"
)

// These markers delimit the generated part of the page.
const (
	begin = "<!-- bench: what follows is written by make bench -->"
	end   = "<!-- bench: end -->"
)

// splice replaces the text between the markers in page with tables.
func splice(page, tables string) (string, error) {
	before, rest, ok1 := strings.Cut(page, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		return "", errors.New("the page lacks the marks that delimit the tables")
	}
	return before + begin + "\n\n" + tables + "\n" + end + after, nil
}

// markdown returns the tables of a report.
func (r *Report) markdown() string {
	var b strings.Builder
	b.WriteString(r.provenance())
	b.WriteString("| scenario | figure | floor | Parley | ratio | range of the runs | bar | |\n| --- | --- | ---: | ---: | ---: | --- | --- | --- |\n")
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", row.Scenario, row.Figure, amount(row.Floor, row.Unit, "–"),
			amount(row.Value, row.Unit, "0"), amount(row.Ratio, "×", "–"), row.spread(), row.Bar, row.verdict())
	}
	b.WriteString("\nThe table below shows what each process used: CPU-seconds per million deliveries or, for `history` and `channels`, per 1,000 requests; for `idle` the growth of its memory per connection; and its memory at the end.\n\n")
	b.WriteString("| scenario | process | CPU-s/M | CPU-s/1,000 | KiB/connection | MiB |\n| --- | --- | ---: | ---: | ---: | ---: |\n")
	for _, key := range slices.Sorted(maps.Keys(r.Results)) {
		r.costs(&b, key)
	}
	if len(r.Results["curve"]) > 0 {
		fmt.Fprintf(&b, "\n![Latency against load](%s)\n", latencyPicture)
	}
	if len(r.Noisy) > 0 {
		fmt.Fprintf(&b, "\nThe machine was not quiet: the floors of %s still differed after all repetitions.\n", strings.Join(r.Noisy, ", "))
	}
	return b.String()
}

// provenance describes where and when the results were measured, and how busy the machine was.
func (r *Report) provenance() string {
	var first, last time.Time
	var loads []float64
	for _, results := range r.Results {
		for _, one := range results {
			if first.IsZero() || one.Started.Before(first) {
				first = one.Started
			}
			if one.Started.After(last) {
				last = one.Started
			}
			if one.Load > 0 {
				loads = append(loads, one.Load)
			}
		}
	}
	text := fmt.Sprintf("Runs from %s to %s UTC on %s", first.Format("2006-01-02 15:04"), last.Format("2006-01-02 15:04"), r.Machine)
	if len(loads) > 0 {
		text += fmt.Sprintf("; load average before a run %.1f to %.1f", slices.Min(loads), slices.Max(loads))
	}
	return text + ".\n\n"
}

// spread formats the lowest and highest ratio of the individual runs, or their lowest and highest
// value if there is no floor.
func (r Row) spread() string {
	if len(r.Runs) == 0 || slices.Min(r.Runs) == slices.Max(r.Runs) {
		return ""
	}
	unit := r.Unit
	if r.Ratio != 0 {
		unit = "×"
	}
	return fmt.Sprintf("%s – %s", amount(slices.Min(r.Runs), "", "0"), amount(slices.Max(r.Runs), unit, "0"))
}

// verdict reports in words whether the medians meet the bar. If only some runs meet the bar, it
// adds their number: "holds (in 4 of 5 runs)".
func (r Row) verdict() string {
	if r.Bar == "" {
		return ""
	}
	text := "misses"
	if r.Met {
		text = "holds"
	}
	if r.Holding > 0 && r.Holding < len(r.Runs) {
		text += fmt.Sprintf(" (in %d of %d runs)", r.Holding, len(r.Runs))
		if !r.Met {
			text = fmt.Sprintf("misses (holds in %d of %d runs)", r.Holding, len(r.Runs))
		}
	}
	return text
}

func (r *Report) costs(b *strings.Builder, key string) {
	results := r.Results[key]
	if len(results) == 0 || results[0] == nil || results[0].Connections == 0 {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(results[0].Processes)) {
		median := func(f func(scenario.Cost) float64) float64 {
			return stats.Round(stats.MedianOf(values(results, func(r *scenario.Result) float64 { return f(r.Processes[name]) })), 3)
		}
		perConnection := 0.0
		if strings.HasPrefix(key, "idle") { // in other scenarios, memory also grows for other reasons
			perConnection = median(func(c scenario.Cost) float64 { return c.BytesPerConnection / 1024 })
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", key, name,
			amount(median(func(c scenario.Cost) float64 { return c.CPUPerMillion }), "", "–"),
			amount(median(func(c scenario.Cost) float64 { return c.CPUPerThousand }), "", "–"), amount(perConnection, "", "–"),
			amount(median(func(c scenario.Cost) float64 { return float64(c.RSSBytes) / (1 << 20) }), "", "–"))
	}
}

// amount formats a number with its unit. If the number is zero, it returns the argument none.
func amount(v float64, unit, none string) string {
	if v == 0 {
		return none
	}
	text := strconv.FormatFloat(v, 'f', -1, 64)
	switch unit {
	case "":
		return text
	case "×":
		return text + unit
	}
	return text + " " + unit
}

// Machine describes the machine on which the benchmark ran.
type Machine struct {
	Model string `json:"model"`
	Cores int    `json:"cores"`
	RAM   string `json:"ram"`
	OS    string `json:"os"`
	Go    string `json:"go"`
}

func (m Machine) String() string {
	return fmt.Sprintf("%s, %d cores, %s RAM, %s, %s", m.Model, m.Cores, m.RAM, m.OS, m.Go)
}

func machine() Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version(), OS: "Linux " + word("/proc/sys/kernel/osrelease", 0)}
	m.Model = after("/proc/cpuinfo", "model name")
	kib, _ := strconv.Atoi(strings.TrimSuffix(after("/proc/meminfo", "MemTotal"), " kB")) // 0 if the kernel does not report it
	m.RAM = fmt.Sprintf("%.0f GiB", float64(kib)/(1<<20))
	return m
}

// loadAverage returns the system's load average over the last minute, or 0 if it is not available.
func loadAverage() float64 {
	v, _ := strconv.ParseFloat(word("/proc/loadavg", 0), 64)
	return v
}

// word returns word n of a file, counting from 0. It returns "" if there is no such word or the
// file cannot be read.
func word(path string, n int) string {
	b, _ := os.ReadFile(path)
	if words := strings.Fields(string(b)); n < len(words) {
		return words[n]
	}
	return ""
}

// after returns the value of the first "key: value" line with the given key in a file.
func after(path, key string) string {
	b, _ := os.ReadFile(path)
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
