package chat

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Limits on what people type, in bytes or characters.
const (
	MaxBodyBytes        = 16 << 10 // of UTF-8
	MaxChannelNameChars = 80
	MaxDescriptionChars = 500
	MinUsernameChars    = 3
	MaxUsernameChars    = 50
	MinPasswordChars    = 8
	MaxPasswordChars    = 200
)

// ErrBodyTooLarge is returned for a body over the limit; other faults of a body are plain errors.
var ErrBodyTooLarge = errors.New("body is too large")

// CheckBody accepts a message body: 1 to limit bytes of valid UTF-8, not blank, and without control
// characters other than newline and tab. limit ≤ 0 means MaxBodyBytes.
func CheckBody(body string, limit int) error {
	if limit <= 0 {
		limit = MaxBodyBytes
	}
	if len(body) > limit {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrBodyTooLarge, len(body), limit)
	}
	if err := checkText(body, "\n\t"); err != nil {
		return err
	}
	if strings.TrimSpace(body) == "" {
		return errors.New("body is blank")
	}
	return nil
}

// CheckLine accepts a text on one line, such as a name: valid UTF-8 without control characters, at
// most limit characters. It may be empty.
func CheckLine(text string, limit int) error {
	if err := checkText(text, ""); err != nil {
		return err
	}
	if n := utf8.RuneCountInString(text); n > limit {
		return fmt.Errorf("has %d characters, at most %d", n, limit)
	}
	return nil
}

func checkText(text, allowed string) error {
	if !utf8.ValidString(text) {
		return errors.New("is not valid UTF-8")
	}
	for i, r := range text {
		// C0, DEL and C1. NUL is among them: PostgreSQL cannot store it.
		if (r < 0x20 || r >= 0x7f && r < 0xa0) && !strings.ContainsRune(allowed, r) {
			return fmt.Errorf("has the control character U+%04X at byte %d", r, i)
		}
	}
	return nil
}

var usernamePattern = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// CheckUsername accepts 3–50 of letters, digits, '_', '.' and '-'. Case is kept and makes no
// difference.
func CheckUsername(name string) error {
	if n := len(name); n < MinUsernameChars || n > MaxUsernameChars {
		return fmt.Errorf("must have %d to %d characters", MinUsernameChars, MaxUsernameChars)
	}
	if !usernamePattern.MatchString(name) {
		return errors.New("may have letters, digits, '_', '.' and '-' only")
	}
	return nil
}
