package consumer

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/sync-service/internal/entryid"
	"parley.chat/sync-service/internal/store"
	"parley.chat/sync-service/internal/streamreader"
)

// chunk is a batch of entries that a reader has read from its partition and a writer stores. The
// reader waits on done.
type chunk struct {
	partition   int
	entries     []entry
	rows        []store.Row
	maybeStored bool // may be stored already, because its entries were pending or claimed
	bytes       int
	done        chan error // receives nil when every entry is acknowledged or deliberately left pending
}

// entry is one entry of a chunk. It is acknowledged once its row, if it has one, is stored.
type entry struct {
	id              string
	row             int    // its index in rows, -1 for none
	failed          string // why it becomes a dead letter, shown to the sender; its row is then a tombstone
	detail          string // more about the reason, for operators
	storedElsewhere bool   // the event itself is stored under another seq, although the entry is a dead letter
	seqTaken        bool   // another event holds its seq: append it again, or else it becomes a dead letter

	// The readable part of an entry that never became the row of an event; see chunk.origin.
	partial *event.Entry
}

// origin identifies the event of an entry and its sender, as far as known.
type origin struct {
	channel  chat.ChannelID
	seq      int64
	id       chat.EventID
	sender   chat.UserID
	clientID uuid.NullUUID
}

func (ch *chunk) origin(e *entry) origin {
	if u := e.partial; u != nil {
		return origin{u.Channel, u.Seq, u.ID, u.Sender, uuid.NullUUID{UUID: u.ClientID.UUID, Valid: !u.ClientID.IsZero()}}
	}
	if e.row < 0 {
		return origin{}
	}
	r := &ch.rows[e.row]
	return origin{r.Channel, r.Seq, r.ID, r.Sender, r.ClientID}
}

// add adds an entry to a chunk. An entry of a newer version stays pending until an upgraded
// instance stores it.
func (c *Consumer) add(ch *chunk, in streamreader.Entry) {
	id := in.ID
	if in.Pairs == nil { // pending, but deleted from the stream
		c.m.vanished.Inc()
		c.cfg.Logger.Error("pending entry is not in the stream", "partition", ch.partition, "entry_id", id)
		ch.entries = append(ch.entries, entry{id: id, row: -1})
		return
	}
	for _, s := range in.Pairs {
		ch.bytes += len(s)
	}
	e, err := event.DecodePairs(in.Pairs)
	if errors.Is(err, event.ErrNewer) {
		c.m.newer.Inc()
		c.cfg.Logger.Warn("entry of a newer version stays pending: upgrade sync-service",
			"partition", ch.partition, "entry_id", id, "err", err)
		return
	}
	var row store.Row
	if err == nil {
		if p := rediskey.Of(e.Channel.UUID, c.cfg.Partitions); p != ch.partition {
			// No tombstone: its seq belongs to a channel of another stream, which is guarded by
			// another lock.
			ch.fail(id, event.Entry{ID: e.ID, Sender: e.Sender}, store.ReasonMisplaced, fmt.Sprintf("belongs to partition %d", p))
			return
		}
		row, err = store.RowOf(e)
	}
	if err != nil {
		if e.Channel.IsZero() || rediskey.Of(e.Channel.UUID, c.cfg.Partitions) != ch.partition {
			e.Seq = 0
		}
		ch.fail(id, e, store.ReasonUnreadable, err.Error())
		return
	}
	ch.entries = append(ch.entries, entry{id: id, row: len(ch.rows)})
	ch.rows = append(ch.rows, row)
}

// fail adds an entry that becomes a dead letter, with a tombstone if its seq is known.
func (ch *chunk) fail(id string, e event.Entry, reason, detail string) {
	e.Payload = nil
	row := -1
	at, _ := entryid.Parse(id) // Redis wrote it
	if tombstone, ok := store.FailedRow(e, reason, at.Time()); ok {
		row = len(ch.rows)
		ch.rows = append(ch.rows, tombstone)
	}
	ch.entries = append(ch.entries, entry{id: id, row: row, failed: reason, detail: detail, partial: &e})
}

// why returns the reason for the dead letter, with details for operators.
func (e *entry) why() string { return store.Rejected{Reason: e.failed, Detail: e.detail}.Why() }

// full reports whether the chunk has reached a limit, so that the stream may have more entries.
func (ch *chunk) full() bool { return len(ch.entries) >= maxChunkEntries || ch.bytes >= maxChunkBytes }

// room returns how many more entries to read into a chunk that is not full.
func (ch *chunk) room() int {
	n := maxChunkEntries - len(ch.entries)
	if weight := ch.bytes / max(1, len(ch.entries)); weight > 0 {
		n = min(n, (maxChunkBytes-ch.bytes)/weight)
	}
	return max(1, n)
}

// grow allocates space for n more entries.
func (ch *chunk) grow(n int) {
	ch.entries, ch.rows = slices.Grow(ch.entries, n), slices.Grow(ch.rows, n)
}

// channels adds the channels of the chunk's rows to set.
func (ch *chunk) channels(set map[channelID]struct{}) {
	for i := range ch.rows {
		set[ch.rows[i].Channel] = struct{}{}
	}
}

// merge returns the rows of several chunks and the index at which each chunk's rows start.
func merge(chunks []*chunk) (b store.Batch, starts []int) {
	partitions := make(map[int]struct{}, len(chunks))
	total := 0
	for _, ch := range chunks {
		total += len(ch.rows)
	}
	if len(chunks) > 1 {
		b.Rows = make([]store.Row, 0, total)
	}
	for _, ch := range chunks {
		starts = append(starts, len(b.Rows))
		if len(chunks) == 1 {
			b.Rows = ch.rows
		} else {
			b.Rows = append(b.Rows, ch.rows...)
		}
		b.MaybeStored = b.MaybeStored || ch.maybeStored
		partitions[ch.partition] = struct{}{}
	}
	b.Partitions = slices.Sorted(maps.Keys(partitions))
	return b, starts
}
