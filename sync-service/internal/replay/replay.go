// Package replay reads the entries that the streams still contain and stores them again. It is
// needed after the database has been restored from a backup. It reads outside the consumer group
// and does not affect it. Storing is idempotent, so a replay may run at any time, over any range,
// and repeatedly.
package replay

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/entryid"
	"parley.chat/sync-service/internal/scan"
	"parley.chat/sync-service/internal/store"
)

// Position records the progress of a replay. All partitions below Partition, and the entries of
// Partition up to After, have been replayed.
type Position struct {
	Partition int
	After     entryid.ID
}

// String returns "<partition>/<entry id>".
func (p Position) String() string { return strconv.Itoa(p.Partition) + "/" + p.After.String() }

// ParsePosition parses the result of String.
func ParsePosition(s string) (Position, error) {
	partition, id, found := strings.Cut(s, "/")
	n, err := strconv.Atoi(partition)
	if !found || err != nil || n < 0 {
		return Position{}, fmt.Errorf("%q is not a position like 3/1767225600000-0", s)
	}
	after, err := entryid.Parse(id)
	return Position{n, after}, err
}

// Options select what to replay.
type Options struct {
	Partitions int // number of partitions of the deployment

	From, To entryid.ID      // range of entry ids, both ends included; a zero To means the current end of each stream
	Only     []int           // partitions; nil for all
	Channel  *chat.ChannelID // nil for all
	Resume   Position        // start after this position
	DryRun   bool            // only count, store nothing
	Rate     int             // entries per second, 0 for no limit

	// Progress is called after each page. done increases from 0 to 1.
	Progress func(r Report, done float64)
}

// Report is the result of a replay. It is also accurate after an error.
type Report struct {
	Read      int64         `json:"read"`      // entries read from the range
	Inserted  int64         `json:"inserted"`  // rows inserted or, in a dry run, to be inserted
	Stored    int64         `json:"stored"`    // rows that were already stored
	Conflicts int64         `json:"conflicts"` // another event holds the seq, or PostgreSQL refused the row
	Unread    int64         `json:"unread"`    // entries without a channel and seq, or in a newer format; left to the consumer group
	DryRun    bool          `json:"dry_run"`   // nothing was written
	Position  Position      `json:"-"`         // progress
	Resume    string        `json:"resume"`    // Position as text, for --resume; empty if the replay has finished
	Seconds   float64       `json:"seconds"`   // duration
	Elapsed   time.Duration `json:"-"`

	UnknownUsers    []UnknownUser    `json:"unknown_users"`    // users of the events that are not in the database
	UnknownChannels []UnknownChannel `json:"unknown_channels"` // channels of the events that are not in the database
}

// Store is the part of store.Store that a replay needs.
type Store interface {
	Store(ctx context.Context, b store.Batch) (store.Result, error)
	Missing(ctx context.Context, rows []store.Row) (int, error)
	Unknown(ctx context.Context, users []chat.UserID, channels []chat.ChannelID) ([]chat.UserID, []chat.ChannelID, error)
}

// replay is the state of one run.
type replay struct {
	rdb         redis.UniversalClient
	store       Store
	o           Options
	began       time.Time
	report      Report
	maybeStored bool // some rows of the previous page were already stored
	refs        *references
}

// Run replays the selected entries. If ctx is done first, it stops, and the report contains the
// position that it has reached.
func Run(ctx context.Context, rdb redis.UniversalClient, s Store, o Options) (Report, error) {
	r := &replay{
		rdb: rdb, store: s, o: o, began: time.Now(), maybeStored: true, refs: newReferences(),
	}
	r.report.DryRun, r.report.Position = o.DryRun, o.Resume
	err := r.run(ctx)
	r.report.Elapsed = time.Since(r.began)
	r.report.Seconds = r.report.Elapsed.Seconds()
	if err != nil {
		r.report.Resume = r.report.Position.String()
		return r.report, err
	}
	r.report.UnknownUsers, r.report.UnknownChannels, err = r.refs.unknown(ctx, s)
	return r.report, err
}

func (r *replay) run(ctx context.Context) error {
	ends, err := scan.Ends(ctx, r.rdb, r.o.Partitions)
	if err != nil {
		return err
	}
	for p := r.o.Resume.Partition; p < r.o.Partitions; p++ {
		if r.o.Only != nil && !slices.Contains(r.o.Only, p) || r.o.Channel != nil && rediskey.Of(r.o.Channel.UUID, r.o.Partitions) != p {
			continue
		}
		from, to := r.o.From, r.o.To
		if p == r.o.Resume.Partition && !r.o.Resume.After.Less(from) {
			from = r.o.Resume.After.Next()
		}
		if to == (entryid.ID{}) || ends[p].Less(to) {
			to = ends[p]
		}
		if to.Less(from) {
			continue
		}
		if err := scan.Stream(ctx, r.rdb, rediskey.Stream(p), from, to, func(page []redis.XMessage) error {
			return r.page(ctx, p, from, to, page)
		}); err != nil {
			return fmt.Errorf("replay partition %d: %w", p, err)
		}
		r.report.Position = Position{Partition: p + 1}
	}
	return nil
}

// page stores a page of entries.
func (r *replay) page(ctx context.Context, p int, from, to entryid.ID, page []redis.XMessage) error {
	rows := make([]store.Row, 0, len(page))
	for _, m := range page {
		row, e, ok := scan.Row(m, p, r.o.Partitions)
		if r.o.Channel != nil && e.Channel != *r.o.Channel {
			continue
		}
		r.report.Read++
		if !ok {
			r.report.Unread++
			continue
		}
		rows = append(rows, row)
		r.refs.add(&row)
	}
	if err := r.storeRows(ctx, p, rows); err != nil {
		return err
	}
	last, err := entryid.Parse(page[len(page)-1].ID)
	if err != nil {
		return err
	}
	r.report.Position = Position{p, last}
	if r.o.Progress != nil {
		share := 1.0
		if span := to.Ms - from.Ms; span > 0 && from.Ms > 0 {
			share = float64(last.Ms-from.Ms) / float64(span)
		}
		r.o.Progress(r.report, (float64(p)+share)/float64(r.o.Partitions))
	}
	return r.pace(ctx)
}

func (r *replay) storeRows(ctx context.Context, p int, rows []store.Row) error {
	if len(rows) == 0 {
		return nil
	}
	if r.o.DryRun {
		n, err := r.store.Missing(ctx, rows)
		r.report.Inserted += int64(n)
		r.report.Stored += int64(len(rows) - n)
		return err
	}
	res, err := r.store.Store(ctx, store.Batch{Partitions: []int{p}, Rows: rows, MaybeStored: r.maybeStored})
	if err != nil {
		return err
	}
	r.maybeStored = res.Inserted < len(rows)
	r.report.Inserted += int64(res.Inserted)
	conflicts := 0
	for _, j := range res.Rejected {
		if !j.Elsewhere {
			conflicts++
		}
	}
	r.report.Conflicts += int64(conflicts)
	r.report.Stored += int64(max(0, len(rows)-res.Inserted-conflicts))
	return nil
}

// pace waits if the replay is faster than Options.Rate.
func (r *replay) pace(ctx context.Context) error {
	if r.o.Rate <= 0 {
		return ctx.Err()
	}
	ahead := time.Duration(float64(r.report.Read)/float64(r.o.Rate)*float64(time.Second)) - time.Since(r.began)
	if ahead <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(ahead)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
