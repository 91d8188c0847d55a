package main

import (
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
	syncservice "parley.chat/sync-service"
	"parley.chat/sync-service/internal/deadletter"
	"parley.chat/sync-service/internal/entryid"
	"parley.chat/sync-service/internal/group"
	"parley.chat/sync-service/internal/scan"
)

// deadLetterFilter selects dead letters.
type deadLetterFilter struct {
	IDs     []deadLetterName `arg:"" optional:"" name:"letter" help:"Dead letters, named <partition>/<id> as in dead list."`
	Channel *chat.ChannelID  `help:"Only dead letters of this channel."`
	Reason  string           `help:"Only dead letters whose reason contains this text."`
	Since   *moment          `help:"Only dead letters created at this time or later; UTC unless a zone is given."`
	Until   *moment          `help:"Only dead letters created before this time; UTC unless a zone is given."`
}

// Validate is called by kong, which reports a returned error as an invalid command line.
func (f deadLetterFilter) Validate() error { return checkSpan(f.Since, f.Until) }

func (f deadLetterFilter) filter() deadletter.Filter {
	d := deadletter.Filter{Channel: f.Channel, Reason: f.Reason}
	for _, id := range f.IDs {
		d.IDs = append(d.IDs, id.String())
	}
	if f.Since != nil {
		d.Since = f.Since.Time
	}
	if f.Until != nil {
		d.Until = f.Until.Time
	}
	return d
}

func (f deadLetterFilter) empty() bool {
	return len(f.IDs) == 0 && f.Channel == nil && f.Reason == "" && f.Since == nil && f.Until == nil
}

type (
	deadListCommand struct {
		output
		deadLetterFilter
	}
	deadShowCommand struct {
		output
		deadLetterFilter
	}
	deadRetryCommand struct {
		output
		deadLetterFilter
		All bool `help:"All dead letters."`
	}
	deadDropCommand struct {
		output
		deadLetterFilter
		All bool `help:"All dead letters."`
	}
)

// deadLetter is a dead letter in the form that the commands print.
type deadLetter struct {
	Letter   string         `json:"letter"`
	Entry    string         `json:"entry_id"`
	Channel  chat.ChannelID `json:"channel_id"`
	Seq      int64          `json:"seq"`
	Kind     string         `json:"kind"`
	EventID  chat.EventID   `json:"event_id"`
	Sender   chat.UserID    `json:"sender_id"`
	Reason   string         `json:"reason"`
	Attempts int64          `json:"attempts"`
	At       string         `json:"at"`
	Fields   map[string]any `json:"fields,omitempty"`
}

func printable(l deadletter.Letter) deadLetter {
	if l.Source == deadletter.Receipts {
		l.Event.Kind = event.KindReceipts // an entry of a receipts stream contains no event, so no kind was decoded
	}
	return deadLetter{
		Letter: l.Name(), Entry: l.Entry, Channel: l.Event.Channel, Seq: l.Event.Seq, Kind: string(l.Event.Kind),
		EventID: l.Event.ID, Sender: l.Event.Sender, Reason: l.Reason, Attempts: l.Attempts, At: l.At.Format("2006-01-02T15:04:05.000Z"),
	}
}

// letters returns the dead letters that f selects. It returns an error if f.IDs names a dead letter
// that does not exist.
func (f deadLetterFilter) letters(e *env, t *syncservice.Tools) ([]deadletter.Letter, error) {
	for _, id := range f.IDs {
		if err := checkPartitions([]int{id.partition}, e.cfg.Partitions); err != nil {
			return nil, usageError{fmt.Errorf("dead letter %s: %w", id, err)}
		}
	}
	list, err := deadletter.List(e.ctx, t.Redis, e.cfg.Partitions, f.filter())
	if err != nil {
		return nil, err
	}
	for _, id := range f.IDs {
		if !slices.ContainsFunc(list, func(l deadletter.Letter) bool { return l.Name() == id.String() }) {
			return nil, fmt.Errorf("there is no dead letter %s that matches", id)
		}
	}
	return list, nil
}

// Help implements kong.HelpProvider.
func (deadListCommand) Help() string {
	return `Examples:

  sync-service dead list
  sync-service dead list --reason SQLSTATE --since 24h -o json
`
}

// Run lists dead letters.
func (c deadListCommand) Run(e *env) error {
	return e.withTools(func(t *syncservice.Tools) error {
		list, err := c.letters(e, t)
		if err != nil {
			return err
		}
		printed := make([]deadLetter, len(list))
		for i, l := range list {
			printed[i] = printable(l)
		}
		return c.print(e.stdout, map[string]any{"letters": printed}, func(w *tabwriter.Writer) {
			fmt.Fprintln(w, "letter\tchannel\tseq\tkind\tattempts\tcreated\treason\t")
			for _, l := range printed {
				fmt.Fprintf(w, "%s\t%s\t%d\t%.20q\t%d\t%s\t%.80q\t\n", l.Letter, l.Channel, l.Seq, l.Kind, l.Attempts, l.At, l.Reason)
			}
		})
	})
}

// Help implements kong.HelpProvider.
func (deadShowCommand) Help() string {
	return `Also shows what people wrote.

Examples:

  sync-service dead show 3/1769828400000-0
  sync-service dead show --channel 6e1d0d6e-3a55-4f0e-8a3e-0d9b1f6f0001 -o json
`
}

// Run shows dead letters in full.
func (c deadShowCommand) Run(e *env) error {
	return e.withTools(func(t *syncservice.Tools) error {
		list, err := c.letters(e, t)
		if err != nil {
			return err
		}
		printed := make([]deadLetter, len(list))
		for i, l := range list {
			printed[i] = printable(l)
			printed[i].Fields = l.Fields
		}
		return c.print(e.stdout, map[string]any{"letters": printed}, func(w *tabwriter.Writer) {
			for _, l := range printed {
				fmt.Fprintf(w, "letter\t%s\nentry\t%s\ncreated\t%s\nattempts\t%d\nreason\t%q\n", l.Letter, l.Entry, l.At, l.Attempts, l.Reason)
				for name, value := range l.Fields {
					fmt.Fprintf(w, "%.40q\t%q\n", name, value)
				}
				fmt.Fprintln(w)
			}
		})
	})
}

// outcome is the result of retrying or dropping one dead letter.
type outcome struct {
	Letter string `json:"letter"`
	Done   bool   `json:"done"`
	Err    string `json:"err,omitempty"`
}

// each calls do with each selected dead letter and prints the outcomes.
func (f deadLetterFilter) each(e *env, o output, all bool, done string, do func(*syncservice.Tools, deadletter.Letter) error) error {
	if f.empty() && !all {
		return usageError{errors.New("specify which dead letters, or --all")}
	}
	return e.withTools(func(t *syncservice.Tools) error {
		list, err := f.letters(e, t)
		if err != nil {
			return err
		}
		outcomes, stay := make([]outcome, 0, len(list)), 0
		b := newProgressBar(e.stderr)
		for i, l := range list {
			err := do(t, l)
			if err != nil && !errors.Is(err, deadletter.ErrRemains) {
				b.end()
				return err
			}
			out := outcome{Letter: l.Name(), Done: err == nil}
			if err != nil {
				stay++
				out.Err = err.Error()
			}
			outcomes = append(outcomes, out)
			b.set("letters", int64(i+1), float64(i+1)/float64(len(list)))
		}
		b.end()
		if err := o.print(e.stdout, map[string]any{"letters": outcomes}, func(w *tabwriter.Writer) {
			fmt.Fprintf(w, "%d %s, %d remain\n", len(list)-stay, done, stay)
			for _, out := range outcomes {
				if !out.Done {
					fmt.Fprintf(w, "%s\t%.200q\n", out.Letter, out.Err)
				}
			}
		}); err != nil {
			return err
		}
		if stay > 0 {
			return codedError{fmt.Errorf("%d dead letters remain", stay), 1}
		}
		return nil
	})
}

// Help implements kong.HelpProvider.
func (deadRetryCommand) Help() string {
	return `Stores each event under the seq with which it was acknowledged, in place of its tombstone, and removes the
dead letter. Nothing is published, because the seq is old and connected clients have already received the
tombstone. Clients see the event when they read the history again. If an event still cannot be stored, its
dead letter remains and the exit code is 1. Retrying a dead letter with receipts raises the stored receipts.
If a bug in sync-service created the dead letters, upgrade it and then retry.

Examples:

  sync-service dead retry 3/1769828400000-0
  sync-service dead retry --reason "SQLSTATE 54000"
  sync-service dead retry --all -o json
`
}

// Run retries dead letters.
func (c deadRetryCommand) Run(e *env) error {
	return c.each(e, c.output, c.All, "stored", func(t *syncservice.Tools, l deadletter.Letter) error {
		return deadletter.Retry(e.ctx, t.Redis, t.Store, e.cfg.Partitions, l)
	})
}

// Help implements kong.HelpProvider.
func (deadDropCommand) Help() string {
	return `Removes the dead letters permanently. Nothing replaces their tombstones any more.

Examples:

  sync-service dead drop 3/1769828400000-0
  sync-service dead drop --reason "decode event" --until 720h
`
}

// Run drops dead letters.
func (c deadDropCommand) Run(e *env) error {
	return c.each(e, c.output, c.All, "dropped", func(t *syncservice.Tools, l deadletter.Letter) error {
		return deadletter.Drop(e.ctx, t.Redis, t.Store, l)
	})
}

type trimCommand struct {
	output
	DryRun bool `help:"Only show what would be trimmed."`
}

// Help implements kong.HelpProvider.
func (trimCommand) Help() string {
	return `Removes only stored entries: those older than STREAM_RETENTION, or any of them while Redis uses more memory
than REDIS_TRIM_AT. The service does the same every ten seconds.

Examples:

  sync-service trim --dry-run
  STREAM_RETENTION=1h sync-service trim
`
}

// trimmed describes what was trimmed from a partition or, in a dry run, what would be trimmed.
type trimmed struct {
	Partition int    `json:"partition"`
	Entries   int64  `json:"entries"`
	Below     string `json:"below"` // an entry id; only older entries are trimmed
	Over      bool   `json:"memory_over_budget"`
}

// Run trims the streams.
func (c trimCommand) Run(e *env) error {
	return e.withTools(func(t *syncservice.Tools) error {
		var list []trimmed
		for p := range e.cfg.Partitions {
			one, err := c.partition(e, t, p)
			if err != nil {
				return err
			}
			list = append(list, one)
		}
		return c.print(e.stdout, map[string]any{"dry_run": c.DryRun, "partitions": list}, func(w *tabwriter.Writer) {
			verb := "removed"
			if c.DryRun {
				verb = "would be removed"
			}
			fmt.Fprintf(w, "partition\t%s\tbelow\tmemory over budget\t\n", verb)
			for _, x := range list {
				fmt.Fprintf(w, "%d\t%d\t%s\t%v\t\n", x.Partition, x.Entries, x.Below, x.Over)
			}
		})
	})
}

func (c trimCommand) partition(e *env, t *syncservice.Tools, p int) (trimmed, error) {
	out := trimmed{Partition: p}
	mark, err := t.Store.Watermark(e.ctx, p)
	if err != nil {
		return out, err
	}
	for {
		step, err := group.Trim(e.ctx, t.Redis, rediskey.Stream(p), mark, group.Limits{Retention: e.cfg.StreamRetention, At: float64(e.cfg.TrimAt) / 100}, c.DryRun)
		if err != nil {
			return out, err
		}
		out.Entries, out.Below, out.Over = out.Entries+step.Removed, step.Bound.String(), out.Over || step.Over
		if c.DryRun && step.Bound != (entryid.ID{}) {
			return out, scan.Stream(e.ctx, t.Redis, rediskey.Stream(p), entryid.ID{}, step.Bound.Prev(), func(page []redis.XMessage) error {
				out.Entries += int64(len(page))
				return nil
			})
		}
		if !step.More {
			return out, nil
		}
	}
}
