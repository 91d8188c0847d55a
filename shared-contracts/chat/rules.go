package chat

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
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
var ErrBodyTooLarge = errors.New("is too large")

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
	if IsBlank(body) {
		return errors.New("must not be blank")
	}
	return nil
}

// lineEnds turns the line ends of Windows and of old Macs into newlines.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// NormalizeBody returns a body with every line end as \n: CRLF and a lone CR become LF. It comes before CheckBody and
// before anything that compares bodies.
func NormalizeBody(body string) string {
	if strings.IndexByte(body, '\r') < 0 {
		return body
	}
	return lineEnds.Replace(body)
}

// IsBlank reports whether nothing of a text can be seen: it is empty, or has spaces and invisible characters
// only, such as U+200B or U+FEFF.
func IsBlank(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return !unicode.IsSpace(r) && !isInvisible(r) }) < 0
}

// isInvisible reports whether r has no width, or no ink: what Unicode has programs ignore that do not know it,
// and the blank of Braille.
func isInvisible(r rune) bool {
	return r == 0x2800 || r >= utf8.RuneSelf && unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// CheckName accepts what people call themselves and their channels: not blank, and without characters that
// change the direction of the text around it, which could make it look like another name. CheckLine tells the rest.
func CheckName(name string) error {
	if IsBlank(name) {
		return errors.New("must not be blank")
	}
	for _, r := range name {
		if r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return fmt.Errorf("has U+%04X, which changes the direction of text", r)
		}
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

// collective are the names that stand, or look as if they stood, for every member of a channel. No user has one.
var collective = []string{"channel", "here", "all", "everyone"}

// IsCollective reports whether a name stands for everybody, in any case and with any punctuation around it.
func IsCollective(name string) bool {
	return slices.Contains(collective, strings.ToLower(strings.Trim(name, "_.-")))
}

// CheckUsername accepts 3–50 of letters, digits, '_', '.' and '-', except reserved names. Case is kept and
// makes no difference.
func CheckUsername(name string) error {
	if n := len(name); n < MinUsernameChars || n > MaxUsernameChars {
		return fmt.Errorf("must have %d to %d characters", MinUsernameChars, MaxUsernameChars)
	}
	if !usernamePattern.MatchString(name) {
		return errors.New("may have letters, digits, '_', '.' and '-' only")
	}
	if IsCollective(name) {
		return errors.New("is reserved")
	}
	return nil
}
