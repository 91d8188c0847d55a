package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"parley.chat/internal/platform/config"
	"parley.chat/internal/platform/gctune"
	"parley.chat/internal/platform/redisclient"
	"parley.chat/internal/platform/telemetry"
	syncservice "parley.chat/sync-service"
)

// commands are the program's. Their methods get what run has bound.
type commands struct {
	Run     runCommand     `cmd:"" default:"1" help:"Store events until told to stop (the default)."`
	Status  statusCommand  `cmd:"" help:"Show how far each partition has come: length, lag, pending, consumers, watermark, memory."`
	Backlog backlogCommand `cmd:"" help:"Show what waits to be stored, by channel and by age."`
	Replay  replayCommand  `cmd:"" help:"Store again what the streams retain, after PostgreSQL was restored from a backup."`
	Verify  verifyCommand  `cmd:"" help:"Check on the live system that every acknowledged event is stored."`
	Dead    struct {
		List  deadListCommand  `cmd:"" help:"List the dead letters: events that could not be stored."`
		Show  deadShowCommand  `cmd:"" help:"Show dead letters whole, payload included."`
		Retry deadRetryCommand `cmd:"" help:"Store dead letters now, in the place of their tombstones."`
		Drop  deadDropCommand  `cmd:"" help:"Give dead letters up; their tombstones stay for good."`
	} `cmd:"" help:"List, show, retry or drop what could not be stored."`
	Tail            tailCommand            `cmd:"" help:"Follow live events."`
	Trim            trimCommand            `cmd:"" help:"Remove from the streams what is stored and may go, as the service does by itself."`
	Repair          repairCommand          `cmd:"" help:"Put right what a failover or a loss of writes leaves behind: groups, counters, events."`
	RebuildCounters rebuildCountersCommand `cmd:"" help:"Raise the counters of the channels to what PostgreSQL, streams and tails know, after Redis has lost writes."`
}

type (
	runCommand    struct{}
	statusCommand struct{ output }
	// output is how a command prints its result.
	output struct {
		Output string `short:"o" enum:"table,json" default:"table" help:"table or json."`
	}
)

// env is what a command works with.
type env struct {
	ctx            context.Context
	getenv         func(string) string
	cfg            syncservice.Config
	stdout, stderr io.Writer
}

const exitCodes = `
Exit codes:

  0  done; verify: clean
  1  failed; verify: it has found problems; repair: something is left; dead retry: some letters stay
  2  the command line or a setting is wrong; verify, repair: could not check
  3  interrupted; it says how to go on
`

// codedError chooses the exit code.
type codedError struct {
	error
	code int
}

func (e codedError) ExitCode() int { return e.code }
func (e codedError) Unwrap() error { return e.error }

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
	e := &env{ctx: ctx, getenv: getenv, stdout: stdout, stderr: stderr}
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
	fmt.Fprint(ctx.Stdout, exitCodes+"\nSettings are environment variables:\n\n")
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

// collector is how much garbage the service gathers. Little lives beside the entries in hand, and decoding
// them leaves several times their size behind.
var collector = gctune.Policy{Percent: 100, Room: 64 << 20}

// Run is the service itself.
func (runCommand) Run(e *env) error {
	if e.getenv("GOGC") == "" {
		collector.Keep()
	}
	log := telemetry.NewLogger(e.stderr, "sync-service", e.cfg.LogLevel)
	e.cfg.RedisURL = redisclient.Discover(e.ctx, e.cfg.RedisURL)
	s, err := syncservice.New(e.cfg, log, telemetry.NewRegistry("sync-service"))
	if err == nil {
		err = s.Run(e.ctx)
	}
	if errors.Is(err, redisclient.ErrCluster) && e.ctx.Err() == nil {
		e.cfg.RedisURL = redisclient.AsCluster(e.cfg.RedisURL)
		return runCommand{}.Run(e)
	}
	return err
}
