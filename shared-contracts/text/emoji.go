package text

import (
	_ "embed"
	"strings"
	"sync"
)

//go:embed emoji.txt
var emojiList string

// emojis has the fully qualified form of every emoji by its text without variation selectors.
var emojis = sync.OnceValue(func() map[string]string {
	forms := make(map[string]string, 4096)
	for line := range strings.Lines(emojiList) {
		if line = strings.TrimSuffix(line, "\n"); line != "" && !strings.HasPrefix(line, "# ") {
			forms[withoutSelectors.Replace(line)] = line
		}
	}
	return forms
})

// withoutSelectors removes U+FE0E and U+FE0F, which ask for an emoji in black and white or in colour.
var withoutSelectors = strings.NewReplacer("\ufe0e", "", "\ufe0f", "")

// Emoji returns an emoji in its one form, the fully qualified one, whatever variation selectors and blanks it came
// with. ok is false for anything else than exactly one emoji of Unicode.
func Emoji(given string) (emoji string, ok bool) {
	const maxBytes = 128 // more than any emoji with blanks around it needs
	if len(given) > maxBytes {
		return "", false
	}
	emoji, ok = emojis()[withoutSelectors.Replace(strings.TrimSpace(given))]
	return emoji, ok
}
