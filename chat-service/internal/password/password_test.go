package password

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"

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
	hash, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash = %s", hash)
	}
	for password, want := range map[string]bool{"correct horse": true, "correct horsf": false, "": false} {
		if ok, outdated, err := h.Verify(t.Context(), password, hash); ok != want || outdated || err != nil {
			t.Errorf("Verify(%q) = %v, %v, %v; want %v, false, nil", password, ok, outdated, err, want)
		}
	}
	other := newHasher(t, Config{MemoryMiB: 1, Time: 1})
	if ok, outdated, err := other.Verify(t.Context(), "correct horse", hash); !ok || !outdated || err != nil {
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
		if ok, _, err := h.Verify(t.Context(), "", hash); ok || err == nil {
			t.Errorf("Verify with %q = %v, %v; want an error", hash, ok, err)
		}
	}
}

func TestHasher_isBounded(t *testing.T) {
	t.Parallel()
	h := newHasher(t, Config{MemoryMiB: 1, Time: 1, Concurrency: 1, Queue: 1})
	h.slots <- struct{}{} // a hash under way,
	h.places <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	waits := make(chan error)
	go func() { _, err := h.Hash(ctx, "waits"); waits <- err }()
	for len(h.places) < 2 { // one that waits for it,
		select {
		case err := <-waits:
			t.Fatalf("the second did not wait: %v", err)
		default:
		}
	}
	_, err := h.Hash(t.Context(), "one too many")
	if e := apierr.Of(err); e.Code != apierr.Overloaded || e.RetryAfter == 0 {
		t.Errorf("Hash = %v, want overloaded with a time to retry", err)
	}
	cancel()
	if err := <-waits; !errors.Is(err, context.Canceled) {
		t.Errorf("the one that gave up got %v", err)
	}
	<-h.slots
	<-h.places
	if _, err := h.Hash(t.Context(), "free again"); err != nil {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for password, ok := range map[string]bool{
		"tr0ub4dor&3":                   true,
		"пароль-щука":                   true,
		"ääääääää":                      true,
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
			t.Errorf("%q in common.txt is short or not in lower case", word)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	h := newHasher(b, Config{})
	for b.Loop() {
		if _, err := h.Hash(b.Context(), "correct horse"); err != nil {
			b.Fatal(err)
		}
	}
}
