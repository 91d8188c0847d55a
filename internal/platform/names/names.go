// Package names defines the rules for the names of people and channels: the canonical form of a
// name, and a key that is equal for names that look alike.
//
// The rules are taken from Unicode's security mechanisms (UTS 39): skeletons for confusable
// characters, and the restriction level "highly restrictive" for each word of a name. Every
// function is pure and safe for concurrent use. Every error is an *apierr.RuleError.
package names

import (
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

// Clean returns a name in the form in which it is stored: composed (NFC), without invisible
// characters, with single spaces between words and none around them. It rejects names that are
// blank, change the direction of text, or mix scripts within a word. Different words may use
// different scripts, as in "команда backend".
func Clean(name string) (string, error) {
	if err := chat.CheckName(name); err != nil {
		return "", err
	}
	name = strings.Join(strings.FieldsFunc(norm.NFC.String(visible(norm.NFC.String(name))), isBlank), " ")
	for _, word := range words(name) {
		if mixed(word) {
			return "", apierr.Violates(apierr.FieldMixedScripts, "must not mix scripts within a word, such as Latin and Cyrillic")
		}
	}
	return name, nil
}

// CleanDisplay is like Clean, but checks a person's name, so it also rejects reserved names.
func CleanDisplay(name string) (string, error) {
	name, err := Clean(name)
	if err == nil && IsReserved(name) {
		err = apierr.Violates(apierr.FieldReserved, "is reserved")
	}
	return name, err
}

// CheckUsername is like chat.CheckUsername, but also rejects reserved names.
func CheckUsername(name string) error {
	if err := chat.CheckUsername(name); err != nil {
		return err
	}
	if IsReserved(name) {
		return apierr.Violates(apierr.FieldReserved, "is reserved")
	}
	return nil
}

// reservedKeys returns the keys of the names that no user may have, because a user with one of them
// would seem to be an operator of the server.
var reservedKeys = sync.OnceValue(func() map[string]bool {
	keys := map[string]bool{}
	for _, name := range []string{
		"abuse", "admin", "administrator", "help", "helpdesk", "moderator", "noreply", "official", "parley", "postmaster",
		"root", "security", "staff", "support", "sysadmin", "system", "webmaster",
	} {
		keys[Key(name)] = true
	}
	return keys
})

// IsReserved reports whether a name is reserved, or looks like a reserved one.
func IsReserved(name string) bool {
	for _, form := range []string{name, strings.ToLower(name)} { // a capital I looks like l, but lowercasing turns it into i
		if reservedKeys()[strings.Trim(Key(form), " _.-")] {
			return true
		}
	}
	return false
}

// Email returns an email address in the form in which it is stored (NFC), and rejects an address
// with blanks or invisible characters. Case is preserved, but ignored in comparisons.
func Email(address string) (string, error) {
	address = norm.NFC.String(address)
	if strings.ContainsFunc(address, func(r rune) bool { return isBlank(r) || isInvisible(r) }) {
		return "", apierr.Violates(apierr.FieldCharacters, "must not contain blanks or invisible characters")
	}
	return address, nil
}

// visible removes invisible characters, except those needed to draw an emoji or a script: joiners
// and selectors after an emoji, and joiners within Arabic and Indic words.
func visible(name string) string {
	var b strings.Builder
	var last rune
	for _, r := range name {
		if isInvisible(r) && !(isPictorial(last) || isJoiner(r) && last >= 0x600 && last <= 0xdff) {
			continue
		}
		b.WriteRune(r)
		last = r
	}
	return b.String()
}

// isPictorial reports whether r is an emoji or part of one.
func isPictorial(r rune) bool {
	return r >= 0x1f000 && r <= 0x1faff || r >= 0x2190 && r <= 0x2bff && r != 0x2800 || r == 0xfe0f || r >= 0xe0020 && r <= 0xe007f
}

func isJoiner(r rune) bool { return r == 0x200c || r == 0x200d }

// isInvisible reports whether r has no width or no visible shape.
func isInvisible(r rune) bool {
	return r == 0x2800 || unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

func isBlank(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Z, r) }
