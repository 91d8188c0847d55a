package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"

	"parley.chat/shared-contracts/apierr"
)

// defaultLimit is how many items a page has unless the request says; the document says the same.
const defaultLimit = 50

// maxCursorBytes is more than a position in any list takes.
const maxCursorBytes = 1 << 10

// Limit returns how many items a page may have.
func Limit(given *int) int {
	if given == nil {
		return defaultLimit
	}
	return *given
}

// Cursor returns v, which says where a list goes on, in a form that a client hands back untouched. list is
// the operation that it belongs to: no other takes it.
func Cursor(list string, v any) *string {
	b, err := json.Marshal(map[string]any{list: v})
	if err != nil {
		panic("httpapi: " + err.Error()) // cursors are structs of strings and numbers
	}
	s := base64.RawURLEncoding.EncodeToString(b)
	return &s
}

// DecodeCursor reads the parameter cursor of a list into into, and reports whether there was one. It takes
// only what Cursor would give out for what it says, so that no field can be missing, unknown or given
// twice: a cursor that was read as less than it says would begin the list again, without end.
func DecodeCursor(list string, given *string, into any) (bool, error) {
	if given == nil || *given == "" {
		return false, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(*given)
	if err != nil || len(b) > maxCursorBytes || !utf8.Valid(b) {
		return false, ErrCursor()
	}
	var said map[string]json.RawMessage
	if json.Unmarshal(b, &said) != nil || json.Unmarshal(said[list], into) != nil || *Cursor(list, into) != *given {
		return false, ErrCursor()
	}
	return true, nil
}

// ErrCursor is the answer to a cursor that is none of ours.
func ErrCursor() error { return apierr.Invalid("cursor", "is not a cursor of this list") }
