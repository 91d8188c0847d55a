package main

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"parley.chat/internal/eventlog"
	syncservice "parley.chat/sync-service"
	"parley.chat/sync-service/internal/audit"
	"parley.chat/sync-service/internal/counters"
	"parley.chat/sync-service/internal/holes"
	"parley.chat/sync-service/internal/replay"
)

type verifyCommand struct {
	output
	Wait   time.Duration `default:"30s" help:"How long to wait for the consumer group to store the current entries."`
	Repair bool          `help:"Store missing events that the streams and tails still contain, store a tombstone at each seq that is lost, and check again."`
}

// Validate is called by kong, which reports a returned error as an invalid command line.
func (c verifyCommand) Validate() error {
	if c.Wait < 0 {
		return fmt.Errorf("--wait %s is negative", c.Wait)
	}
	return nil
}

// Help implements kong.HelpProvider.
func (verifyCommand) Help() string {
	return `Works on a live system. It records the counters of all channels and the ends of the streams, waits until the
consumer group has passed them, and then compares counters, streams and rows up to there. For entries that
are trimmed from the streams it can only verify that every seq has one row; it counts the tombstones.

With --repair, it stores what the streams and tails still contain. A seq that is found nowhere gets a
tombstone, which says that an event was lost there. If the event turns up later, a replay replaces the
tombstone.

Exits with 0 if every acknowledged event is stored or a dead letter, with 1 if it found problems, and with 2 if
it could not check: a store is down, or the consumer group does not advance.

Examples:

  sync-service verify
  sync-service verify --repair -o json
`
}

// errProblems makes the program exit with code 1 after the report has been printed.
var errProblems = codedError{errors.New("problems found"), 1}

// Run audits the streams and the rows.
func (c verifyCommand) Run(e *env) error {
	err := e.withTools(func(t *syncservice.Tools) error {
		r, err := c.audit(e, t)
		if err != nil {
			return err
		}
		if c.Repair && !r.Clean() {
			if r, err = c.repair(e, t, r); err != nil {
				return err
			}
		}
		if err := c.print(e.stdout, r, func(w *tabwriter.Writer) { verifyTable(w, r) }); err != nil {
			return err
		}
		if !r.Clean() {
			return errProblems
		}
		return nil
	})
	if _, coded := errors.AsType[codedError](err); err != nil && !coded {
		return codedError{fmt.Errorf("could not check: %w", err), 2}
	}
	return err
}

func (c verifyCommand) audit(e *env, t *syncservice.Tools) (audit.Report, error) {
	b := newProgressBar(e.stderr)
	defer b.end()
	return audit.Run(e.ctx, t.Redis, t.Store, audit.Options{
		Partitions: e.cfg.Partitions, Wait: c.Wait,
		Progress: func(what string, done float64) { b.set(what, 0, done) },
	})
}

// repair restores missing events, first from the streams, which are the most complete source, and
// then from the tails. It stores a tombstone for each event that neither source contains. It
// returns the report of the final audit.
func (c verifyCommand) repair(e *env, t *syncservice.Tools, r audit.Report) (audit.Report, error) {
	repaired, err := replayBroken(e, t, r)
	if err != nil {
		return r, err
	}
	if r, err = c.audit(e, t); err != nil {
		return r, err
	}
	filled, err := holes.Fill(e.ctx, eventlog.New(t.Redis, e.cfg.Partitions), t.Store, r.Problems, false)
	if err != nil {
		return r, err
	}
	if len(filled) > 0 {
		if r, err = c.audit(e, t); err != nil {
			return r, err
		}
	}
	r.Repaired = repaired
	for _, f := range filled {
		r.Repaired += f.Found
		r.Lost += f.Lost
	}
	return r, nil
}

// replayBroken replays the streams for the channels that have missing events.
func replayBroken(e *env, t *syncservice.Tools, r audit.Report) (repaired int64, err error) {
	for _, channel := range r.Broken() {
		done, err := replay.Run(e.ctx, t.Redis, t.Store, replay.Options{Partitions: e.cfg.Partitions, Channel: &channel})
		repaired += done.Inserted
		if err != nil {
			return repaired, err
		}
	}
	return repaired, nil
}

func verifyTable(w *tabwriter.Writer, r audit.Report) {
	fmt.Fprintf(w, "channels\t%d\nrows\t%d\nof which tombstones\t%d\nentries compared\t%d\ndead letters\t%d\n",
		r.Channels, r.Rows, r.Tombstones, r.Entries, r.Dead)
	if r.Rows > r.Entries {
		fmt.Fprintf(w, "only in PostgreSQL\tabout %d, whose entries are trimmed: each seq has one row\n", r.Rows-r.Entries)
	}
	if r.Repaired > 0 {
		fmt.Fprintf(w, "repaired\t%d\n", r.Repaired)
	}
	if r.Lost > 0 {
		fmt.Fprintf(w, "lost, replaced by tombstones\t%d\n", r.Lost)
	}
	fmt.Fprintf(w, "problems\t%d\n", len(r.Problems))
	if r.Clean() {
		return
	}
	fmt.Fprint(w, "\nproblem\tchannel\tseqs\t\t\n")
	for _, p := range r.Problems {
		seqs := fmt.Sprint(p.From)
		if p.To > p.From {
			seqs = fmt.Sprintf("%d-%d", p.From, p.To)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t\n", p.Kind, p.Channel, seqs, p.Note)
	}
}

type rebuildCountersCommand struct {
	output
	DryRun bool `help:"Only show which counters would be raised."`
}

// Help implements kong.HelpProvider.
func (rebuildCountersCommand) Help() string {
	return `Raises each counter that is below the highest seq in PostgreSQL, stream and tail, and creates missing
counters, each in a new epoch so that gateways and clients notice. It never lowers a counter. A counter that
is too low has lost writes: the channel gets a gap event above them, and sync-service stores tombstones at
their seqs that have no row. The service and the gateways may run; a gateway that finds such a counter does
the same by itself.

Examples:

  sync-service rebuild-counters --dry-run
  sync-service rebuild-counters -o json
`
}

// Run raises the counters.
func (c rebuildCountersCommand) Run(e *env) error {
	return e.withTools(func(t *syncservice.Tools) error {
		r, err := counters.Rebuild(e.ctx, t.Redis, t.Store, e.cfg.Partitions, c.DryRun)
		if err != nil {
			return err
		}
		return c.print(e.stdout, r, func(w *tabwriter.Writer) {
			verb := "raised"
			if r.DryRun {
				verb = "would be raised"
			}
			fmt.Fprintf(w, "channels\t%d\n%s\t%d\n", r.Channels, verb, len(r.Raised))
			for _, x := range r.Raised {
				note := ""
				if x.Gap {
					note = "with a gap event"
				}
				fmt.Fprintf(w, "%s\t%d -> %d\t%s\n", x.Channel, x.From, x.To, note)
			}
		})
	})
}
