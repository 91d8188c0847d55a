package frame_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley.chat/shared-contracts/chat"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares lines with a file in testdata, so that the wire format is not changed by
// accident.
func golden(t *testing.T, name string, lines [][]byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	got := append(bytes.Join(lines, []byte{'\n'}), '\n')
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(file), "\n"), "\n")
	for i, line := range lines {
		if i >= len(want) {
			t.Errorf("%s has no line %d: %s", name, i+1, line)
		} else if string(line) != want[i] {
			t.Errorf("%s:%d:\n got %s\nwant %s", name, i+1, line, want[i])
		}
	}
	if len(want) > len(lines) {
		t.Errorf("%s has %d lines, want %d", name, len(want), len(lines))
	}
}

// Values of the sample frames.
var (
	channel = chat.ChannelID{UUID: uuid.MustParse("0b0e7a52-6d0a-4c0f-9d58-3f8f6a1d2c11")}
	ann     = chat.UserID{UUID: uuid.MustParse("019b7d5c-0000-7000-8000-0000000000aa")}
	bob     = chat.UserID{UUID: uuid.MustParse("019b7d5c-0000-7000-8000-0000000000bb")}
	id      = chat.EventID{UUID: uuid.MustParse("019b7d5c-0000-7000-8000-000000000001")}
	other   = chat.EventID{UUID: uuid.MustParse("019b7d5c-0000-7000-8000-000000000002")}
	client  = chat.ClientID{UUID: uuid.MustParse("6e1d0d6e-3a55-4f0e-8a3e-0d9b1f6f0001")}
	session = chat.SessionID{UUID: uuid.MustParse("6e1d0d6e-3a55-4f0e-8a3e-0d9b1f6f0002")}
	sentAt  = chat.At(time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC))
)

const epoch = "1767225600000-x7f3"

// hostile is a body with characters that a careless encoder corrupts: newlines, characters that are
// escaped in HTML, JavaScript's line separators, and quotes.
const hostile = "<b>&\"\\</b>\n\ttwo\u2028three\u2029 👍"
