// Package unstored reads what is acknowledged and may not be in PostgreSQL yet.
//
// The watermark of a partition tells: every entry at or below it is stored. So a reader takes the
// watermark first, then the tail above it, then the rows. In that order what moves from the tail into
// the rows meanwhile is seen in both, and never in neither. Who needs but the newest items may take them
// first of all: see Glance.
package unstored

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"parley.chat/internal/database"
	"parley.chat/internal/eventlog"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

const (
	// patience bounds how long Redis may take: an answer without the tail would have holes, so none is
	// given then, and the client should know soon.
	patience = 4 * time.Second
	// firstLook is how many items of a tail are read at first: with sync-service at work, more than are
	// ever waiting to be stored in one channel.
	firstLook = 64
)

// Mark is a position in a partition's stream: every entry at or below it is stored.
type Mark struct {
	MS  int64 `bun:"entry_ms"`
	Seq int64 `bun:"entry_seq"`
}

// Before reports whether an entry lies after the mark. One whose id cannot be read does.
func (m Mark) Before(entry string) bool {
	ms, seq, _ := strings.Cut(entry, "-")
	at, errMS := strconv.ParseInt(ms, 10, 64)
	n, errSeq := strconv.ParseInt(seq, 10, 64)
	if errMS != nil || errSeq != nil {
		return true
	}
	return at > m.MS || at == m.MS && n > m.Seq
}

// Marks returns the watermarks of all partitions. One that is missing has stored nothing yet.
func Marks(ctx context.Context, db *bun.DB) (map[int]Mark, error) {
	marks := make(map[int]Mark, 16)
	err := database.Prepared(ctx, db, "select partition, entry_ms, entry_seq from sync_watermarks", nil, func(rows pgx.Rows) error {
		var p int
		var m Mark
		err := rows.Scan(&p, &m.MS, &m.Seq)
		marks[p] = m
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read watermarks: %w", err)
	}
	return marks, nil
}

// MarkOf returns the watermark of one partition.
func MarkOf(ctx context.Context, db bun.IDB, partition int) (Mark, error) {
	var rows []Mark
	err := db.NewRaw("select entry_ms, entry_seq from sync_watermarks where partition = ?", partition).Scan(ctx, &rows)
	if err != nil {
		return Mark{}, fmt.Errorf("read watermark of partition %d: %w", partition, err)
	}
	if len(rows) == 0 {
		return Mark{}, nil
	}
	return rows[0], nil
}

// Above returns the items of a channel's tail above mark, by ascending seq, back to where enough says
// that what it is shown will do, or to the first above the mark.
func Above(ctx context.Context, log *eventlog.Log, channel chat.ChannelID, mark Mark, enough func([]event.Item) bool) ([]event.Item, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for n := firstLook; ; n *= 4 {
		items, err := log.Tail(ctx, channel, n)
		if err != nil {
			return nil, err
		}
		whole := len(items) < n
		above := mark.above(items)
		if whole || len(above) < len(items) || above[0].Seq == 1 || enough(above) {
			return above, nil
		}
	}
}

// glance is how many items Newest reads: of most channels none is unstored, of a busy one few.
const glance = 16

// Glance is the newest items of a channel's tail, read before the watermark.
//
// That order is as good as the other, if mark and rows come from one look at PostgreSQL or the rows from
// a later one: what is acknowledged and not yet in the tail's newest items, or cut from it, is stored by
// then. It saves a look at PostgreSQL of its own.
type Glance struct {
	items []event.Item
	whole bool // the tail has no more
}

// Newest reads the newest items of a channel's tail.
func Newest(ctx context.Context, log *eventlog.Log, channel chat.ChannelID) (Glance, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	items, err := log.Tail(ctx, channel, glance)
	return Glance{items, len(items) < glance}, err
}

// Above returns the items above mark, and whether they are as many as enough wants or there are: if not,
// the caller has to read the tail with the function Above, and then the rows again.
func (g Glance) Above(mark Mark, enough func([]event.Item) bool) ([]event.Item, bool) {
	above := mark.above(g.items)
	return above, g.whole || len(above) < len(g.items) || above[0].Seq == 1 || enough(above)
}

// above cuts items, which ascend, to those above the mark.
func (m Mark) above(items []event.Item) []event.Item {
	for i := len(items) - 1; i >= 0; i-- {
		if !m.Before(items[i].EntryID) {
			return items[i+1:]
		}
	}
	return items
}
