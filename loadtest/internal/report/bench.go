// Package report runs every scenario several times, each time together with its floor, a minimal
// program that does the same job. It writes the tables in docs/benchmarks.md.
package report

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"parley.chat/internal/devkit/localserver"
	"parley.chat/loadtest/internal/scenario"
	"parley.chat/loadtest/internal/stage"
	"parley.chat/loadtest/internal/stats"
)

// Bench runs every scenario and its floor, the minimal program with which the scenario is compared.
// Its fields are command-line flags.
type Bench struct {
	Runs  int      `default:"3" help:"Runs of each scenario; the tables show medians."`
	Noise float64  `default:"0.15" help:"Fraction by which a floor may differ from the median before its run is repeated."`
	Again int      `default:"3" help:"Maximum number of repeated runs per scenario."`
	Only  []string `enum:"idle,fanout,many-channels,ingest,ingest-always,storm,history,channels,pipeline,pipeline-always,drain,mixed,curve" help:"Run only these scenarios: ${enum}."`
	Out   string   `default:"docs/benchmarks.md" help:"Page in which to write the tables. The results are written next to it, as .json."`

	Idle         scenario.Idle         `embed:"" prefix:"idle-"`
	Fanout       scenario.Fanout       `embed:"" prefix:"fanout-"`
	ManyChannels scenario.ManyChannels `embed:"" prefix:"many-channels-"`
	Ingest       scenario.Ingest       `embed:"" prefix:"ingest-"`
	Script       scenario.AppendScript `embed:"" prefix:"script-"`
	Storm        scenario.Storm        `embed:"" prefix:"storm-"`
	History      scenario.History      `embed:"" prefix:"history-"`
	Channels     scenario.Channels     `embed:"" prefix:"channels-"`
	Pipeline     scenario.Pipeline     `embed:"" prefix:"pipeline-"`
	Drain        scenario.Drain        `embed:"" prefix:"drain-"`
	Mixed        scenario.Mixed        `embed:"" prefix:"mixed-"`
	Curve        scenario.Curve        `embed:"" prefix:"curve-"`
}

// run is a scenario with its target.
type run struct {
	key    string
	target string
	what   scenario.Scenario
}

// comparison holds a floor, a minimal program for the same job, and the scenarios that are run and
// compared with it. Some scenarios have no floor.
type comparison struct {
	name  string
	floor run                            // no floor if its key is empty
	noise func(*scenario.Result) float64 // the floor's metric that shows how noisy the machine was during the run
	runs  []run
}

func (b *Bench) comparisons() []comparison {
	always, alwaysScript, cold, alwaysPipeline := b.Ingest, b.Script, b.Storm, b.Pipeline
	alwaysPipeline.Fsync = localserver.FsyncAlways
	always.Fsync, alwaysScript.Fsync, cold.Cold = localserver.FsyncAlways, localserver.FsyncAlways, true
	return []comparison{
		{"idle", run{"idle/bare", scenario.Bare, &b.Idle}, memory, []run{{"idle", scenario.Parley, &b.Idle}}},
		{"fanout", run{"fanout/bare", scenario.Bare, &b.Fanout}, perMillion, []run{{"fanout", scenario.Parley, &b.Fanout}}},
		{"many-channels", run{"many-channels/bare", scenario.Bare, &b.ManyChannels}, perMillion, []run{{"many-channels", scenario.Parley, &b.ManyChannels}}},
		{"ingest", run{"ingest/script", "", &b.Script}, figure("events_per_second"), []run{{"ingest", scenario.Parley, &b.Ingest}}},
		{"ingest-always", run{"ingest-always/script", "", &alwaysScript}, figure("events_per_second"), []run{{"ingest-always", scenario.Parley, &always}}},
		{"storm", run{"storm/bare", scenario.Bare, &b.Storm}, figure("seconds"), []run{{"storm", scenario.Parley, &b.Storm}, {"storm-cold", scenario.Parley, &cold}}},
		{"history", run{"history/rest", scenario.Rest, &b.History}, figure("requests_per_second"), []run{{"history", scenario.Parley, &b.History}}},
		{"channels", run{"channels/rest", scenario.Rest, &b.Channels}, figure("requests_per_second"), []run{{"channels", scenario.Parley, &b.Channels}}},
		{"pipeline", run{"pipeline/script", "", &b.Script}, figure("events_per_second"), []run{{"pipeline", scenario.Parley, &b.Pipeline}}},
		{"pipeline-always", run{"pipeline-always/script", "", &alwaysScript}, figure("events_per_second"), []run{{"pipeline-always", scenario.Parley, &alwaysPipeline}}},
		{"drain", run{"drain/copy", scenario.Copy, &b.Drain}, figure("entries_per_second"), []run{{"drain", scenario.Parley, &b.Drain}}},
		{"mixed", run{}, nil, []run{{"mixed", scenario.Parley, &b.Mixed}}},
		{"curve", run{}, nil, []run{{"curve", scenario.Parley, &b.Curve}}},
	}
}

// Report contains the results of a benchmark.
type Report struct {
	Machine Machine                       `json:"machine"`
	Rows    []Row                         `json:"rows"`
	Results map[string][]*scenario.Result `json:"results"` // by scenario; keys of floors contain a slash
	Noisy   []string                      `json:"noisy,omitempty"`
}

// Run runs the benchmark. It writes the results page after each comparison, so that a later failure
// does not lose earlier results. If Only is set, the other scenarios keep the results of earlier
// benchmarks.
func (b *Bench) Run(ctx context.Context, s *stage.Stage, say io.Writer) error {
	r := &Report{Machine: machine(), Results: map[string][]*scenario.Result{}}
	if len(b.Only) > 0 {
		if err := r.adopt(b.Out); err != nil {
			return err
		}
	}
	for _, d := range b.comparisons() {
		if len(b.Only) > 0 && !slices.Contains(b.Only, d.name) {
			continue
		}
		if err := b.compare(ctx, s, say, d, r); err != nil {
			return err
		}
		r.Rows = rows(r.Results)
		if err := r.write(b.Out); err != nil {
			return err
		}
	}
	return nil
}

// adopt loads the results that an earlier benchmark stored as JSON next to the results page.
func (r *Report) adopt(page string) error {
	data, err := os.ReadFile(dataOf(page))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	old := &Report{}
	if err == nil {
		err = json.Unmarshal(data, old)
	}
	if err != nil {
		return fmt.Errorf("read the results of the previous benchmark: %w", err)
	}
	if len(old.Results) > 0 {
		r.Results, r.Noisy = old.Results, old.Noisy
	}
	return nil
}

func dataOf(page string) string { return strings.TrimSuffix(page, filepath.Ext(page)) + ".json" }

// compare runs a comparison b.Runs times, and repeats a run if its result for the floor differs too
// much from the median.
func (b *Bench) compare(ctx context.Context, s *stage.Stage, say io.Writer, d comparison, r *Report) error {
	all := d.runs
	if d.floor.key != "" {
		all = append([]run{d.floor}, d.runs...)
	}
	r.Noisy = slices.DeleteFunc(r.Noisy, func(name string) bool { return name == d.name })
	got := map[string][]*scenario.Result{}
	for _, one := range all {
		got[one.key] = make([]*scenario.Result, b.Runs)
	}
	round := func(i int) error {
		for _, one := range all {
			load := loadAverage()
			fmt.Fprintf(say, "%s %d\n", one.key, i+1)
			result, err := one.what.Run(ctx, scenario.Env{Stage: s, Target: one.target, Say: say})
			if err != nil {
				return fmt.Errorf("run %s: %w", one.key, err)
			}
			if err := result.Clean(); err != nil {
				fmt.Fprintf(say, "  not clean: %v\n", err)
			}
			result.Load = load
			got[one.key][i] = result
		}
		return nil
	}
	for i := range b.Runs {
		if err := round(i); err != nil {
			return err
		}
	}
	for range b.Again {
		if d.floor.key == "" {
			break
		}
		noisy := stats.Outlier(values(got[d.floor.key], d.noise), b.Noise)
		if noisy < 0 {
			break
		}
		fmt.Fprintf(say, "%s: the floor of run %d differs from the others; repeating the run\n", d.name, noisy+1)
		if err := round(noisy); err != nil {
			return err
		}
	}
	maps.Copy(r.Results, got)
	if d.floor.key != "" && stats.Outlier(values(got[d.floor.key], d.noise), b.Noise) >= 0 {
		r.Noisy = append(r.Noisy, d.name)
	}
	return nil
}

// latencyPicture is the path to the latency chart, relative to the results page.
const latencyPicture = "images/latency.svg"

// WritePicture writes a picture, and creates its folder if it is missing.
func WritePicture(path string, svg []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write a picture: %w", err)
	}
	if err := os.WriteFile(path, svg, 0o644); err != nil {
		return fmt.Errorf("write a picture: %w", err)
	}
	return nil
}

// write stores the results as JSON and replaces the generated tables in the page. It does not
// change the page's other text.
func (r *Report) write(page string) error {
	if err := os.MkdirAll(filepath.Dir(page), 0o755); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if curves := r.Results["curve"]; len(curves) > 0 {
		if err := WritePicture(filepath.Join(filepath.Dir(page), latencyPicture), scenario.DrawCurves(curves)); err != nil {
			return err
		}
	}
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := os.WriteFile(dataOf(page), append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	old, err := os.ReadFile(page)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("write the report: %w", err)
	}
	text := cmp.Or(string(old), "# Benchmarks\n\n"+begin+"\n"+end+"\n")
	if text, err = splice(text, r.markdown()); err != nil {
		return fmt.Errorf("write %s: %w", page, err)
	}
	if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
