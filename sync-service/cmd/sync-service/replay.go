package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"parley.chat/shared-contracts/chat"
	syncservice "parley.chat/sync-service"
	"parley.chat/sync-service/internal/entryid"
	"parley.chat/sync-service/internal/replay"
)

type replayCommand struct {
	output
	All       bool            `help:"Everything that the streams retain." xor:"from"`
	Since     *moment         `help:"Entries appended at this time or later: a time (UTC unless a zone is given), or so long ago, by the clock of Redis." xor:"from"`
	FromID    *entryFlag      `help:"From this entry id on." xor:"from"`
	Until     *moment         `help:"Entries appended before this time; UTC unless a zone is given." xor:"to"`
	ToID      *entryFlag      `help:"Up to this entry id, included." xor:"to"`
	Partition []int           `help:"Only these partitions."`
	Channel   *chat.ChannelID `help:"Only this channel."`
	DryRun    bool            `help:"Only say how many rows would be inserted."`
	Report    bool            `help:"Store nothing, and list whom and what the database does not know, with the names that the events have."`
	Rate      int             `help:"At most so many entries per second; 0 for no bound."`
	Resume    string          `help:"Go on where an interrupted replay said that it stood."`
}

// Help implements kong.HelpProvider.
func (replayCommand) Help() string {
	return `Reads the streams from outside the consumer group, which goes on undisturbed, and stores what
PostgreSQL lacks. What is there already stays as it is, so it may be run again, and over more than is
needed: take a --since well before the backup.

After Ctrl-C it says how to go on, and exits with 3. At the end it lists the users and channels that the
events name and the database does not know, with usernames, counts and times: accounts are not in the
streams, only PITR brings them back. With --report it does only that.

Examples:

  sync-service replay --since 2026-01-31T03:00:00Z --dry-run
  sync-service replay --since 26h --report
  sync-service replay --since 26h
  sync-service replay --all --channel 6e1d0d6e-3a55-4f0e-8a3e-0d9b1f6f0001
  sync-service replay --since 26h --rate 5000 --resume 3/1769828400000-0
`
}

func (c replayCommand) options(e *env) (replay.Options, error) {
	if err := checkSpan(c.Since, c.Until); err != nil {
		return replay.Options{}, err
	}
	o := replay.Options{Partitions: e.cfg.Partitions, Only: c.Partition, Channel: c.Channel, DryRun: c.DryRun || c.Report, Rate: c.Rate}
	switch {
	case c.Since != nil:
		o.From = entryid.At(c.Since.Time)
	case c.FromID != nil:
		o.From = c.FromID.ID
	case !c.All:
		return o, errors.New("say what to replay: --all, --since or --from-id")
	}
	switch {
	case c.Until != nil:
		o.To = entryid.At(c.Until.Time).Prev()
	case c.ToID != nil:
		o.To = c.ToID.ID
	}
	if o.To != (entryid.ID{}) && o.To.Less(o.From) {
		return o, fmt.Errorf("nothing lies between %s and %s", o.From, o.To)
	}
	if err := checkPartitions(c.Partition, e.cfg.Partitions); err != nil {
		return o, fmt.Errorf("--partition: %w", err)
	}
	if c.Rate < 0 {
		return o, fmt.Errorf("--rate %d is negative", c.Rate)
	}
	if c.Resume != "" {
		var err error
		if o.Resume, err = replay.ParsePosition(c.Resume); err != nil {
			return o, fmt.Errorf("--resume: %w", err)
		}
	}
	return o, nil
}

// Run replays.
func (c replayCommand) Run(e *env) error {
	o, err := c.options(e)
	if err != nil {
		return usageError{err}
	}
	return e.withTools(func(t *syncservice.Tools) error {
		b := newBar(e.stderr)
		o.Progress = func(r replay.Report, done float64) { b.set("entries", r.Read, done) }
		r, err := replay.Run(e.ctx, t.Redis, t.Store, o)
		b.end()
		if printing := c.print(e.stdout, r, func(w *tabwriter.Writer) { c.table(w, r) }); printing != nil {
			return printing
		}
		if err != nil && e.ctx.Err() != nil {
			return codedError{fmt.Errorf("interrupted; to go on, give the same options and --resume %s", r.Resume), 3}
		}
		return err
	})
}

func (c replayCommand) table(w *tabwriter.Writer, r replay.Report) {
	if !c.Report {
		verb := "inserted"
		if r.DryRun {
			verb = "would be inserted"
		}
		fmt.Fprintf(w, "entries read\t%d\n%s\t%d\nstored before\t%d\nconflicts\t%d\nleft to the consumer group\t%d\nseconds\t%.1f\n\n",
			r.Read, verb, r.Inserted, r.Stored, r.Conflicts, r.Unread, r.Seconds)
	}
	if len(r.UnknownChannels)+len(r.UnknownUsers) == 0 {
		if c.Report {
			fmt.Fprintf(w, "The database knows all users and channels of the %d events.\n", r.Read)
		}
		return
	}
	fmt.Fprintf(w, "The database does not know %d users and %d channels of these events:\n\n", len(r.UnknownUsers), len(r.UnknownChannels))
	fmt.Fprint(w, "\tid\tname\tevents\tfirst\tlast\n")
	for _, u := range r.UnknownUsers {
		fmt.Fprintf(w, "user\t%s\t%s\t%d\t%s\t%s\n", u.ID, cmp.Or(u.Name, "-"), u.Events, at(u.First), at(u.Last))
	}
	for _, k := range r.UnknownChannels {
		fmt.Fprintf(w, "channel\t%s\tof %s\t%d\t%s\t%s\n", k.ID, cmp.Or(some(k.Members), "-"), k.Events, at(k.First), at(k.Last))
	}
}

func at(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// some returns the first names of a list, and how many there are besides.
func some(names []string) string {
	const shown = 5
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}
