package names_test

import (
	"slices"
	"testing"

	"parley.chat/internal/platform/names"
)

func TestPassword(t *testing.T) {
	const composed, decomposed = "caf\u00e9 au lait", "cafe\u0301 au lait"
	for typed, want := range map[string][]string{
		"plain ASCII":                 {"plain ASCII"},
		composed:                      {composed, decomposed},
		decomposed:                    {composed, decomposed},
		"caf\u00e9\u00a0au\u3000lait": {composed, "caf\u00e9\u00a0au\u3000lait", "cafe\u0301\u00a0au\u3000lait"},
		"\ufb01\u2460":                {"\ufb01\u2460"}, // NFKC would change it to "fi1"
	} {
		if got := names.PasswordForms(typed); !slices.Equal(got, want) || names.Password(typed) != want[0] {
			t.Errorf("PasswordForms(%q) = %q, want %q", typed, got, want)
		}
	}
}
