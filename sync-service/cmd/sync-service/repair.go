package main

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"parley.chat/internal/eventlog"
	"parley.chat/shared-contracts/rediskey"
	syncservice "parley.chat/sync-service"
	"parley.chat/sync-service/internal/audit"
	"parley.chat/sync-service/internal/counters"
	"parley.chat/sync-service/internal/group"
	"parley.chat/sync-service/internal/holes"
)

type repairCommand struct {
	output
	DryRun bool          `help:"Only show what would be done."`
	Wait   time.Duration `default:"30s" help:"How long to wait for the consumer group to store the current entries."`
}

// Validate is called by kong, which reports a returned error as an invalid command line.
func (c repairCommand) Validate() error { return verifyCommand{Wait: c.Wait}.Validate() }

// Help implements kong.HelpProvider.
func (repairCommand) Help() string {
	return `Repairs the damage of a failover, a restored store or lost writes, on the live system and in this order:

  groups    the consumer group's count of entries read per stream, which a promoted replica lacks
  counters  as rebuild-counters does
  events    as verify --repair does

The services repair each part by themselves where they can; this command does everything now and reports it.

Exits with 0 if no problem remains, with 1 if one does (in a dry run: if there is something to repair), and
with 2 if it could not check.

Examples:

  sync-service repair --dry-run
  sync-service repair -o json
`
}

// repairReport lists what was repaired or, in a dry run, what would be repaired.
type repairReport struct {
	DryRun   bool               `json:"dry_run"`
	Groups   []group.WrongCount `json:"groups"`
	Counters []counters.Raised  `json:"counters"`
	Stored   int64              `json:"stored"` // rows stored from streams and tails
	Lost     int64              `json:"lost"`   // seqs whose events are lost; each got a tombstone
	Holes    []holes.Filled     `json:"holes"`  // dry run only: what would be stored in each hole
	Problems []audit.Problem    `json:"problems"`
}

func (r *repairReport) done() bool {
	return len(r.Problems) == 0 && (!r.DryRun || len(r.Groups)+len(r.Counters) == 0)
}

// Run repairs the deployment.
func (c repairCommand) Run(e *env) error {
	err := e.withTools(func(t *syncservice.Tools) error {
		r, err := c.repair(e, t)
		if err != nil {
			return err
		}
		if err := c.print(e.stdout, r, func(w *tabwriter.Writer) { repairTable(w, r) }); err != nil {
			return err
		}
		if !r.done() {
			return errProblems
		}
		return nil
	})
	if _, coded := errors.AsType[codedError](err); err != nil && !coded {
		return codedError{fmt.Errorf("could not check: %w", err), 2}
	}
	return err
}

func (c repairCommand) repair(e *env, t *syncservice.Tools) (r repairReport, err error) {
	r.DryRun, r.Holes = c.DryRun, []holes.Filled{}
	streams := make([]group.Acks, 0, 2*e.cfg.Partitions)
	for p := range e.cfg.Partitions {
		streams = append(streams, group.Acks{Stream: rediskey.Stream(p), Mirror: rediskey.Stored(p)}, group.Acks{Stream: rediskey.Receipts(p)})
	}
	if r.Groups, err = group.Check(e.ctx, t.Redis, streams); err != nil {
		return r, err
	}
	if !c.DryRun {
		if _, err := group.Ack(e.ctx, t.Redis, streams); err != nil {
			return r, err
		}
	}
	raised, err := counters.Rebuild(e.ctx, t.Redis, t.Store, e.cfg.Partitions, c.DryRun)
	if err != nil {
		return r, err
	}
	r.Counters = raised.Raised
	verify := verifyCommand{Wait: c.Wait}
	found, err := verify.audit(e, t)
	if err != nil {
		return r, err
	}
	if !c.DryRun && !found.Clean() {
		if found, err = verify.repair(e, t, found); err != nil {
			return r, err
		}
	} else if c.DryRun {
		if r.Holes, err = holes.Fill(e.ctx, eventlog.New(t.Redis, e.cfg.Partitions), t.Store, found.Problems, true); err != nil {
			return r, err
		}
	}
	r.Stored, r.Lost, r.Problems = found.Repaired, found.Lost, found.Problems
	return r, nil
}

func repairTable(w *tabwriter.Writer, r repairReport) {
	verb := ""
	if r.DryRun {
		verb = "would be "
	}
	fmt.Fprintf(w, "groups %srepaired\t%d\n", verb, len(r.Groups))
	for _, g := range r.Groups {
		fmt.Fprintf(w, "  %s\t%d -> %d\n", g.Stream, g.Read, g.Right)
	}
	fmt.Fprintf(w, "counters %sraised\t%d\n", verb, len(r.Counters))
	for _, x := range r.Counters {
		fmt.Fprintf(w, "  %s\t%d -> %d\n", x.Channel, x.From, x.To)
	}
	if !r.DryRun {
		fmt.Fprintf(w, "stored from streams and tails\t%d\nlost, replaced by tombstones\t%d\n", r.Stored, r.Lost)
	}
	for _, h := range r.Holes {
		fmt.Fprintf(w, "hole %s %d-%d\twould be filled: %d events from the tail, %d tombstones\n", h.Channel, h.From, h.To, h.Found, h.Lost)
	}
	fmt.Fprintf(w, "problems\t%d\n", len(r.Problems))
	for _, p := range r.Problems {
		fmt.Fprintf(w, "  %s\t%s %d-%d %s\n", p.Kind, p.Channel, p.From, p.To, p.Note)
	}
}
