package token

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func pemFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestLoadKeys_concurrentCallsShareOneKey(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "deep", "keys")
	const n = 16
	keys := make([]*Keys, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { keys[i], errs[i] = LoadKeys(dir) })
	}
	wg.Wait()
	for i := range n {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		if keys[i].Signing().ID != keys[0].Signing().ID {
			t.Errorf("process %d signs with %s, process 0 with %s", i, keys[i].Signing().ID, keys[0].Signing().ID)
		}
	}
	files := pemFiles(t, dir)
	if len(files) != 1 {
		t.Fatalf("keys = %v, want one", files)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v; want 0600", info.Mode(), err)
	}
}

func TestLoadKeys_again(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := LoadKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Signing().Private, again.Signing().Private) {
		t.Error("a restart changes the key")
	}
}

func TestKeys_rotation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys, err := LoadKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	before, _, err := NewIssuer(keys, 0).Issue(someone())
	if err != nil {
		t.Fatal(err)
	}
	first := keys.Signing().ID
	now := time.Now()
	keys.now = func() time.Time { return now }
	newer, err := Rotate(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := keys.Signing().ID; got != first {
		t.Errorf("%s signs immediately, but other processes do not know it yet", got)
	}
	if _, known := keys.Public()[newer.ID]; !known {
		t.Error("the new key does not verify")
	}
	now = now.Add(Settle + time.Second) // the id of the second key may be from the next second
	if got := keys.Signing().ID; got != newer.ID {
		t.Errorf("%s signs, want the newest, %s", got, newer.ID)
	}
	after, _, err := NewIssuer(keys, 0).Issue(someone())
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]string{"old": before, "new": after} {
		if _, err := NewVerifier(keys).Verify(t.Context(), raw); err != nil {
			t.Errorf("token of the %s key: %v", name, err)
		}
	}
}

// TestKeys_unknownKid checks that a key added by another process is found, but that unknown kids
// cause at most one read of the folder in two seconds.
func TestKeys_unknownKid(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys, err := LoadKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	added := newKey(t)
	added.ID = "added"
	if err := WriteKey(dir, added); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Key(t.Context(), "added"); err != ErrUnknownKey {
		t.Errorf("immediately: %v, want ErrUnknownKey", err)
	}
	keys.mu.Lock()
	keys.loaded = time.Now().Add(-3 * time.Second)
	keys.mu.Unlock()
	if _, err := keys.Key(t.Context(), "added"); err != nil {
		t.Errorf("later: %v", err)
	}
}

func TestLoadKeys_damaged(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"empty": "",
		"text":  "not a key",
		"public": "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n" +
			"-----END PUBLIC KEY-----\n",
		"garbage": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "k.pem"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadKeys(dir); err == nil {
			t.Errorf("%s: no error", name)
		}
		if files := pemFiles(t, dir); len(files) != 1 {
			t.Errorf("%s: a key was made beside it: %v", name, files)
		}
	}
}

func TestJWKS_roundTrip(t *testing.T) {
	t.Parallel()
	a, b := newKey(t), newKey(t)
	a.ID, b.ID = "a", "b"
	set := EncodeJWKS(StaticKeys{"b": b.Public(), "a": a.Public()})
	got, err := DecodeJWKS(set)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || !got["a"].Equal(a.Public()) || !got["b"].Equal(b.Public()) {
		t.Errorf("decoded %v of %s", got, set)
	}
}

func TestDecodeJWKS(t *testing.T) {
	t.Parallel()
	// The key of RFC 8037, appendix A.2, next to a key of another type.
	const rfc = `{"kty":"OKP","crv":"Ed25519","kid":"rfc","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	const rsa = `{"kty":"RSA","kid":"r","n":"AQAB","e":"AQAB"}`
	keys, err := DecodeJWKS([]byte(`{"keys":[` + rsa + `,` + rfc + `]}`))
	if err != nil || len(keys) != 1 || len(keys["rfc"]) != 32 {
		t.Errorf("DecodeJWKS = %v, %v; want the one key rfc", keys, err)
	}
	for _, bad := range []string{
		``, `[]`, `{}`, `{"keys":[]}`, `{"keys":[` + rsa + `]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"short","x":"AAAA"}]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
	} {
		if keys, err := DecodeJWKS([]byte(bad)); err == nil {
			t.Errorf("DecodeJWKS(%s) = %v, want an error", bad, keys)
		}
	}
}
