package chat

import (
	"fmt"
	"time"
)

// TimeLayout is the format of all times that Parley writes: RFC 3339 in UTC with milliseconds.
const TimeLayout = "2006-01-02T15:04:05.000Z"

// Time is a time that is encoded in TimeLayout. Clients and processes exchange times in this
// format.
type Time struct{ time.Time }

// Now returns the current time, truncated to milliseconds, so that encoding does not change it.
func Now() Time { return At(time.Now()) }

// At returns t in UTC, truncated to milliseconds.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Millisecond)} }

// String formats the time in TimeLayout.
func (t Time) String() string { return t.UTC().Format(TimeLayout) }

// AppendTo appends the time in TimeLayout, which has 24 characters.
func (t Time) AppendTo(b []byte) []byte { return t.UTC().AppendFormat(b, TimeLayout) }

// MarshalText formats the time in TimeLayout.
func (t Time) MarshalText() ([]byte, error) { return t.UTC().AppendFormat(nil, TimeLayout), nil }

// MarshalJSON formats the time in TimeLayout.
func (t Time) MarshalJSON() ([]byte, error) {
	return t.UTC().AppendFormat(nil, `"`+TimeLayout+`"`), nil
}

// UnmarshalText parses any RFC 3339 time.
func (t *Time) UnmarshalText(b []byte) error {
	at, err := time.Parse(time.RFC3339Nano, string(b))
	if err != nil {
		return fmt.Errorf("not an RFC 3339 time: %w", err)
	}
	*t = At(at)
	return nil
}

// UnmarshalJSON parses any RFC 3339 time. It decodes null as the zero time.
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
