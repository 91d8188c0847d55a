package frame

import (
	"bytes"

	"parley.chat/shared-contracts/chat"
)

// EventID returns the id of an event by its frame, without decoding the rest. It looks where our own
// encoding puts the id, right behind the seq; false: it is not there.
func EventID(b []byte) (chat.EventID, bool) {
	const before, length = `,"id":"`, 36
	i := bytes.Index(b, []byte(before))
	if i < 0 || len(b) < i+len(before)+length {
		return chat.EventID{}, false
	}
	id, err := chat.ParseEventID(string(b[i+len(before) : i+len(before)+length]))
	return id, err == nil
}
