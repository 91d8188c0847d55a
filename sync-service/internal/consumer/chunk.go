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
	"parley.chat/sync-service/internal/intake"
	"parley.chat/sync-service/internal/store"
)

// chunk is what a reader has read of its partition and a writer stores. The reader waits on done.
type chunk struct {
	partition int
	entries   []entry
	rows      []store.Row
	seen      bool // may have been stored before: it was pending, or claimed
	bytes     int
	done      chan error // gets nil when every entry is acknowledged or left pending on purpose
}

// entry is one entry of a chunk. It is acknowledged once its row, if it has one, is stored.
type entry struct {
	id     string
	row    int    // its index in rows, -1 for none
	failed string // why it becomes a dead letter, in words; its row is then a tombstone
	detail string // more of it, for operators
	stored bool   // though a dead letter: the event itself is stored, under another seq
	taken  bool   // another event holds its seq: it is to be moved, and a dead letter only if it cannot

	// What could be read of one that never became a row of an event; see chunk.origin.
	unread *event.Entry
}

// origin is whose event an entry holds and where, as far as it is known.
type origin struct {
	channel  chat.ChannelID
	seq      int64
	id       chat.EventID
	sender   chat.UserID
	clientID uuid.NullUUID
}

func (ch *chunk) origin(e *entry) origin {
	if u := e.unread; u != nil {
		return origin{u.Channel, u.Seq, u.ID, u.Sender, uuid.NullUUID{UUID: u.ClientID.UUID, Valid: !u.ClientID.IsZero()}}
	}
	if e.row < 0 {
		return origin{}
	}
	r := &ch.rows[e.row]
	return origin{r.Channel, r.Seq, r.ID, r.Sender, r.ClientID}
}

// add takes an entry in. One of a newer version is left pending: whoever is upgraded will store it.
func (c *Consumer) add(ch *chunk, in intake.Entry) {
	id := in.ID
	if in.Pairs == nil { // pending, but somebody has removed it from the stream
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
			// Its seq is another stream's business, under another lock: no tombstone.
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

// fail takes in an entry that becomes a dead letter, with a tombstone if its seq is known.
func (ch *chunk) fail(id string, e event.Entry, reason, detail string) {
	e.Payload = nil
	row := -1
	at, _ := entryid.Parse(id) // Redis wrote it
	if stone, ok := store.FailedRow(e, reason, at.Time()); ok {
		row = len(ch.rows)
		ch.rows = append(ch.rows, stone)
	}
	ch.entries = append(ch.entries, entry{id: id, row: row, failed: reason, detail: detail, unread: &e})
}

// why returns what a dead letter says of the entry.
func (e *entry) why() string { return store.Rejected{Reason: e.failed, Detail: e.detail}.Why() }

// full reports whether the reader may have left entries behind.
func (ch *chunk) full() bool { return len(ch.entries) >= chunkMax || ch.bytes >= chunkBytes }

// room returns how many entries more the chunk may take, which is not full.
func (ch *chunk) room() int {
	n := chunkMax - len(ch.entries)
	if weight := ch.bytes / max(1, len(ch.entries)); weight > 0 {
		n = min(n, (chunkBytes-ch.bytes)/weight)
	}
	return max(1, n)
}

// grow makes room for n entries more.
func (ch *chunk) grow(n int) {
	ch.entries, ch.rows = slices.Grow(ch.entries, n), slices.Grow(ch.rows, n)
}

// channels adds to the set the channels whose tails the chunk concerns.
func (ch *chunk) channels(set map[channelID]struct{}) {
	for i := range ch.rows {
		set[ch.rows[i].Channel] = struct{}{}
	}
}

// merge returns the rows of several chunks, and where each chunk's begin.
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
		b.Seen = b.Seen || ch.seen
		partitions[ch.partition] = struct{}{}
	}
	b.Partitions = slices.Sorted(maps.Keys(partitions))
	return b, starts
}
