package password

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/crypto/argon2"

	"parley.chat/shared-contracts/apierr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newHasher(t testing.TB, cfg Config) *Hasher {
	t.Helper()
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHashVerify(t *testing.T) {
	t.Parallel()
	h := newHasher(t, Config{})
	hash, err := h.Hash(t.Context(), Source{}, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash = %s", hash)
	}
	for password, want := range map[string]bool{"correct horse": true, "correct horsf": false, "": false} {
		if ok, outdated, err := h.Verify(t.Context(), Source{}, password, hash); ok != want || outdated || err != nil {
			t.Errorf("Verify(%q) = %v, %v, %v; want %v, false, nil", password, ok, outdated, err, want)
		}
	}
	other := newHasher(t, Config{MemoryMiB: 1, Time: 1})
	if ok, outdated, err := other.Verify(t.Context(), Source{}, "correct horse", hash); !ok || !outdated || err != nil {
		t.Errorf("with other parameters: Verify = %v, %v, %v; want true, true, nil", ok, outdated, err)
	}
}

func TestVerify_damagedHash(t *testing.T) {
	t.Parallel()
	h := newHasher(t, Config{MemoryMiB: 1, Time: 1})
	for _, hash := range []string{
		"", "x", "$argon2i$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$",
		"$argon2id$v=19$m=99999999,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=19456,t=0,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
	} {
		if ok, _, err := h.Verify(t.Context(), Source{}, "", hash); ok || err == nil {
			t.Errorf("Verify with %q = %v, %v; want an error", hash, ok, err)
		}
	}
}

func TestHasher_isBounded(t *testing.T) {
	t.Parallel()
	h := newHasher(t, Config{MemoryMiB: 1, Time: 1, Concurrency: 1, Queue: 1})
	if err := h.queue.enter(t.Context(), Source{}); err != nil { // one hash is being computed
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waits := wait(t, &h.queue, func() error { _, err := h.Hash(ctx, Source{}, "waits"); return err }) // one caller waits
	_, err := h.Hash(t.Context(), Source{}, "one too many")
	if e := apierr.Of(err); e.Code != apierr.Overloaded || e.RetryAfter == 0 {
		t.Errorf("Hash = %v, want Overloaded with RetryAfter", err)
	}
	cancel()
	if err := <-waits; !errors.Is(err, context.Canceled) {
		t.Errorf("canceled caller got %v", err)
	}
	h.queue.leave()
	if _, err := h.Hash(t.Context(), Source{}, "free again"); err != nil {
		t.Error(err)
	}
}

// TestVerify_forms checks that the composition of characters does not matter, even for a hash that
// was computed before passwords were normalized. Such a hash is reported as outdated.
func TestVerify_forms(t *testing.T) {
	t.Parallel()
	h := newHasher(t, Config{MemoryMiB: 1, Time: 1})
	const composed, decomposed = "caf\u00e9 au lait", "cafe\u0301 au lait"
	now, err := h.Hash(t.Context(), Source{}, decomposed)
	if err != nil {
		t.Fatal(err)
	}
	salt := []byte("0123456789abcdef")
	old := encode(h.params, salt, argon2.IDKey([]byte(decomposed), salt, 1, 1<<10, 1, keyBytes))
	for _, typed := range []string{composed, decomposed} {
		if ok, outdated, err := h.Verify(t.Context(), Source{}, typed, now); !ok || outdated || err != nil {
			t.Errorf("%q: %v, %v, %v", typed, ok, outdated, err)
		}
		if ok, outdated, err := h.Verify(t.Context(), Source{}, typed, old); !ok || !outdated || err != nil {
			t.Errorf("%q with a hash of an earlier release: %v, %v, %v", typed, ok, outdated, err)
		}
	}
	if ok, _, err := h.Verify(t.Context(), Source{}, "cafe au lait", now); ok || err != nil {
		t.Errorf("without the accent: %v, %v", ok, err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for password, ok := range map[string]bool{
		"tr0ub4dor&3":                   true,
		"пароль-щука":                   true,
		"ääääääää":                      true,
		strings.Repeat("e\u0301", 200):  true, // each of these sequences is a single character when composed
		strings.Repeat("e\u0301a", 100): true,
		strings.Repeat("e\u0301", 7):    false,
		strings.Repeat("e\u0301", 201):  false,
		strings.Repeat("ab", 100):       true,
		strings.Repeat("ab", 100) + "c": false,
		"short":                         false,
		"":                              false,
		"password":                      false,
		"PassWord123":                   false,
		"aaaaaaaaaaaa":                  false,
		"AnnaMuster":                    false,
	} {
		if err := Check(password, "annamuster", "a@example.com"); (err == nil) != ok {
			t.Errorf("Check(%q) = %v, want ok %v", password, err, ok)
		}
	}
	if len(common) < 1500 {
		t.Errorf("only %d common passwords", len(common))
	}
	for word := range common {
		if len([]rune(word)) < 8 || word != strings.ToLower(word) {
			t.Errorf("%q in common.txt is too short or not in lower case", word)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	h := newHasher(b, Config{})
	for b.Loop() {
		if _, err := h.Hash(b.Context(), Source{}, "correct horse"); err != nil {
			b.Fatal(err)
		}
	}
}
