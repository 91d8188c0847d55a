package chat_test

import (
	"encoding/json"
	"testing"
	"time"

	"parley.chat/shared-contracts/chat"
)

func TestTime_wire(t *testing.T) {
	berlin := time.FixedZone("CEST", 2*3600)
	for _, tt := range []struct {
		at   time.Time
		want string
	}{
		{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), "2026-01-02T03:04:05.000Z"},
		{time.Date(2026, 1, 2, 3, 4, 5, 6_999_999, time.UTC), "2026-01-02T03:04:05.006Z"},
		{time.Date(2026, 7, 1, 1, 0, 0, 120_000_000, berlin), "2026-06-30T23:00:00.120Z"},
	} {
		at := chat.At(tt.at)
		b, err := json.Marshal(map[string]any{"v": at, "p": &at})
		if want := `{"p":"` + tt.want + `","v":"` + tt.want + `"}`; err != nil || string(b) != want {
			t.Errorf("JSON of %v = %s, %v; want %s", tt.at, b, err, want)
		}
		text, err := at.MarshalText()
		if err != nil || string(text) != tt.want || at.String() != tt.want {
			t.Errorf("text of %v = %s (%v) and %s", tt.at, text, err, at)
		}
		var back chat.Time
		if err := json.Unmarshal([]byte(`"`+tt.want+`"`), &back); err != nil || back != at {
			t.Errorf("%s is parsed as %v, %v; want %v", tt.want, back, err, at)
		}
	}
}

// TestNow_survivesTheWire checks that encoding and decoding do not change a time that Now returned.
// If they did, an ack and its duplicate would differ.
func TestNow_survivesTheWire(t *testing.T) {
	now := chat.Now()
	var back chat.Time
	if err := back.UnmarshalText([]byte(now.String())); err != nil || back != now {
		t.Errorf("%#v, %v; want %#v", back, err, now)
	}
}

func TestTime_unmarshal(t *testing.T) {
	want := chat.At(time.Date(2026, 1, 2, 3, 4, 5, 123e6, time.UTC))
	for _, s := range []string{`"2026-01-02T03:04:05.123Z"`, `"2026-01-02T05:04:05.1239+02:00"`, `"2026-01-02T03:04:05.123456789Z"`} {
		var got chat.Time
		if err := json.Unmarshal([]byte(s), &got); err != nil || got != want {
			t.Errorf("%s = %v, %v", s, got, err)
		}
	}
	got := want
	if err := json.Unmarshal([]byte("null"), &got); err != nil || !got.IsZero() {
		t.Errorf("null = %v, %v; want none", got, err)
	}
	for _, s := range []string{`1767225600`, `""`, `"yesterday"`, `"2026-01-02"`, `"2026-01-02 03:04:05"`, `{}`, `true`} {
		if err := json.Unmarshal([]byte(s), &got); err == nil {
			t.Errorf("%s was parsed as %v", s, got)
		}
	}
}

func FuzzTime(f *testing.F) {
	f.Add("2026-01-02T03:04:05.123Z")
	f.Fuzz(func(t *testing.T, s string) {
		var first, again chat.Time
		if first.UnmarshalText([]byte(s)) != nil || first.Year() < 0 || first.Year() > 9999 {
			return
		}
		if err := again.UnmarshalText([]byte(first.String())); err != nil || again != first {
			t.Errorf("%q: %v then %v, %v", s, first, again, err)
		}
	})
}
