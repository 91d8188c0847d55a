package names

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Password returns the one form in which a password is checked and hashed, however a keyboard has composed its
// characters: NFC, with every space of Unicode as U+0020. These are the mappings of the profile OpaqueString
// (RFC 8265, 4.2.2). Its refusal of characters that Unicode has not assigned is left out: it depends on the
// version of the tables, and a password must not cease to be one.
func Password(typed string) string {
	return norm.NFC.String(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Zs, r) {
			return ' '
		}
		return r
	}, typed))
}

// PasswordForms returns the texts that a hash of a password may have been made from: first the form of now, then
// those that earlier releases have hashed, which took what a keyboard sent. The number of forms depends on the
// typed text only.
func PasswordForms(typed string) []string {
	forms := []string{Password(typed)}
	for _, old := range []string{typed, norm.NFD.String(typed)} {
		if !slices.Contains(forms, old) {
			forms = append(forms, old)
		}
	}
	return forms
}
