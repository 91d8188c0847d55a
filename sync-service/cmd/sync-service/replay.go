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
	All       bool            `help:"Replay everything that the streams contain." xor:"from"`
	Since     *moment         `help:"Replay entries appended at this time or later: a time (UTC unless a zone is given) or a duration before now. Entry times are by the clock of Redis." xor:"from"`
	FromID    *entryFlag      `help:"Replay from this entry id, inclusive." xor:"from"`
	Until     *moment         `help:"Replay only entries appended before this time; UTC unless a zone is given." xor:"to"`
	ToID      *entryFlag      `help:"Replay up to this entry id, inclusive." xor:"to"`
	Partition []int           `help:"Only these partitions."`
	Channel   *chat.ChannelID `help:"Only this channel."`
	DryRun    bool            `help:"Only report how many rows would be inserted."`
	Report    bool            `help:"Store nothing; list the users and channels that are not in the database, with the names that the events contain."`
	Rate      int             `help:"Maximum number of entries per second; 0 means no limit."`
	Resume    string          `help:"Resume at the position that an interrupted replay printed."`
}

// Help implements kong.HelpProvider.
func (replayCommand) Help() string {
	return `Reads the streams outside the consumer group, which continues undisturbed, and stores what PostgreSQL
lacks. Existing rows do not change, so a replay may be repeated and may cover more than necessary: choose a
--since well before the backup.

After Ctrl-C it prints how to resume and exits with code 3. At the end it lists the users and channels of the
events that are not in the database, with usernames, counts and times. The streams do not contain accounts;
only point-in-time recovery (PITR) of PostgreSQL restores them. With --report it prints only this list.

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
		return o, errors.New("specify what to replay: --all, --since or --from-id")
	}
	switch {
	case c.Until != nil:
		o.To = entryid.At(c.Until.Time).Prev()
	case c.ToID != nil:
		o.To = c.ToID.ID
	}
	if o.To != (entryid.ID{}) && o.To.Less(o.From) {
		return o, fmt.Errorf("the range from %s to %s is empty", o.From, o.To)
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

// Run replays the streams.
func (c replayCommand) Run(e *env) error {
	o, err := c.options(e)
	if err != nil {
		return usageError{err}
	}
	return e.withTools(func(t *syncservice.Tools) error {
		b := newProgressBar(e.stderr)
		o.Progress = func(r replay.Report, done float64) { b.set("entries", r.Read, done) }
		r, err := replay.Run(e.ctx, t.Redis, t.Store, o)
		b.end()
		if printing := c.print(e.stdout, r, func(w *tabwriter.Writer) { c.table(w, r) }); printing != nil {
			return printing
		}
		if err != nil && e.ctx.Err() != nil {
			return codedError{fmt.Errorf("interrupted; to resume, run it with the same options and --resume %s", r.Resume), 3}
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
		fmt.Fprintf(w, "entries read\t%d\n%s\t%d\nalready stored\t%d\nconflicts\t%d\nleft to the consumer group\t%d\nseconds\t%.1f\n\n",
			r.Read, verb, r.Inserted, r.Stored, r.Conflicts, r.Unread, r.Seconds)
	}
	if len(r.UnknownChannels)+len(r.UnknownUsers) == 0 {
		if c.Report {
			fmt.Fprintf(w, "All users and channels of the %d events are in the database.\n", r.Read)
		}
		return
	}
	fmt.Fprintf(w, "%d users and %d channels of these events are not in the database:\n\n", len(r.UnknownUsers), len(r.UnknownChannels))
	fmt.Fprint(w, "\tid\tname\tevents\tfirst\tlast\n")
	for _, u := range r.UnknownUsers {
		fmt.Fprintf(w, "user\t%s\t%s\t%d\t%s\t%s\n", u.ID, cmp.Or(u.Name, "-"), u.Events, at(u.First), at(u.Last))
	}
	for _, k := range r.UnknownChannels {
		fmt.Fprintf(w, "channel\t%s\tof %s\t%d\t%s\t%s\n", k.ID, cmp.Or(some(k.Members), "-"), k.Events, at(k.First), at(k.Last))
	}
}

func at(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// some lists the first few names, followed by the number of omitted names.
func some(names []string) string {
	const shown = 5
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}
