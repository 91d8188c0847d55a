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

// letterFilter chooses dead letters.
type letterFilter struct {
	IDs     []letterName    `arg:"" optional:"" name:"letter" help:"Letters by the name that dead list shows: <partition>/<id>."`
	Channel *chat.ChannelID `help:"Only letters of this channel."`
	Reason  string          `help:"Only letters with this text in their reason."`
	Since   *moment         `help:"Only letters that died at this time or later; UTC unless a zone is given."`
	Until   *moment         `help:"Only letters that died before this time; UTC unless a zone is given."`
}

// Validate is called by kong: an error is one of the command line.
func (f letterFilter) Validate() error { return checkSpan(f.Since, f.Until) }

func (f letterFilter) filter() deadletter.Filter {
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

func (f letterFilter) empty() bool {
	return len(f.IDs) == 0 && f.Channel == nil && f.Reason == "" && f.Since == nil && f.Until == nil
}

type (
	deadListCommand struct {
		output
		letterFilter
	}
	deadShowCommand struct {
		output
		letterFilter
	}
	deadRetryCommand struct {
		output
		letterFilter
		All bool `help:"All letters."`
	}
	deadDropCommand struct {
		output
		letterFilter
		All bool `help:"All letters."`
	}
)

// letter is how a letter is printed.
type letter struct {
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

func letterOf(l deadletter.Letter) letter {
	if l.Source == deadletter.Receipts {
		l.Event.Kind = event.KindReceipts // it has the channel, and no event
	}
	return letter{
		Letter: l.Name(), Entry: l.Entry, Channel: l.Event.Channel, Seq: l.Event.Seq, Kind: string(l.Event.Kind),
		EventID: l.Event.ID, Sender: l.Event.Sender, Reason: l.Reason, Attempts: l.Attempts, At: l.At.Format("2006-01-02T15:04:05.000Z"),
	}
}

// letters returns the letters that f chooses. A letter that is named and not there is an error.
func (f letterFilter) letters(e *env, t *syncservice.Tools) ([]deadletter.Letter, error) {
	for _, id := range f.IDs {
		if err := checkPartitions([]int{id.partition}, e.cfg.Partitions); err != nil {
			return nil, usageError{fmt.Errorf("letter %s: %w", id, err)}
		}
	}
	list, err := deadletter.List(e.ctx, t.Redis, e.cfg.Partitions, f.filter())
	if err != nil {
		return nil, err
	}
	for _, id := range f.IDs {
		if !slices.ContainsFunc(list, func(l deadletter.Letter) bool { return l.Name() == id.String() }) {
			return nil, fmt.Errorf("there is no letter %s that matches", id)
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

// Run lists letters.
func (c deadListCommand) Run(e *env) error {
	return e.withTools(func(t *syncservice.Tools) error {
		list, err := c.letters(e, t)
		if err != nil {
			return err
		}
		printed := make([]letter, len(list))
		for i, l := range list {
			printed[i] = letterOf(l)
		}
		return c.print(e.stdout, map[string]any{"letters": printed}, func(w *tabwriter.Writer) {
			fmt.Fprintln(w, "letter\tchannel\tseq\tkind\tattempts\tdied\treason\t")
			for _, l := range printed {
				fmt.Fprintf(w, "%s\t%s\t%d\t%.20q\t%d\t%s\t%.80q\t\n", l.Letter, l.Channel, l.Seq, l.Kind, l.Attempts, l.At, l.Reason)
			}
		})
	})
}

// Help implements kong.HelpProvider.
func (deadShowCommand) Help() string {
	return `Shows what people wrote, too.

Examples:

  sync-service dead show 3/1769828400000-0
  sync-service dead show --channel 6e1d0d6e-3a55-4f0e-8a3e-0d9b1f6f0001 -o json
`
}

// Run shows letters whole.
func (c deadShowCommand) Run(e *env) error {
	return e.withTools(func(t *syncservice.Tools) error {
		list, err := c.letters(e, t)
		if err != nil {
			return err
		}
		printed := make([]letter, len(list))
		for i, l := range list {
			printed[i] = letterOf(l)
			printed[i].Fields = l.Fields
		}
		return c.print(e.stdout, map[string]any{"letters": printed}, func(w *tabwriter.Writer) {
			for _, l := range printed {
				fmt.Fprintf(w, "letter\t%s\nentry\t%s\ndied\t%s\nattempts\t%d\nreason\t%q\n", l.Letter, l.Entry, l.At, l.Attempts, l.Reason)
				for name, value := range l.Fields {
					fmt.Fprintf(w, "%.40q\t%q\n", name, value)
				}
				fmt.Fprintln(w)
			}
		})
	})
}

// outcome is what became of a letter.
type outcome struct {
	Letter string `json:"letter"`
	Done   bool   `json:"done"`
	Err    string `json:"err,omitempty"`
}

// each does something with the letters chosen and prints what became of them.
func (f letterFilter) each(e *env, o output, all bool, done string, do func(*syncservice.Tools, deadletter.Letter) error) error {
	if f.empty() && !all {
		return usageError{errors.New("say which letters, or --all")}
	}
	return e.withTools(func(t *syncservice.Tools) error {
		list, err := f.letters(e, t)
		if err != nil {
			return err
		}
		outcomes, stay := make([]outcome, 0, len(list)), 0
		b := newBar(e.stderr)
		for i, l := range list {
			err := do(t, l)
			if err != nil && !errors.Is(err, deadletter.ErrStays) {
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
			fmt.Fprintf(w, "%d %s, %d stay\n", len(list)-stay, done, stay)
			for _, out := range outcomes {
				if !out.Done {
					fmt.Fprintf(w, "%s\t%.200q\n", out.Letter, out.Err)
				}
			}
		}); err != nil {
			return err
		}
		if stay > 0 {
			return codedError{fmt.Errorf("%d letters stay", stay), 1}
		}
		return nil
	})
}

// Help implements kong.HelpProvider.
func (deadRetryCommand) Help() string {
	return `Stores the event under the seq that it was acknowledged with, in the place of its tombstone, and removes
the letter. Nothing is published: the seq is old, and who is connected has had its tombstone. Clients see
the event when they read the history again. A letter that cannot be stored now either stays, and the exit
code is 1. A letter of cursor moves raises the cursors. To put right what a bug of sync-service has killed: upgrade it, then retry.

Examples:

  sync-service dead retry 3/1769828400000-0
  sync-service dead retry --reason "SQLSTATE 54000"
  sync-service dead retry --all -o json
`
}

// Run retries letters.
func (c deadRetryCommand) Run(e *env) error {
	return c.each(e, c.output, c.All, "stored", func(t *syncservice.Tools, l deadletter.Letter) error {
		return deadletter.Retry(e.ctx, t.Redis, t.Store, e.cfg.Partitions, l)
	})
}

// Help implements kong.HelpProvider.
func (deadDropCommand) Help() string {
	return `Removes the letters for good. Their tombstones stay and are replaced by nothing any more.

Examples:

  sync-service dead drop 3/1769828400000-0
  sync-service dead drop --reason "decode event" --until 720h
`
}

// Run drops letters.
func (c deadDropCommand) Run(e *env) error {
	return c.each(e, c.output, c.All, "dropped", func(t *syncservice.Tools, l deadletter.Letter) error {
		return deadletter.Drop(e.ctx, t.Redis, t.Store, l)
	})
}

type trimCommand struct {
	output
	DryRun bool `help:"Only say what may go."`
}

// Help implements kong.HelpProvider.
func (trimCommand) Help() string {
	return `Only what is stored goes: what is older than STREAM_RETENTION, or anything while Redis uses more memory
than REDIS_TRIM_AT. The service does the same every ten seconds.

Examples:

  sync-service trim --dry-run
  STREAM_RETENTION=1h sync-service trim
`
}

// trimmed is what may go, or went, of a partition.
type trimmed struct {
	Partition int    `json:"partition"`
	Entries   int64  `json:"entries"`
	Below     string `json:"below"` // an entry id
	Over      bool   `json:"memory_over_budget"`
}

// Run trims.
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
				verb = "may go"
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
