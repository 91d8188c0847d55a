package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"

	"parley.chat/shared-contracts/apierr"
)

// defaultLimit is the number of items on a page if the request does not give a limit. The API
// document states the same number.
const defaultLimit = 50

// maxCursorBytes limits the size of a decoded cursor. Every valid cursor is smaller.
const maxCursorBytes = 1 << 10

// Limit returns the maximum number of items on a page.
func Limit(given *int) int {
	if given == nil {
		return defaultLimit
	}
	return *given
}

// Cursor encodes v, a position in a list, as an opaque string that the client sends back unchanged.
// list is the name of the operation that issues the cursor; other operations refuse it.
func Cursor(list string, v any) *string {
	b, err := json.Marshal(map[string]any{list: v})
	if err != nil {
		panic("httpapi: " + err.Error()) // positions contain only strings and numbers
	}
	s := base64.RawURLEncoding.EncodeToString(b)
	return &s
}

// DecodeCursor decodes the cursor parameter of the operation named by list and stores the position
// in *into. It reports whether the request has a cursor. It accepts only the exact string that
// Cursor returns for the decoded position, so no field can be missing, unknown or repeated. If a
// damaged cursor were decoded as the zero position, a client would read the list from the start
// again, in an endless loop.
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

// ErrCursor returns the error for a cursor that this list did not issue.
func ErrCursor() error {
	return apierr.Invalid("cursor", apierr.Violates(apierr.FieldCursor, "is not a cursor of this list"))
}
