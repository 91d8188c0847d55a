// Command demo plays a conversation of a thousand messages between two users of a Parley instance.
// It compares the sent messages with the messages that each user received, the history, and the
// rows in PostgreSQL.
//
// It uses the instance at PARLEY_URL. If this is not set and no instance is running at the default
// URL, it starts a private instance in a temporary folder, which it removes at the end.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"parley.chat/internal/platform/lifecycle"
)

const (
	defaultURL   = "http://127.0.0.1:8080"
	defaultCount = 1000
)

func main() {
	lifecycle.Main(func(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) error {
		return run(ctx, args, getenv, os.Stdout, stderr)
	})
}

// options holds the settings from the command line and the environment.
type options struct {
	url         string
	explicit    bool // the URL was set, so do not fall back to a private instance
	own         bool
	count       int
	databaseURL string
}

func parse(args []string, getenv func(string) string, stderr io.Writer) (options, error) {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var o options
	flags.StringVar(&o.url, "url", getenv("PARLEY_URL"), "the instance to talk to, also PARLEY_URL (default "+defaultURL+" if it answers, else a private instance)")
	flags.BoolVar(&o.own, "own", false, "start a private instance even if another one is running")
	flags.IntVar(&o.count, "n", defaultCount, "number of messages")
	flags.StringVar(&o.databaseURL, "database", getenv("DATABASE_URL"), "PostgreSQL of the instance, to compare its rows, too; also DATABASE_URL")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 || o.count < 1 {
		return o, fmt.Errorf("want no arguments and a positive -n, got %q and %d; see -h", flags.Args(), o.count)
	}
	o.explicit = o.url != ""
	o.url = strings.TrimSuffix(cmp.Or(o.url, defaultURL), "/")
	return o, nil
}

// run runs the program.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	o, err := parse(args, getenv, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	begun := time.Now()
	err = answers(ctx, o.url)
	switch {
	case o.own, err != nil && !o.explicit:
		err = withOwn(ctx, getenv, stderr, func(ctx context.Context, url, databaseURL string) error {
			fmt.Fprintf(stdout, "Parley demo on a private instance, %s (started in %s)\n", url, seconds(time.Since(begun)))
			return play(ctx, url, databaseURL, o.count, stdout)
		})
	case err == nil:
		fmt.Fprintf(stdout, "Parley demo on the instance at %s\n", o.url)
		err = play(ctx, o.url, o.databaseURL, o.count, stdout)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Done in %s.\n", seconds(time.Since(begun)))
	return nil
}

// play runs the demo on a running instance. databaseURL may be empty.
func play(ctx context.Context, url, databaseURL string, count int, out io.Writer) error {
	script, err := readScript(count)
	if err != nil {
		return err
	}
	lap := time.Now()
	step := func(format string, args ...any) {
		fmt.Fprintf(out, "  %-70s %8s\n", fmt.Sprintf(format, args...), seconds(time.Since(lap)))
		lap = time.Now()
	}
	suffix := strings.ToLower(rand.Text()[:6])
	ada, grace := newActor(url, "ada-"+suffix), newActor(url, "grace-"+suffix)
	for _, a := range []*actor{ada, grace} {
		if err := a.signUp(ctx); err != nil {
			return err
		}
	}
	step("%s and %s signed up", ada.name, grace.name)
	channel, err := ada.createChannel(ctx, "tea-"+suffix)
	if err != nil {
		return err
	}
	if err := grace.join(ctx, channel); err != nil {
		return err
	}
	step("tea-%s created, joined by its UUID", suffix)

	st := newStage(ada, grace, channel, out)
	defer st.close()
	if err := st.open(ctx); err != nil {
		return err
	}
	step("both connected by WebSocket")
	if note := st.pace(len(script)); note != "" {
		fmt.Fprintln(out, note)
	}
	said, err := st.perform(ctx, script)
	if err != nil {
		return err
	}
	took := time.Since(lap)
	step("%s messages sent, %.0f/s; received after %s (median), %s (p99)", thousands(len(said)),
		float64(len(said))/took.Seconds(), millis(st.latency(0.5)), millis(st.latency(0.99)))

	reports := []report{{"sent and acknowledged", said, nil}, {ada.name + " received", ada.heard, ada.hole}, {grace.name + " received", grace.heard, grace.hole}}
	history, err := grace.history(ctx, channel)
	if err != nil {
		return err
	}
	reports = append(reports, report{"history, in pages", history, nil})
	step("history read back")
	if databaseURL != "" {
		rows, err := stored(ctx, databaseURL, channel, len(said))
		if err != nil {
			return err
		}
		reports = append(reports, report{"rows in PostgreSQL", rows, nil})
		step("PostgreSQL read")
	}
	return compare(out, reports)
}
