package password

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"parley.chat/internal/platform/names"
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

// Check returns an error unless password has 8 to 200 characters, is not among the most common ones
// and is not one of its owner's names. The error message is shown to the user.
func Check(password string, owner ...string) error {
	password = names.Password(password)
	if n := utf8.RuneCountInString(password); n < chat.MinPasswordChars || n > chat.MaxPasswordChars {
		return fmt.Errorf("must have %d to %d characters", chat.MinPasswordChars, chat.MaxPasswordChars)
	}
	lower := strings.ToLower(password)
	if common[lower] || strings.Count(lower, lower[:1]) == len(lower) {
		return errors.New("is one of the most common passwords")
	}
	for _, name := range owner {
		if lower == strings.ToLower(name) {
			return errors.New("must not be your own name or email address")
		}
	}
	return nil
}
