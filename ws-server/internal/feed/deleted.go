package feed

import (
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/hub"
)

// blank takes the text out of messages, and of their edits, whose deletion is among the events or among
// those that follow them: whoever comes later does not read what was deleted. The rows of what is stored
// with its deletion have none. Frames are replaced, never changed: others may be sending them.
func blank(events, following []hub.Event) {
	gone := make(map[chat.EventID]bool)
	for _, list := range [][]hub.Event{events, following} {
		for _, e := range list {
			if e.Kind != event.Delete {
				continue
			}
			if d, err := frame.DecodeEvent(e.Frame); err == nil && d.MessageID != nil {
				gone[*d.MessageID] = true
			}
		}
	}
	if len(gone) == 0 {
		return
	}
	for i, e := range events {
		if e.Kind != event.Message && e.Kind != event.Edit {
			continue
		}
		whole, err := frame.DecodeEvent(e.Frame)
		if err != nil || whole.Body == "" || !gone[whole.ID] && (whole.MessageID == nil || !gone[*whole.MessageID]) {
			continue
		}
		whole.Body, whole.Mentions = "", nil
		if b, err := whole.Encode(); err == nil {
			events[i].Frame = b
		}
	}
}
