package password

import (
	_ "embed"
	"strings"
	"unicode/utf8"

	"parley.chat/internal/platform/names"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

//go:embed common.txt
var commonText string

var common = func() map[string]bool {
	words := map[string]bool{}
	for line := range strings.Lines(commonText) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			words[line] = true
		}
	}
	return words
}()

// Check returns an error unless password has 8 to 200 characters, is not a common password and is
// not one of its owner's names. The error is an *apierr.RuleError.
func Check(password string, owner ...string) error {
	password = names.Password(password)
	if n := utf8.RuneCountInString(password); n < chat.MinPasswordChars || n > chat.MaxPasswordChars {
		return apierr.Length(chat.MinPasswordChars, chat.MaxPasswordChars)
	}
	lower := strings.ToLower(password)
	if common[lower] || strings.Count(lower, lower[:1]) == len(lower) {
		return apierr.Violates(apierr.FieldCommonPassword, "is one of the most common passwords")
	}
	for _, name := range owner {
		if lower == strings.ToLower(name) {
			return apierr.Violates(apierr.FieldOwnName, "must not be your own name or email address")
		}
	}
	return nil
}
