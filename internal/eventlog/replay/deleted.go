// Package replay contains the rules for past events that are read from the tail or from rows.
// Readers do not get the text of deleted messages. They get a tombstone in place of each event that
// Redis has lost.
package replay

import (
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// Deleted is a set of deleted messages.
type Deleted map[chat.EventID]struct{}

// Add records that the message is deleted if e is the deletion of a message. Otherwise, it does
// nothing.
func (d Deleted) Add(e *frame.Event) {
	if e.Type == event.Delete && e.MessageID != nil {
		d[*e.MessageID] = struct{}{}
	}
}

// RemoveText removes the text from e if e is a deleted message or an edit of a deleted message. It
// reports whether e had any text to remove.
func (d Deleted) RemoveText(e *frame.Event) bool {
	id, ok := e.TextOf()
	if _, deleted := d[id]; !ok || !deleted || e.Body == "" {
		return false
	}
	e.RemoveText()
	return true
}
