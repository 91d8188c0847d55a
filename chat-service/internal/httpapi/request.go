package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"

	"parley.chat/shared-contracts/apierr"
)

// defaultLimit is how many items a page has unless the request says; the document says the same.
const defaultLimit = 50

// Limit returns how many items a page may have.
func Limit(given *int) int {
	if given == nil {
		return defaultLimit
	}
	return *given
}

// Cursor returns v in a form that a client hands back untouched.
func Cursor(v any) *string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("httpapi: " + err.Error()) // cursors are structs of strings and numbers
	}
	s := base64.RawURLEncoding.EncodeToString(b)
	return &s
}

// DecodeCursor reads the parameter cursor into into, and reports whether there was one.
func DecodeCursor(given *string, into any) (bool, error) {
	if given == nil || *given == "" {
		return false, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(*given)
	if err != nil || len(b) > 1024 || !utf8.Valid(b) || json.Unmarshal(b, into) != nil {
		return false, ErrCursor()
	}
	return true, nil
}

// ErrCursor is the answer to a cursor that is none of ours.
func ErrCursor() error { return apierr.Invalid("cursor", "is not one that we have given out") }
