package chat

import (
	"fmt"
	"time"
)

// TimeLayout is how Parley writes an instant: RFC 3339, UTC, milliseconds.
const TimeLayout = "2006-01-02T15:04:05.000Z"

// Time is an instant as it crosses a process boundary.
type Time struct{ time.Time }

// Now returns the current instant, cut to milliseconds so that it reads back as it was.
func Now() Time { return At(time.Now()) }

// At returns t in UTC, cut to milliseconds.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Millisecond)} }

// String returns the instant in TimeLayout.
func (t Time) String() string { return t.UTC().Format(TimeLayout) }

// AppendTo appends the instant in TimeLayout, 24 characters.
func (t Time) AppendTo(b []byte) []byte { return t.UTC().AppendFormat(b, TimeLayout) }

// MarshalText writes the instant in TimeLayout.
func (t Time) MarshalText() ([]byte, error) { return t.UTC().AppendFormat(nil, TimeLayout), nil }

// MarshalJSON writes the instant in TimeLayout.
func (t Time) MarshalJSON() ([]byte, error) {
	return t.UTC().AppendFormat(nil, `"`+TimeLayout+`"`), nil
}

// UnmarshalText reads any RFC 3339 instant.
func (t *Time) UnmarshalText(b []byte) error {
	at, err := time.Parse(time.RFC3339Nano, string(b))
	if err != nil {
		return fmt.Errorf("not an RFC 3339 time: %w", err)
	}
	*t = At(at)
	return nil
}

// UnmarshalJSON reads any RFC 3339 instant, or null for none.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = Time{}
		return nil
	}
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return fmt.Errorf("not a time: %s", b)
	}
	return t.UnmarshalText(b[1 : len(b)-1])
}
