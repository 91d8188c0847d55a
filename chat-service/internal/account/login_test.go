package account

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"

	"parley.chat/shared-contracts/apierr"
)

// TestLogin_renewsOldHashes checks that a login replaces a hash that was computed with other
// parameters.
func TestLogin_renewsOldHashes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, noLimit)
	f.register("ann")
	hash := func() string { return f.Text("select password_hash from users") }
	if !strings.Contains(hash(), ",t=1,") {
		t.Fatalf("hash = %s", hash())
	}
	f.cfg.Hasher = newHasher(t, 2)
	for range 2 {
		f.mustLogIn("ann", goodPassword, home)
		if !strings.Contains(hash(), ",t=2,") {
			t.Errorf("hash = %s, want it renewed", hash())
		}
	}
}

// TestPassword_composed checks that the composition of characters in a password does not matter.
// The hash of a password that an earlier release did not normalize is replaced at the next login.
func TestPassword_composed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, noLimit)
	const composed, decomposed = "Z\u00fcrich caf\u00e9 1", "Zu\u0308rich cafe\u0301 1"
	if _, _, err := f.signup(t.Context(), "ann", "ann@example.com", composed, home); err != nil {
		t.Fatal(err)
	}
	for _, typed := range []string{decomposed, composed} {
		f.mustLogIn("ann", typed, home)
	}
	salt := []byte("0123456789abcdef")
	for i, old := range []string{decomposed, composed} {
		key := argon2.IDKey([]byte(old), salt, 1, 1<<10, 1, 32)
		b64 := base64.RawStdEncoding.EncodeToString
		f.Exec("update users set password_hash = $1", fmt.Sprintf("$argon2id$v=19$m=1024,t=1,p=1$%s$%s", b64(salt), b64(key)))
		_, _, err := f.login(t.Context(), "ann", "Zurich cafe 1", home)
		f.WantCode("a login without the marks", err, apierr.InvalidCredentials)
		f.mustLogIn("ann", composed, home)
		if n := f.Count("select count(*) from users where password_hash like '%' || $1 || '%'", b64(salt)); n != i {
			t.Errorf("%d old hashes of %q are left, want %d", n, old, i)
		}
		f.mustLogIn("ann", decomposed, home)
	}
}
