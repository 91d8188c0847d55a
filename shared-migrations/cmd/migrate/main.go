// Command migrate applies the migrations of the Parley database.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"parley.chat/internal/platform/lifecycle"
	"parley.chat/internal/platform/telemetry"
	migrations "parley.chat/shared-migrations"
)

const description = `Applies the migrations of the Parley database.

Examples:
  DATABASE_URL=postgres://localhost/parley migrate up
  migrate status -o json     show which migrations are applied
  migrate down 1             revert the newest migration; its data is lost
  migrate to 7               migrate up or down to version 7
  migrate new add_user_locale

Exit codes: 0 success; 1 failure; 2 invalid usage; 3 (status --check) migrations, roles or
their rights are missing.`

const (
	exitUsage   = 2
	exitPending = 3
)

// exitError is an error that determines the program's exit code.
type exitError struct {
	error
	code int
}

func (e exitError) ExitCode() int { return e.code }
func (e exitError) Unwrap() error { return e.error }

// env contains the context, output, database URL and logger of a command.
type env struct {
	ctx    context.Context
	stdout io.Writer
	url    string
	log    *slog.Logger
}

func (e env) database() (string, error) {
	if e.url == "" {
		return "", exitError{errors.New("DATABASE_URL: must be set, for example to postgres://localhost/parley"), exitUsage}
	}
	return e.url, nil
}

type cli struct {
	Up     upCmd     `cmd:"" help:"Apply the missing migrations, and create missing roles and rights."`
	Down   downCmd   `cmd:"" help:"Revert the newest migrations. Their data is lost."`
	To     toCmd     `cmd:"" help:"Migrate up or down to a version."`
	Status statusCmd `cmd:"" help:"List the migrations and whether they are applied."`
	New    newCmd    `cmd:"" help:"Create the file of a new migration."`
}

type upCmd struct{}

func (upCmd) Run(e env) error {
	url, err := e.database()
	if err != nil {
		return err
	}
	return migrations.Up(e.ctx, url, e.log)
}

type downCmd struct {
	Steps int `arg:"" help:"Number of migrations to revert."`
}

func (c downCmd) Run(e env) error {
	url, err := e.database()
	if err != nil {
		return err
	}
	return migrations.Down(e.ctx, url, c.Steps, e.log)
}

type toCmd struct {
	Version int `arg:"" help:"Target version; 0 is the empty database."`
}

func (c toCmd) Run(e env) error {
	url, err := e.database()
	if err != nil {
		return err
	}
	return migrations.To(e.ctx, url, c.Version, e.log)
}

type statusCmd struct {
	Output string `short:"o" enum:"text,json" default:"text" help:"Output format: text or json."`
	Check  bool   `help:"Exit with code 3 if migrations, roles or their rights are missing."`
}

func (c statusCmd) Run(e env) error {
	url, err := e.database()
	if err != nil {
		return err
	}
	list, err := migrations.Status(e.ctx, url)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		enc := json.NewEncoder(e.stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(list); err != nil {
			return fmt.Errorf("write status: %w", err)
		}
	} else {
		tw := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
		for _, m := range list {
			state := "missing"
			if m.Applied {
				state = "applied"
			}
			fmt.Fprintf(tw, "%s\t%s\n", m.Name, state)
		}
		if err := tw.Flush(); err != nil {
			return fmt.Errorf("write status: %w", err)
		}
	}
	if c.Check && len(list) > 0 && !list[len(list)-1].Applied {
		return exitError{errors.New("migrations are missing"), exitPending}
	}
	if c.Check {
		err = migrations.CheckRights(e.ctx, url)
		if errors.Is(err, migrations.ErrRights) {
			return exitError{err, exitPending}
		}
	}
	return err
}

type newCmd struct {
	Name string `arg:"" help:"Verb and object, such as add_user_locale."`
	Dir  string `help:"Directory of the migrations. Default: migrations or shared-migrations/migrations." placeholder:"DIR"`
}

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)+$`)

func (c newCmd) Run(e env) error {
	if !nameForm.MatchString(c.Name) {
		return exitError{fmt.Errorf("%q is not a name such as add_user_locale", c.Name), exitUsage}
	}
	dirs := []string{c.Dir}
	if c.Dir == "" {
		dirs = []string{"migrations", filepath.Join("shared-migrations", "migrations")}
	}
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			path, err := create(dir, c.Name)
			if err == nil {
				fmt.Fprintln(e.stdout, path)
			}
			return err
		}
	}
	return fmt.Errorf("found none of the directories %v; run migrate in the source tree or use --dir", dirs)
}

// create creates a migration file with the next free number and returns its path.
func create(dir, name string) (string, error) {
	existing, err := filepath.Glob(filepath.Join(dir, "[0-9]*_*.sql"))
	if err != nil {
		return "", fmt.Errorf("list migrations: %w", err)
	}
	path := filepath.Join(dir, fmt.Sprintf("%03d_%s.sql", len(existing)+1, name))
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return "", fmt.Errorf("create migration: %w", err)
	}
	_, err = file.WriteString("\n---- create above / drop below ----\n\n")
	return path, errors.Join(err, file.Close())
}

func main() {
	lifecycle.Main(func(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) error {
		return run(ctx, args, getenv, os.Stdout, stderr)
	})
}

// run implements main in a form that tests can call.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	var c cli
	helped := false
	parser, err := kong.New(&c, kong.Name("migrate"), kong.Description(description), kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helped = true }), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		return fmt.Errorf("define the command line: %w", err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if helped {
		return nil
	}
	if err != nil {
		return exitError{fmt.Errorf("%w (see migrate --help)", err), exitUsage}
	}
	return parsed.Run(env{
		ctx: ctx, stdout: stdout, url: getenv("DATABASE_URL"),
		log: telemetry.NewLogger(stderr, "migrate", slog.LevelInfo),
	})
}
