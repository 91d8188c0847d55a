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
	"parley.chat/internal/platform/telemetry"
	syncservice "parley.chat/sync-service"
)

// commands defines the program's commands. Kong calls their Run methods with the env that run
// creates.
type commands struct {
	Run     runCommand     `cmd:"" default:"1" help:"Store events until the process is stopped (the default)."`
	Status  statusCommand  `cmd:"" help:"Show the progress of each partition: length, lag, pending entries, consumers, watermark, memory."`
	Backlog backlogCommand `cmd:"" help:"Show the entries that are not stored yet, by channel and by age."`
	Replay  replayCommand  `cmd:"" help:"Store the entries that the streams still contain again, after PostgreSQL was restored from a backup."`
	Verify  verifyCommand  `cmd:"" help:"Check, on the live system, that every acknowledged event is stored."`
	Dead    struct {
		List  deadListCommand  `cmd:"" help:"List the dead letters: events that could not be stored."`
		Show  deadShowCommand  `cmd:"" help:"Show dead letters in full, including the payload."`
		Retry deadRetryCommand `cmd:"" help:"Try again to store dead letters; each replaces its tombstone."`
		Drop  deadDropCommand  `cmd:"" help:"Discard dead letters; their tombstones stay permanently."`
	} `cmd:"" help:"List, show, retry or drop events that could not be stored."`
	Tail            tailCommand            `cmd:"" help:"Follow live events."`
	Trim            trimCommand            `cmd:"" help:"Trim stored entries that are past their retention, as the service does by itself."`
	Repair          repairCommand          `cmd:"" help:"Repair the damage of a failover or of lost writes: consumer groups, counters, events."`
	RebuildCounters rebuildCountersCommand `cmd:"" help:"Raise the channel counters to the highest seq in PostgreSQL, streams and tails, after Redis has lost writes."`
}

type (
	runCommand    struct{}
	statusCommand struct{ output }
	// output is the flag that selects the format in which a command prints its result.
	output struct {
		Output string `short:"o" enum:"table,json" default:"table" help:"Output format: table or json."`
	}
)

// env holds the context, the settings and the output streams of a command.
type env struct {
	ctx            context.Context
	getenv         func(string) string
	cfg            syncservice.Config
	stdout, stderr io.Writer
}

const exitCodes = `
Exit codes:

  0  success; verify: no problems found
  1  failure; verify: problems found; repair: problems remain; dead retry: some dead letters remain
  2  invalid command line or setting; verify, repair: could not check
  3  interrupted; the message says how to resume
`

// codedError is an error that determines the program's exit code.
type codedError struct {
	error
	code int
}

func (e codedError) ExitCode() int { return e.code }
func (e codedError) Unwrap() error { return e.error }

// usageError is an error in the command line or the settings. The program exits with code 2.
type usageError struct{ error }

func (usageError) ExitCode() int { return 2 }

// errHelp is the panic value that replaces kong's call to os.Exit after kong has printed the help.
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
		&cmds, kong.Name("sync-service"), kong.Description("Stores the events that the gateways append to Redis in PostgreSQL."),
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

// help prints kong's help, followed by the exit codes and the environment variables.
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

// gcPolicy tunes the garbage collector. The service has little live memory apart from the entries
// that it is storing. Decoding an entry, however, creates garbage of several times the entry's
// size.
var gcPolicy = gctune.Policy{Percent: 100, Room: 64 << 20}

// Run runs the service.
func (runCommand) Run(e *env) error {
	if e.getenv("GOGC") == "" {
		gcPolicy.Keep()
	}
	log := telemetry.NewLogger(e.stderr, "sync-service", e.cfg.LogLevel)
	return syncservice.Run(e.ctx, e.cfg, log)
}
