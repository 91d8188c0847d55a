package token

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"
	"time"
)

// A cached token is accepted only while its key is valid and the token has not expired.
func TestVerify_cachesOnlyTheSignature(t *testing.T) {
	t.Parallel()
	key, other := newKey(t), newKey(t)
	keys := StaticKeys{key.ID: key.Public(), other.ID: other.Public()}
	now := time.Now()
	v := newVerifier(keys, func() time.Time { return now })
	raw, expires, err := NewIssuer(key, 0).Issue(someone())
	if err != nil {
		t.Fatal(err)
	}
	first, err := v.Verify(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := v.Verify(t.Context(), raw); err != nil || again != first {
		t.Errorf("again: %+v, %v", again, err)
	}
	if _, err := v.Verify(t.Context(), raw[:len(raw)-4]+"AAAA"); !errors.Is(err, ErrInvalid) {
		t.Errorf("another signature: %v", err)
	}
	now = expires.Add(time.Minute)
	if _, err := v.Verify(t.Context(), raw); !errors.Is(err, ErrExpired) {
		t.Errorf("past its time: %v", err)
	}
	now = time.Now()
	keys[key.ID] = other.Public()
	if _, err := v.Verify(t.Context(), raw); !errors.Is(err, ErrInvalid) {
		t.Errorf("its key id names another key: %v", err)
	}
	delete(keys, key.ID)
	if _, err := v.Verify(t.Context(), raw); !errors.Is(err, ErrInvalid) {
		t.Errorf("its key was taken away: %v", err)
	}
}

// The cache is bounded, and tokens in use stay in it.
func TestCache_isBounded(t *testing.T) {
	t.Parallel()
	var k cache
	at := func(n int) (sum [sha256.Size]byte) {
		binary.BigEndian.PutUint64(sum[:], uint64(n))
		return sum
	}
	k.put(at(0), verified{kid: "in use"})
	for n := 1; n < 10*maxGeneration; n++ {
		k.put(at(n), verified{})
		if n%maxGeneration == 0 {
			if _, ok := k.get(at(0)); !ok {
				t.Fatalf("forgotten after %d others", n)
			}
		}
	}
	if n := len(k.newer) + len(k.older); n > 2*maxGeneration {
		t.Errorf("%d are remembered", n)
	}
	if _, ok := k.get(at(1)); ok {
		t.Error("an unused token is still in the cache")
	}
}
