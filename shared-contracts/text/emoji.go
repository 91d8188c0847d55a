package text

import (
	_ "embed"
	"strings"
	"sync"
)

//go:embed emoji.txt
var emojiList string

// emojis maps each emoji, without variation selectors, to its fully qualified form.
var emojis = sync.OnceValue(func() map[string]string {
	forms := make(map[string]string, 4096)
	for line := range strings.Lines(emojiList) {
		if line = strings.TrimSuffix(line, "\n"); line != "" && !strings.HasPrefix(line, "# ") {
			forms[withoutSelectors.Replace(line)] = line
		}
	}
	return forms
})

// withoutSelectors removes the variation selectors U+FE0E (text presentation) and U+FE0F (emoji
// presentation).
var withoutSelectors = strings.NewReplacer("\ufe0e", "", "\ufe0f", "")

// Emoji returns the fully qualified form of the emoji in given. It ignores variation selectors and
// surrounding white space. ok is false unless given is exactly one Unicode emoji.
func Emoji(given string) (emoji string, ok bool) {
	const maxBytes = 128 // longer than any emoji with surrounding blanks
	if len(given) > maxBytes {
		return "", false
	}
	emoji, ok = emojis()[withoutSelectors.Replace(strings.TrimSpace(given))]
	return emoji, ok
}
