package frame

import (
	"bytes"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// NamedUser returns the user whose name the event contains: the sender of a message, or the member
// who joined or left. ok is false if the event contains no name.
func (e *Event) NamedUser() (user chat.UserID, ok bool) {
	switch {
	case e.SenderName != "":
		return e.SenderID, true
	case e.Username != "" && e.UserID != nil:
		return *e.UserID, true
	}
	return chat.UserID{}, false
}

// RemoveName removes the user's name from the event. It is used when the user's account has been
// deleted.
func (e *Event) RemoveName() { e.SenderName, e.Username = "", "" }

// NamedUserIn is like NamedUser but takes an encoded frame of the given kind, which it does not
// decode. It may return a user even if the name in the event is empty.
func NamedUserIn(kind event.Kind, b []byte) (user chat.UserID, ok bool) {
	field := `"sender_id":"`
	switch kind {
	case event.Message:
	case event.MemberJoined, event.MemberLeft:
		field = `"user_id":"`
	default:
		return chat.UserID{}, false
	}
	// Quotes inside strings are escaped, so the first match is the field and not text in a string.
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
