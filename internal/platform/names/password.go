package names

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Password returns the form in which a password is checked and hashed, so that it does not matter
// how the keyboard composed its characters. The form is NFC, with every Unicode space replaced by
// U+0020. These are the mappings of the OpaqueString profile (RFC 8265, 4.2.2). Unlike the profile,
// Password accepts unassigned characters. The set of unassigned characters changes with the version
// of the Unicode tables, and a valid password must not become invalid.
func Password(typed string) string {
	return norm.NFC.String(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Zs, r) {
			return ' '
		}
		return r
	}, typed))
}

// PasswordForms returns the strings from which a password's hash may have been computed. The first
// is the current form. The others are forms that earlier releases, which used the input unchanged,
// may have hashed. The number of forms depends only on the typed text.
func PasswordForms(typed string) []string {
	forms := []string{Password(typed)}
	for _, old := range []string{typed, norm.NFD.String(typed)} {
		if !slices.Contains(forms, old) {
			forms = append(forms, old)
		}
	}
	return forms
}
