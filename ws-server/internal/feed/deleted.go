package feed

import (
	"parley.chat/internal/eventlog/replay"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/hub"
)

// removeDeletedText removes the text and mentions from deleted messages and from their edits, so
// that clients that read them later do not get deleted text. It finds the deletions in events and
// in following. Rows in PostgreSQL no longer contain the text once the deletion is stored. Frames
// are replaced, never changed, because other goroutines may be sending them.
func removeDeletedText(events, following []hub.Event) {
	deleted := replay.Deleted{}
	for _, list := range [][]hub.Event{events, following} {
		for _, e := range list {
			if e.Kind != event.Delete {
				continue
			}
			if d, err := frame.DecodeEvent(e.Frame); err == nil {
				deleted.Add(&d)
			}
		}
	}
	if len(deleted) == 0 {
		return
	}
	for i, e := range events {
		if e.Kind != event.Message && e.Kind != event.Edit {
			continue
		}
		full, err := frame.DecodeEvent(e.Frame)
		if err != nil || !deleted.RemoveText(&full) {
			continue
		}
		if b, err := full.Encode(); err == nil {
			events[i].Frame = b
		}
	}
}
