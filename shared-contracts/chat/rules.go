package chat

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"parley.chat/shared-contracts/apierr"
)

// Limits on text that people type, in bytes or characters.
const (
	MaxBodyBytes        = 16 << 10 // of UTF-8
	MaxChannelNameChars = 80
	MaxDescriptionChars = 500
	MinUsernameChars    = 3
	MaxUsernameChars    = 50
	MinPasswordChars    = 8
	MaxPasswordChars    = 200
)

// The Check functions return nil or an *apierr.RuleError.

// CheckBody checks a message body. It must consist of 1 to limit bytes of valid UTF-8, must not be
// blank, and must not contain control characters except newline and tab. A limit of 0 or less means
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

// BodyCode returns the code of the error for a body that CheckBody refused.
func BodyCode(refused error) apierr.Code {
	if apierr.RuleErrorOf(refused).Code == apierr.FieldBytes {
		return apierr.TooLarge
	}
	return apierr.InvalidBody
}

// lineEnds converts CRLF and lone CR (Windows and old Mac line ends) to newlines.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// NormalizeBody converts all line ends of a body to \n. Call it before CheckBody and before
// comparing bodies.
func NormalizeBody(body string) string {
	if strings.IndexByte(body, '\r') < 0 {
		return body
	}
	return lineEnds.Replace(body)
}

// IsBlank reports whether a text has no visible characters, that is, whether it is empty or
// consists only of spaces and invisible characters such as U+200B and U+FEFF.
func IsBlank(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return !unicode.IsSpace(r) && !isInvisible(r) }) < 0
}

// isInvisible reports whether r is invisible: one of Unicode's default-ignorable characters, or the
// blank Braille pattern.
func isInvisible(r rune) bool {
	return r == 0x2800 || r >= utf8.RuneSelf && unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// CheckName checks the name of a user or channel. It must not be blank, and must not contain
// characters that change the text direction, because they could make it look like another name.
// CheckLine checks the other rules.
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

// CheckLine checks a single-line text, such as a name. It must be valid UTF-8 without control
// characters, and at most limit characters long. It may be empty.
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
		// C0, DEL and C1 are rejected. They include NUL, which PostgreSQL cannot store.
		if (r < 0x20 || r >= 0x7f && r < 0xa0) && !strings.ContainsRune(allowed, r) {
			return apierr.Violates(apierr.FieldCharacters, "must not contain the control character U+%04X (at byte %d)", r, i)
		}
	}
	return nil
}

var usernamePattern = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// collective lists the names that mean, or seem to mean, all members of a channel. No user may have
// one of these names.
var collective = []string{"channel", "here", "all", "everyone"}

// IsCollective reports whether a name means everyone, ignoring case and surrounding punctuation.
func IsCollective(name string) bool {
	return slices.Contains(collective, strings.ToLower(strings.Trim(name, "_.-")))
}

// CheckUsername checks a username. It must consist of 3 to 50 letters, digits, '_', '.' and '-',
// and must not be reserved. Case is preserved but not significant.
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
