package names_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley.chat/internal/platform/names"
)

func TestClean(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "shared-contracts", "text", "vectors", "names.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Given string  `json:"given"`
		Name  *string `json:"name"`
		Like  string  `json:"like"`
	}
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		got, err := names.Clean(v.Given)
		if (err == nil) != (v.Name != nil) || err == nil && got != *v.Name {
			t.Errorf("Clean(%+q) = %+q, %v", v.Given, got, err)
		}
		if v.Like != "" && names.Key(v.Given) != names.Key(v.Like) {
			t.Errorf("Key(%+q) = %+q, Key(%+q) = %+q", v.Given, names.Key(v.Given), v.Like, names.Key(v.Like))
		}
	}
}

func TestKey_tellsApart(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"ann", "bob", "general", "general 2", "cafe", "café", "team-a", "team-b", "дом", "東京", "user1", "user2"} {
		key := names.Key(name)
		if other := seen[key]; other != "" {
			t.Errorf("%q and %q have the key %q", name, other, key)
		}
		seen[key] = name
	}
}

func TestKey_isBounded(t *testing.T) {
	long, longer := strings.Repeat("ﷺ", 80), strings.Repeat("ﷺ", 81)
	if a, b := names.Key(long), names.Key(longer); len(a) > 512 || a == b || a != names.Key(long) {
		t.Errorf("the keys of long names: %q, %q", a, b)
	}
}

func TestIsReserved(t *testing.T) {
	for name, want := range map[string]bool{
		"admin": true, "Admin": true, "ADMIN": true, "_root_": true, "аdmin": true, "adm1n": false, "Supp0rt": true, "suppоrt": true, "sys\u200btem": true,
		"adminton": false, "rooted": false, "ann": false, "": false,
	} {
		if got := names.IsReserved(name); got != want {
			t.Errorf("IsReserved(%+q) = %v", name, got)
		}
	}
}

func TestEmail(t *testing.T) {
	if got, err := names.Email("cafe\u0301@example.com"); err != nil || got != "caf\u00e9@example.com" {
		t.Errorf("composed: %+q, %v", got, err)
	}
	for _, bad := range []string{"a\u200bnn@example.com", "a\u00a0nn@example.com", "ann @example.com"} {
		if _, err := names.Email(bad); err == nil {
			t.Errorf("%+q was accepted", bad)
		}
	}
}

// FuzzClean checks that cleaning a clean name changes nothing, and that a clean name has the key of
// the original.
func FuzzClean(f *testing.F) {
	for _, seed := range []string{"Ann", "cafe\u0301", "te\u200bam", "a\u00a0\u00a0b", "Ann 👩‍💻", "pаypal", "\u202ea", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		name, err := names.Clean(given)
		if err != nil {
			return
		}
		if again, err := names.Clean(name); err != nil || again != name {
			t.Fatalf("Clean(%+q) = %+q, and that of it %+q, %v", given, name, again, err)
		}
		if names.Key(name) != names.Key(given) {
			t.Fatalf("Key(%+q) = %+q, Key(%+q) = %+q", name, names.Key(name), given, names.Key(given))
		}
	})
}
