// Command loadtest measures Parley: it starts what it measures, loads it, and says what came of it. See
// docs/benchmarks.md.
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

// common is what every command takes.
type common struct {
	Bin  string `env:"PARLEY_BIN_DIR" type:"existingdir" help:"Folder with ws-server, sync-service and chat-service. Without it they are built from the workspace."`
	Logs bool   `help:"Show what the processes say."`
}

// single is what the command of one scenario takes.
type single struct {
	Target string `default:"parley" enum:"parley,bare" help:"What is measured: parley or bare, the floor."`
	Runs   int    `default:"1" help:"How many times."`
}

// reading is single for the REST scenarios.
type reading struct {
	Target string `default:"parley" enum:"parley,rest" help:"What is measured: parley or rest, the floor."`
	Runs   int    `default:"1" help:"How many times."`
}

type cli struct {
	common

	Idle struct {
		single
		scenario.Idle
	} `cmd:"" help:"Connections that do nothing: their memory."`
	Fanout struct {
		single
		scenario.Fanout
	} `cmd:"" help:"One large channel: CPU per delivery, latency, the highest sustained rate."`
	ManyChannels struct {
		single
		scenario.ManyChannels
	} `cmd:"" help:"Many small channels: CPU per delivery, latency."`
	Ingest struct {
		single
		scenario.Ingest
	} `cmd:"" help:"Publishers as fast as acks allow."`
	Script struct {
		single
		scenario.AppendScript
	} `cmd:"" help:"The floor of ingest: the append script alone."`
	Storm struct {
		single
		scenario.Storm
	} `cmd:"" help:"Clients that come back at once and recover what they lack."`
	History struct {
		reading
		scenario.History
	} `cmd:"" help:"REST: pages of history per second."`
	Channels struct {
		reading
		scenario.Channels
	} `cmd:"" help:"REST: lists of channels per second."`
	Bench report.Bench `cmd:"" help:"All scenarios beside their floors; writes the tables of docs/benchmarks.md."`
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

// run is main for a test. Results go to stdout as JSON, one a line; progress goes to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var c cli
	parser, err := kong.New(&c, kong.Name("loadtest"), kong.Description("Measure Parley. Everything runs on this machine, over loopback."), kong.UsageOnError())
	if err != nil {
		return fmt.Errorf("read the flags: %w", err)
	}
	command, err := parser.Parse(args)
	if err != nil {
		return err
	}
	return c.onStage(ctx, stderr, func(s *stage.Stage) error {
		if command.Command() == "bench" {
			return c.Bench.Run(ctx, s, stderr)
		}
		one, what := c.chosen(command.Command())
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
		}
		return nil
	})
}

func (c *cli) chosen(command string) (single, scenario.Scenario) {
	switch command {
	case "idle":
		return c.Idle.single, &c.Idle.Idle
	case "fanout":
		return c.Fanout.single, &c.Fanout.Fanout
	case "many-channels":
		return c.ManyChannels.single, &c.ManyChannels.ManyChannels
	case "ingest":
		return c.Ingest.single, &c.Ingest.Ingest
	case "script":
		return c.Script.single, &c.Script.AppendScript
	case "history":
		return single(c.History.reading), &c.History.History
	case "channels":
		return single(c.Channels.reading), &c.Channels.Channels
	}
	return c.Storm.single, &c.Storm.Storm
}

// onStage builds what is measured, opens a stage, and closes it in the end.
func (c *cli) onStage(ctx context.Context, stderr io.Writer, do func(*stage.Stage) error) (err error) {
	dir, err := os.MkdirTemp("", "parley-load-bin-")
	if err != nil {
		return fmt.Errorf("make a folder for the programs: %w", err)
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
