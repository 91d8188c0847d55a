package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"parley.chat/internal/config"
	"parley.chat/internal/telemetry"
	syncservice "parley.chat/sync-service"
)

// commands are the program's. Their methods get what run has bound.
type commands struct {
	Run    runCommand    `cmd:"" default:"1" help:"Store events until told to stop (the default)."`
	Status statusCommand `cmd:"" help:"Show how far each partition has come: length, lag, pending, consumers, watermark."`
}

type (
	runCommand    struct{}
	statusCommand struct {
		Output string `short:"o" enum:"table,json" default:"table" help:"table or json."`
	}
)

// env is what a command works with.
type env struct {
	ctx            context.Context
	cfg            syncservice.Config
	stdout, stderr io.Writer
}

// usageError makes the exit code 2, as for any command that was asked for wrongly.
type usageError struct{ error }

func (usageError) ExitCode() int { return 2 }

// errHelp unwinds kong, which would exit after it has printed the help.
var errHelp = errors.New("help printed")

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) (err error) {
	defer func() {
		r := recover()
		if e, ok := r.(error); r != nil && (!ok || !errors.Is(e, errHelp)) {
			panic(r)
		}
	}()
	var cmds commands
	parser, err := kong.New(
		&cmds, kong.Name("sync-service"), kong.Description("Stores in PostgreSQL what the gateways append to Redis."),
		kong.Writers(stdout, stderr), kong.Exit(func(int) { panic(errHelp) }), kong.Help(help),
	)
	if err != nil {
		return fmt.Errorf("command line: %w", err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return usageError{err}
	}
	e := &env{ctx: ctx, stdout: stdout, stderr: stderr}
	if err := config.Load(&e.cfg, getenv); err != nil {
		return usageError{err}
	}
	return parsed.Run(e)
}

// help adds the variables to kong's help.
func help(o kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(o, ctx); err != nil {
		return err
	}
	fmt.Fprint(ctx.Stdout, "\nSettings are environment variables:\n\n")
	w := tabwriter.NewWriter(ctx.Stdout, 0, 0, 2, ' ', 0)
	for _, v := range config.Vars(syncservice.Config{}) {
		desc := v.Desc
		if v.Default != "" {
			desc += " (default " + v.Default + ")"
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", v.Name, v.Type, desc)
	}
	return w.Flush()
}

// Run is the service itself.
func (runCommand) Run(e *env) error {
	log := telemetry.NewLogger(e.stderr, "sync-service", e.cfg.LogLevel)
	s, err := syncservice.New(e.cfg, log, telemetry.NewRegistry("sync-service"))
	if err != nil {
		return err
	}
	return s.Run(e.ctx)
}

// Run prints the state of the partitions.
func (c statusCommand) Run(e *env) error {
	states, err := syncservice.Status(e.ctx, e.cfg)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		enc := json.NewEncoder(e.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(map[string]any{"partitions": states})
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "partition\tlength\tlag\tpending\toldest pending\tbehind s\tdead\twatermark\tconsumers\t")
	for _, s := range states {
		lag, oldest, names := "?", "-", make([]string, 0, len(s.Consumers))
		if s.Lag != nil {
			lag = fmt.Sprint(*s.Lag)
		}
		if s.OldestPending != nil {
			oldest = *s.OldestPending
		}
		for _, m := range s.Consumers {
			names = append(names, fmt.Sprintf("%s (%d)", m.Name, m.Pending))
		}
		fmt.Fprintf(w, "%d\t%d\t%s\t%d\t%s\t%.1f\t%d\t%s\t%s\t\n", s.Partition, s.Length, lag, s.Pending, oldest,
			s.LagSeconds, s.Dead, s.Watermark, strings.Join(names, ", "))
	}
	return w.Flush()
}
