// Package unstored reads events that are acknowledged but may not be in PostgreSQL yet.
//
// Every entry at or below a partition's watermark is stored. So a reader reads the watermark first,
// then the tail above it, then the rows. With this order, an event that is stored and trimmed from
// the tail in the meantime may be seen in both places, but is never missed. A reader that needs
// only the newest items may read them before the watermark; see NewestItems.
package unstored

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/platform/database"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

const (
	// redisTimeout limits reads from Redis. Without the tail, the result would have holes. So the
	// caller gets an error instead, and should get it quickly.
	redisTimeout = 4 * time.Second
	// firstPage is the number of items that the first read of a tail requests. While sync-service
	// runs, a channel never has that many unstored events.
	firstPage = 64
)

// Mark is a position in a partition's stream: every entry at or below it is stored.
type Mark struct {
	MS  int64 `bun:"entry_ms"`
	Seq int64 `bun:"entry_seq"`
}

// Before reports whether the mark is before the entry with the given id. It returns true for an id
// that cannot be parsed.
func (m Mark) Before(entry string) bool {
	ms, seq, _ := strings.Cut(entry, "-")
	at, errMS := strconv.ParseInt(ms, 10, 64)
	n, errSeq := strconv.ParseInt(seq, 10, 64)
	if errMS != nil || errSeq != nil {
		return true
	}
	return at > m.MS || at == m.MS && n > m.Seq
}

// Marks returns the watermarks of all partitions. If a partition has no watermark, none of its
// entries are stored yet.
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

// Above returns the items of a channel's tail above mark, in ascending seq order. It reads backward
// until enough returns true for the items found, or until it reaches the mark.
func Above(ctx context.Context, log *eventlog.Log, channel chat.ChannelID, mark Mark, enough func([]event.Item) bool) ([]event.Item, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	for n := firstPage; ; n *= 4 {
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

// newestLen is the number of items that Newest reads. Most channels have no unstored items, and a
// busy one has only a few.
const newestLen = 16

// NewestItems holds the newest items of a channel's tail, read before the watermark.
//
// Reading in this order saves a separate PostgreSQL query. This order is safe if the rows come from
// the same PostgreSQL snapshot as the watermark, or from a later one. The rows in that snapshot
// contain every acknowledged event that is older than these items or was trimmed from the tail.
type NewestItems struct {
	items []event.Item
	whole bool // the tail contains no other items
}

// Newest reads the newest items of a channel's tail.
func Newest(ctx context.Context, log *eventlog.Log, channel chat.ChannelID) (NewestItems, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	items, err := log.Tail(ctx, channel, newestLen)
	return NewestItems{items, len(items) < newestLen}, err
}

// Above returns the items above mark. ok is false if more items are needed than were read. In that
// case the caller must read the tail with the Above function and then read the rows again.
func (n NewestItems) Above(mark Mark, enough func([]event.Item) bool) (items []event.Item, ok bool) {
	above := mark.above(n.items)
	return above, n.whole || len(above) < len(n.items) || above[0].Seq == 1 || enough(above)
}

// above returns the items above the mark; items are in ascending order.
func (m Mark) above(items []event.Item) []event.Item {
	for i := len(items) - 1; i >= 0; i-- {
		if !m.Before(items[i].EntryID) {
			return items[i+1:]
		}
	}
	return items
}
