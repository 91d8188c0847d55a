package names

import (
	"crypto/sha256"
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

//go:embed confusables.txt
var confusablesTable string

// prototypes maps each confusable character to the text that replaces it in comparisons.
var prototypes = sync.OnceValue(func() map[rune]string {
	all := make(map[rune]string, 8192)
	for line := range strings.Lines(confusablesTable) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		codes := strings.Fields(line)
		var to strings.Builder
		for _, code := range codes[1:] {
			to.WriteRune(runeOf(code))
		}
		all[runeOf(codes[0])] = to.String()
	}
	return all
})

// runeOf returns the character with the given hexadecimal code point.
func runeOf(code string) rune {
	n, err := strconv.ParseUint(code, 16, 32)
	if err != nil {
		panic("names: confusables.txt: " + err.Error()) // the file is embedded in the program
	}
	return rune(n)
}

// maxKeyBytes is the maximum length of a key. A longer key is replaced by its hash, because one
// character may expand to 18 characters and PostgreSQL can index at most 2,704 bytes.
const maxKeyBytes = 512

// Key returns a string that is equal for names that look alike: the skeleton of UTS 39, ignoring
// case, blanks and invisible characters. It is for comparison, not for display.
func Key(name string) string {
	seen := strings.Map(func(r rune) rune {
		if isInvisible(r) {
			return -1
		}
		return r
	}, name)
	var b strings.Builder
	for _, r := range norm.NFKD.String(strings.Join(strings.FieldsFunc(seen, isBlank), " ")) {
		if to, known := prototypes()[r]; known {
			b.WriteString(to)
		} else {
			b.WriteRune(r)
		}
	}
	key := norm.NFC.String(strings.ToLower(b.String()))
	if len(key) > maxKeyBytes {
		key = fmt.Sprintf("%x", sha256.Sum256([]byte(key)))
	}
	return key
}

// together lists the sets of scripts that one word may mix: the scripts of Japanese, Chinese and
// Korean, each together with Latin.
var together = [][]string{
	{"Latin", "Han", "Hiragana", "Katakana"}, {"Latin", "Han", "Bopomofo"}, {"Latin", "Han", "Hangul"},
}

// mixed reports whether a word mixes scripts that must not be mixed.
func mixed(word string) bool {
	scripts := map[string]bool{}
	for _, r := range word {
		if s := scriptOf(r); s != "" {
			scripts[s] = true
		}
	}
	if len(scripts) < 2 {
		return false
	}
	for _, set := range together {
		n := 0
		for _, s := range set {
			if scripts[s] {
				n++
			}
		}
		if n == len(scripts) {
			return false
		}
	}
	return true
}

// scriptOf returns the script of a character, or "" for a character that belongs to every script.
func scriptOf(r rune) string {
	if r < 0x80 {
		if unicode.IsLetter(r) {
			return "Latin"
		}
		return ""
	}
	for name, table := range unicode.Scripts {
		if unicode.Is(table, r) {
			if name == "Common" || name == "Inherited" {
				return ""
			}
			return name
		}
	}
	return ""
}

// words returns the parts of a name, split at characters that are not letters, marks or digits.
func words(name string) []string {
	return strings.FieldsFunc(name, func(r rune) bool { return !unicode.In(r, unicode.L, unicode.M, unicode.N) })
}
