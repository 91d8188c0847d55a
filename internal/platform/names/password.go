package names

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Password returns the form in which a password is checked and hashed, however the keyboard
// composed its characters: NFC, with every Unicode space as U+0020. These are the mappings of the
// profile OpaqueString (RFC 8265, 4.2.2). The profile's rejection of unassigned characters is left
// out: it depends on the version of the Unicode tables, and a valid password must not become
// invalid.
func Password(typed string) string {
	return norm.NFC.String(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Zs, r) {
			return ' '
		}
		return r
	}, typed))
}

// PasswordForms returns the texts that a hash of a password may have been made from. The first is
// the current form; the others are what earlier releases hashed, which used the input unchanged.
// The number of forms depends only on the typed text.
func PasswordForms(typed string) []string {
	forms := []string{Password(typed)}
	for _, old := range []string{typed, norm.NFD.String(typed)} {
		if !slices.Contains(forms, old) {
			forms = append(forms, old)
		}
	}
	return forms
}
