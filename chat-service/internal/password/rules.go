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

// Check accepts a password of 8 to 200 characters that is neither among the commonest nor one of its
// owner's names. Its error is for the user to read.
func Check(password string, owner ...string) error {
	password = names.Password(password)
	if n := utf8.RuneCountInString(password); n < chat.MinPasswordChars || n > chat.MaxPasswordChars {
		return fmt.Errorf("must have %d to %d characters", chat.MinPasswordChars, chat.MaxPasswordChars)
	}
	lower := strings.ToLower(password)
	if common[lower] || strings.Count(lower, lower[:1]) == len(lower) {
		return errors.New("is among the commonest passwords")
	}
	for _, name := range owner {
		if lower == strings.ToLower(name) {
			return errors.New("must not be your own name or address")
		}
	}
	return nil
}
