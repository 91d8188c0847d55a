package chat

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"parley.chat/shared-contracts/apierr"
)

// Limits on text that people type. Each name contains the unit: bytes or characters.
const (
	MaxBodyBytes        = 16 << 10 // of UTF-8
	MaxChannelNameChars = 80
	MaxDescriptionChars = 500
	MinUsernameChars    = 3
	MaxUsernameChars    = 50
	MinPasswordChars    = 8
	MaxPasswordChars    = 200
)

// The Check functions return nil if the text is valid. Otherwise they return an *apierr.RuleError.

// CheckBody checks a message body. It must be valid UTF-8 of at most limit bytes, and must not be
// blank. Newline and tab are the only allowed control characters. A limit of 0 or less means
// MaxBodyBytes.
func CheckBody(body string, limit int) error {
	if limit <= 0 {
		limit = MaxBodyBytes
	}
	if len(body) > limit {
		return apierr.Violates(apierr.FieldBytes, "is too large: it has %d bytes, and the limit is %d", len(body), limit).AtMost(int64(limit))
	}
	if err := checkText(body, "\n\t"); err != nil {
		return err
	}
	if IsBlank(body) {
		return apierr.Violates(apierr.FieldBlank, "must not be blank")
	}
	return nil
}

// BodyCode returns the apierr code for an error that CheckBody returned.
func BodyCode(refused error) apierr.Code {
	if apierr.RuleErrorOf(refused).Code == apierr.FieldBytes {
		return apierr.TooLarge
	}
	return apierr.InvalidBody
}

// lineEnds replaces CRLF (Windows) and CR (classic Mac OS) with LF.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// NormalizeBody converts all line endings in a body to \n. Call it before CheckBody and before
// comparing bodies.
func NormalizeBody(body string) string {
	if strings.IndexByte(body, '\r') < 0 {
		return body
	}
	return lineEnds.Replace(body)
}

// IsBlank reports whether a string has no visible characters. Spaces and characters such as U+200B
// and U+FEFF are not visible.
func IsBlank(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return !unicode.IsSpace(r) && !isInvisible(r) }) < 0
}

// isInvisible reports whether r is a character without a visible form: a Unicode default-ignorable
// character, or the blank Braille pattern.
func isInvisible(r rune) bool {
	return r == 0x2800 || r >= utf8.RuneSelf && unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// CheckName checks the name of a user or channel. It must not be blank. It must not contain
// characters that change the text direction, because these could make the name look like another
// one. CheckName does not check the length and does not reject control characters; see CheckLine.
func CheckName(name string) error {
	if IsBlank(name) {
		return apierr.Violates(apierr.FieldBlank, "must not be blank")
	}
	for _, r := range name {
		if r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return apierr.Violates(apierr.FieldCharacters, "must not contain U+%04X, which changes the text direction", r)
		}
	}
	return nil
}

// CheckLine checks single-line text, such as a name. It must be valid UTF-8 of at most limit
// characters, without control characters. It may be empty.
func CheckLine(text string, limit int) error {
	if err := checkText(text, ""); err != nil {
		return err
	}
	if utf8.RuneCountInString(text) > limit {
		return apierr.Length(0, int64(limit))
	}
	return nil
}

func checkText(text, allowed string) error {
	if !utf8.ValidString(text) {
		return apierr.Violates(apierr.FieldCharacters, "must be valid UTF-8")
	}
	for i, r := range text {
		// Reject all control characters (C0, DEL and C1), including NUL, which PostgreSQL cannot
		// store.
		if (r < 0x20 || r >= 0x7f && r < 0xa0) && !strings.ContainsRune(allowed, r) {
			return apierr.Violates(apierr.FieldCharacters, "must not contain the control character U+%04X (at byte %d)", r, i)
		}
	}
	return nil
}

var usernamePattern = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// collective lists the names that mean, or appear to mean, all members of a channel. No user may
// have one of these names.
var collective = []string{"channel", "here", "all", "everyone"}

// IsCollective reports whether a name means, or appears to mean, all members of a channel, such as
// "all". It ignores case and surrounding '_', '.' and '-'.
func IsCollective(name string) bool {
	return slices.Contains(collective, strings.ToLower(strings.Trim(name, "_.-")))
}

// CheckUsername checks a username. It must consist of 3 to 50 letters, digits, '_', '.' and '-',
// and must not be reserved. Usernames are case-insensitive but keep their case.
func CheckUsername(name string) error {
	if n := len(name); n < MinUsernameChars || n > MaxUsernameChars {
		return apierr.Length(MinUsernameChars, MaxUsernameChars)
	}
	if !usernamePattern.MatchString(name) {
		return apierr.Violates(apierr.FieldUsernameCharacters, "may contain only letters, digits, '_', '.' and '-'")
	}
	if IsCollective(name) {
		return apierr.Violates(apierr.FieldReserved, "is reserved")
	}
	return nil
}
