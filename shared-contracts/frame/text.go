package frame

import (
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// TextOf returns the id of the message whose text the event sets: a new message, or an edit. ok is
// false for any other event.
func (e *Event) TextOf() (message chat.EventID, ok bool) {
	switch {
	case e.Type == event.Message:
		return e.ID, true
	case e.Type == event.Edit && e.MessageID != nil:
		return *e.MessageID, true
	}
	return chat.EventID{}, false
}

// RemoveText removes the text and its mentions from the event, because the message was deleted or
// the reader may not see this version of it.
func (e *Event) RemoveText() { e.Body, e.Mentions = "", nil }
