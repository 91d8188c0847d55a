package frame

import (
	"bytes"

	"parley.chat/shared-contracts/chat"
)

// EventID returns the event id in an event's frame without decoding the rest of the frame. It
// expects the field order that Encode writes. It returns false if it finds no valid id.
func EventID(b []byte) (chat.EventID, bool) {
	const before, length = `,"id":"`, 36
	i := bytes.Index(b, []byte(before))
	if i < 0 || len(b) < i+len(before)+length {
		return chat.EventID{}, false
	}
	id, err := chat.ParseEventID(string(b[i+len(before) : i+len(before)+length]))
	return id, err == nil
}
