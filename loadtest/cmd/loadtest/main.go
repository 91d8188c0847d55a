// Command loadtest measures Parley's performance. It starts the programs to be measured, generates
// load, and reports the results. See docs/benchmarks.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"parley.chat/loadtest/internal/report"
	"parley.chat/loadtest/internal/scenario"
	"parley.chat/loadtest/internal/stage"
)

// common contains the flags of all commands.
type common struct {
	Bin  string `env:"PARLEY_BIN_DIR" type:"existingdir" help:"Folder that contains ws-server, sync-service and chat-service. If unset, they are built from the workspace."`
	Logs bool   `help:"Show the output of the processes."`
}

// runFlags contains the flags of a command that runs one scenario.
type runFlags struct {
	Target string `default:"parley" enum:"parley,bare" help:"Target: parley, or bare (the floor)."`
	Runs   int    `default:"1" help:"Number of runs."`
}

// restFlags is the counterpart of runFlags for the REST scenarios.
type restFlags struct {
	Target string `default:"parley" enum:"parley,rest" help:"Target: parley, or rest (the floor)."`
	Runs   int    `default:"1" help:"Number of runs."`
}

// drainFlags is the counterpart of runFlags for the drain scenario.
type drainFlags struct {
	Target string `default:"parley" enum:"parley,copy" help:"Target: parley, or copy (the floor)."`
	Runs   int    `default:"1" help:"Number of runs."`
}

// pictureFlags contains the flags of a scenario that runs once and can draw a picture.
type pictureFlags struct {
	SVG string `name:"svg" help:"File for a picture of the result."`
}

type cli struct {
	common

	Idle struct {
		runFlags
		scenario.Idle
	} `cmd:"" help:"Idle connections: their memory."`
	Fanout struct {
		runFlags
		scenario.Fanout
	} `cmd:"" help:"One large channel: CPU per delivery, latency, highest sustained rate."`
	ManyChannels struct {
		runFlags
		scenario.ManyChannels
	} `cmd:"" help:"Many small channels: CPU per delivery, latency."`
	Ingest struct {
		runFlags
		scenario.Ingest
	} `cmd:"" help:"Publishers that send as fast as acks allow."`
	Pipeline struct {
		runFlags
		scenario.Pipeline
	} `cmd:"" help:"All services together: publishers, receipts and sync-service, down to the rows."`
	Mixed struct {
		runFlags
		scenario.Mixed
	} `cmd:"" help:"A large company at work: few users send, all read, some reconnect."`
	Drain struct {
		drainFlags
		scenario.Drain
	} `cmd:"" help:"A backlog in Redis that sync-services store."`
	Curve struct {
		pictureFlags
		scenario.Curve
	} `cmd:"" help:"Latency against load: fan-out and ingest at fractions of their highest rates."`
	Table struct {
		pictureFlags
		scenario.Table
	} `cmd:"" help:"Insert rate and pages of history against the size of the table messages, plain and partitioned."`
	Script struct {
		runFlags
		scenario.AppendScript
	} `cmd:"" help:"The floor of ingest: only the append script."`
	Storm struct {
		runFlags
		scenario.Storm
	} `cmd:"" help:"Clients that all reconnect at the same time and resume."`
	History struct {
		restFlags
		scenario.History
	} `cmd:"" help:"REST: pages of history per second."`
	Channels struct {
		restFlags
		scenario.Channels
	} `cmd:"" help:"REST: lists of channels per second."`
	K6    scenario.K6  `cmd:"" name:"k6" help:"Run a k6 script against all of Parley."`
	Bench report.Bench `cmd:"" help:"Run all scenarios and their floors, and write the tables of docs/benchmarks.md."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "loadtest:", err)
		os.Exit(1)
	}
}

// run implements main in a form that tests can call. It writes the results to stdout, one JSON
// object per line, and the progress to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var c cli
	parser, err := kong.New(&c, kong.Name("loadtest"), kong.Description("Measures Parley. Everything runs on this machine, over loopback."), kong.UsageOnError())
	if err != nil {
		return fmt.Errorf("define the flags: %w", err)
	}
	command, err := parser.Parse(args)
	if err != nil {
		return err
	}
	return c.onStage(ctx, stderr, func(s *stage.Stage) error {
		switch command.Command() {
		case "bench":
			return c.Bench.Run(ctx, s, stderr)
		case "k6 <script>":
			return c.K6.Run(ctx, s, stdout)
		}
		one, what := c.chosen(command.Command())
		draw := c.picture(command.Command())
		for range one.Runs {
			r, err := what.Run(ctx, scenario.Env{Stage: s, Target: one.Target, Say: stderr})
			if r != nil {
				err = errors.Join(err, json.NewEncoder(stdout).Encode(r))
			}
			if err != nil {
				return err
			}
			if err := r.Clean(); err != nil {
				fmt.Fprintln(stderr, "not clean:", err)
			}
			if err := draw(r); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *cli) chosen(command string) (runFlags, scenario.Scenario) {
	switch command {
	case "idle":
		return c.Idle.runFlags, &c.Idle.Idle
	case "fanout":
		return c.Fanout.runFlags, &c.Fanout.Fanout
	case "many-channels":
		return c.ManyChannels.runFlags, &c.ManyChannels.ManyChannels
	case "ingest":
		return c.Ingest.runFlags, &c.Ingest.Ingest
	case "pipeline":
		return c.Pipeline.runFlags, &c.Pipeline.Pipeline
	case "mixed":
		return c.Mixed.runFlags, &c.Mixed.Mixed
	case "drain":
		return runFlags(c.Drain.drainFlags), &c.Drain.Drain
	case "curve":
		return runFlags{Target: scenario.Parley, Runs: 1}, &c.Curve.Curve
	case "table":
		return runFlags{Target: scenario.Parley, Runs: 1}, &c.Table.Table
	case "script":
		return c.Script.runFlags, &c.Script.AppendScript
	case "history":
		return runFlags(c.History.restFlags), &c.History.History
	case "channels":
		return runFlags(c.Channels.restFlags), &c.Channels.Channels
	}
	return c.Storm.runFlags, &c.Storm.Storm
}

// picture returns a function that draws a command's result. If the flags do not request a picture,
// the function does nothing.
func (c *cli) picture(command string) func(*scenario.Result) error {
	switch {
	case command == "curve" && c.Curve.SVG != "":
		return func(r *scenario.Result) error {
			return report.WritePicture(c.Curve.SVG, scenario.DrawCurves([]*scenario.Result{r}))
		}
	case command == "table" && c.Table.SVG != "":
		return func(r *scenario.Result) error { return report.WritePicture(c.Table.SVG, scenario.DrawTable(r)) }
	}
	return func(*scenario.Result) error { return nil }
}

// onStage builds the programs to be measured and opens a stage, which runs them with a private
// PostgreSQL and Redis. It calls do with the stage, and then closes it.
func (c *cli) onStage(ctx context.Context, stderr io.Writer, do func(*stage.Stage) error) (err error) {
	dir, err := os.MkdirTemp("", "parley-load-bin-")
	if err != nil {
		return fmt.Errorf("create a folder for the programs: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	programs, err := stage.Build(ctx, dir, c.Bin)
	if err != nil {
		return err
	}
	log := io.Discard
	if c.Logs {
		log = stderr
	}
	s, err := stage.Open(ctx, programs, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return do(s)
}
