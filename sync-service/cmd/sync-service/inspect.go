package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
	syncservice "parley.chat/sync-service"
	"parley.chat/sync-service/internal/backlog"
	"parley.chat/sync-service/internal/entryid"
	"parley.chat/sync-service/internal/lag"
	"parley.chat/sync-service/internal/scan"
)

// Help implements kong.HelpProvider.
func (statusCommand) Help() string {
	return `Needs only Redis and changes nothing. The column "receipts" counts the entries with receipts that are not
stored yet; -o json shows the same figures for receipts as for events.

Examples:

  sync-service status
  sync-service status -o json | jq '[.partitions[].pending] | add'
`
}

// Run prints the state of the partitions.
func (c statusCommand) Run(e *env) error {
	return e.withTools(func(t *syncservice.Tools) error {
		states, err := lag.Read(e.ctx, t.Redis, e.cfg.Partitions)
		if err != nil {
			return err
		}
		return c.print(e.stdout, map[string]any{"partitions": states}, func(w *tabwriter.Writer) {
			fmt.Fprintln(w, "partition\tlength\tlag\tpending\toldest pending\tbehind s\tdead\tbytes\twatermark\treceipts\tconsumers\t")
			for _, s := range states {
				lag, receipts, oldest, names := "?", "?", "-", make([]string, 0, len(s.Consumers))
				if s.Lag != nil {
					lag = fmt.Sprint(*s.Lag)
				}
				if s.Receipts.Lag != nil {
					receipts = fmt.Sprint(*s.Receipts.Lag + s.Receipts.Pending)
				}
				if s.OldestPending != nil {
					oldest = *s.OldestPending
				}
				for _, m := range s.Consumers {
					names = append(names, fmt.Sprintf("%s (%d)", m.Name, m.Pending))
				}
				fmt.Fprintf(w, "%d\t%d\t%s\t%d\t%s\t%.1f\t%d\t%d\t%s\t%s\t%s\t\n", s.Partition, s.Length, lag, s.Pending, oldest,
					s.LagSeconds, s.Dead, s.Bytes, s.Watermark, receipts, strings.Join(names, ", "))
			}
		})
	})
}

type backlogCommand struct {
	output
	Limit int `default:"20" help:"Maximum number of channels to show, largest backlog first; 0 shows all."`
}

// Validate is called by kong, which reports a returned error as an invalid command line.
func (c backlogCommand) Validate() error {
	if c.Limit < 0 {
		return fmt.Errorf("--limit %d is negative", c.Limit)
	}
	return nil
}

// Help implements kong.HelpProvider.
func (backlogCommand) Help() string {
	return `Reads every entry that is not stored yet, so it takes a while if the backlog is large. Changes nothing.

Examples:

  sync-service backlog
  sync-service backlog --limit 0 -o json
`
}

// Run prints the backlog.
func (c backlogCommand) Run(e *env) error {
	return e.withTools(func(t *syncservice.Tools) error {
		r, err := backlog.Read(e.ctx, t.Redis, e.cfg.Partitions)
		if err != nil {
			return err
		}
		total := len(r.Channels)
		if c.Limit > 0 && total > c.Limit {
			r.Channels = r.Channels[:c.Limit]
		}
		return c.print(e.stdout, r, func(w *tabwriter.Writer) {
			fmt.Fprintf(w, "%d entries not stored: %d not delivered, %d pending, in %d channels\n", r.Undelivered+r.Pending, r.Undelivered, r.Pending, total)
			fmt.Fprintf(w, "%d receipt entries not stored; the oldest has waited for %.1f s\n", r.Receipts, r.ReceiptsSeconds)
			fmt.Fprint(w, "\nyounger than\tentries\t\n")
			for _, b := range r.Ages {
				fmt.Fprintf(w, "%s\t%d\t\n", b.Below, b.Entries)
			}
			fmt.Fprint(w, "\nchannel\tpartition\tnot stored\tpending\toldest s\t\n")
			for _, ch := range r.Channels {
				name := ch.Channel
				if name == "" {
					name = "(unreadable)"
				}
				fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%.1f\t\n", name, ch.Partition, ch.Waiting(), ch.Pending, ch.Oldest)
			}
		})
	})
}

type tailCommand struct {
	output
	Channel   *chat.ChannelID `help:"Only events of this channel."`
	Sender    *chat.UserID    `help:"Only events sent by this user."`
	Kind      []kindFlag      `help:"Only events of these kinds, e.g. message,edit."`
	Partition []int           `help:"Only events of these partitions."`
	Since     *moment         `help:"Start at this time (UTC unless a zone is given) or this long ago. Default: now."`
	Bodies    bool            `help:"Also show what people wrote."`
}

// Help implements kong.HelpProvider.
func (tailCommand) Help() string {
	return `Reads outside the consumer group, until Ctrl-C. Times are in UTC. With -o json, each event is one line.

Examples:

  sync-service tail --kind message --since 5m
  sync-service tail --channel 6e1d0d6e-3a55-4f0e-8a3e-0d9b1f6f0001 --bodies
`
}

// tailInterval is the interval at which the tail command polls the streams.
const tailInterval = 250 * time.Millisecond

// Run prints events as they are appended.
func (c tailCommand) Run(e *env) error {
	if err := checkPartitions(c.Partition, e.cfg.Partitions); err != nil {
		return usageError{err}
	}
	return e.withTools(func(t *syncservice.Tools) error {
		from, err := scan.Ends(e.ctx, t.Redis, e.cfg.Partitions)
		if err != nil {
			return err
		}
		for p := range from {
			if c.Since != nil {
				from[p] = entryid.At(c.Since.Time).Prev()
			}
		}
		tick := time.NewTicker(tailInterval)
		defer tick.Stop()
		for {
			for p := range from {
				if c.skips(p, e.cfg.Partitions) {
					continue
				}
				if err := scan.Stream(e.ctx, t.Redis, rediskey.Stream(p), from[p].Next(), scan.Last, func(page []redis.XMessage) (err error) {
					for _, m := range page {
						c.show(e, p, m)
					}
					from[p], err = entryid.Parse(page[len(page)-1].ID)
					return err
				}); err != nil && e.ctx.Err() == nil {
					return err
				}
			}
			select {
			case <-e.ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	})
}

func (c tailCommand) skips(p, partitions int) bool {
	return len(c.Partition) > 0 && !slices.Contains(c.Partition, p) || c.Channel != nil && rediskey.Of(c.Channel.UUID, partitions) != p
}

func (c tailCommand) show(e *env, p int, m redis.XMessage) {
	ev, err := event.DecodeEntry(m.Values)
	if c.Channel != nil && ev.Channel != *c.Channel || c.Sender != nil && ev.Sender != *c.Sender ||
		len(c.Kind) > 0 && !slices.Contains(c.Kind, kindFlag(ev.Kind)) {
		return
	}
	if c.Output == "json" {
		line := map[string]any{
			"entry_id": m.ID, "partition": p, "channel_id": ev.Channel, "seq": ev.Seq, "epoch": ev.Epoch,
			"kind": ev.Kind, "id": ev.ID, "sender_id": ev.Sender,
		}
		if err != nil {
			line["err"] = err.Error()
		} else if c.Bodies {
			line["payload"] = json.RawMessage(ev.Payload)
		}
		if json.NewEncoder(e.stdout).Encode(line) != nil { // the payload is not valid JSON
			delete(line, "payload")
			_ = json.NewEncoder(e.stdout).Encode(line) // if stdout is closed, the error cannot be reported
		}
		return
	}
	at := "?"
	if id, bad := entryid.Parse(m.ID); bad == nil {
		at = id.Time().Format("15:04:05.000Z")
	}
	fmt.Fprintf(e.stdout, "%s  %s  %6d  %-15s  %s", at, ev.Channel, ev.Seq, ev.Kind, ev.Sender)
	switch {
	case err != nil:
		fmt.Fprintf(e.stdout, "  cannot be decoded: %v", err)
	case c.Bodies:
		fmt.Fprintf(e.stdout, "  %s", ev.Payload)
	}
	fmt.Fprintln(e.stdout)
}
