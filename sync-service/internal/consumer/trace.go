package consumer

import (
	"time"

	"parley.chat/internal/eventlog/msgtrace"
	"parley.chat/sync-service/internal/entryid"
)

// trace adds the commit of a batch to the traces of its events.
func (c *Consumer) trace(chunks []*chunk, gathered, committed time.Time, rows int, copied bool) {
	if c.cfg.Traces == nil {
		return
	}
	for _, ch := range chunks {
		for i := range ch.entries {
			e := &ch.entries[i]
			if e.row < 0 || !c.cfg.Traces.Traces(ch.rows[e.row].ID) {
				continue
			}
			at, _ := entryid.Parse(e.id) // Redis wrote it
			r := &ch.rows[e.row]
			c.cfg.Traces.Stored(msgtrace.Storing{
				ID: r.ID, Channel: r.Channel, Seq: r.Seq, Kind: r.Kind, Partition: ch.partition, EntryID: e.id,
				Added: at.Time(), Gathered: gathered, Committed: committed, Rows: rows, Copied: copied, Failed: e.failed,
			})
		}
	}
}
