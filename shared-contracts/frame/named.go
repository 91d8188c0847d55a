package frame

import (
	"bytes"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// NamedUser returns the user whose name the event contains: the sender of a message, or the member
// who joined or left. ok is false for an event without a name.
func (e *Event) NamedUser() (user chat.UserID, ok bool) {
	switch {
	case e.SenderName != "":
		return e.SenderID, true
	case e.Username != "" && e.UserID != nil:
		return *e.UserID, true
	}
	return chat.UserID{}, false
}

// RemoveName removes the name from the event, because the account was deleted.
func (e *Event) RemoveName() { e.SenderName, e.Username = "", "" }

// NamedUserIn returns the result of NamedUser for a frame of the given kind, without decoding the
// frame. It may also return the user of an event whose name is empty.
func NamedUserIn(kind event.Kind, b []byte) (user chat.UserID, ok bool) {
	field := `"sender_id":"`
	switch kind {
	case event.Message:
	case event.MemberJoined, event.MemberLeft:
		field = `"user_id":"`
	default:
		return chat.UserID{}, false
	}
	// Quotes inside strings are escaped, so the first match is the field itself.
	at := bytes.Index(b, []byte(field))
	if at < 0 {
		return chat.UserID{}, false
	}
	b = b[at+len(field):]
	if end := bytes.IndexByte(b, '"'); end >= 0 {
		b = b[:end]
	}
	err := user.UnmarshalText(b)
	return user, err == nil
}
