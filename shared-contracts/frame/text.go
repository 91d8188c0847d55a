package frame

import (
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// TextOf returns the id of the message whose text the event sets. ok is true only for messages and
// edits.
func (e *Event) TextOf() (message chat.EventID, ok bool) {
	switch {
	case e.Type == event.Message:
		return e.ID, true
	case e.Type == event.Edit && e.MessageID != nil:
		return *e.MessageID, true
	}
	return chat.EventID{}, false
}

// RemoveText removes the body and the mentions from the event. It is used when the message was
// deleted, or when the reader may not see this version of the text.
func (e *Event) RemoveText() { e.Body, e.Mentions = "", nil }
