package token

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"parley.chat/internal/devkit/testkit"

	"parley.chat/shared-contracts/chat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testkit.Redialing()) }

func newKey(t testing.TB) SigningKey {
	t.Helper()
	key, err := NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func someone() Claims {
	return Claims{UserID: chat.NewUserID(), SessionID: chat.NewSessionID(), Username: "ann"}
}

func TestIssueVerify(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	want := someone()
	raw, expires, err := NewIssuer(key, 0).Issue(want)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(expires); left < 14*time.Minute || left > 15*time.Minute {
		t.Errorf("the token ends in %v, want 15 minutes", left)
	}
	got, err := NewVerifier(StaticKeys{key.ID: key.Public()}).Verify(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	if !got.ExpiresAt.Equal(expires) {
		t.Errorf("Verify returned the expiry %v, Issue returned %v", got.ExpiresAt, expires)
	}
	got.ExpiresAt = time.Time{}
	if got != want {
		t.Errorf("claims = %+v, want %+v", got, want)
	}
}

// TestVerify_refuses checks tokens that are correct except for the one fault that the case is named
// after.
func TestVerify_refuses(t *testing.T) {
	t.Parallel()
	key, foreign := newKey(t), newKey(t)
	now := time.Now()
	good := func() jwt.MapClaims {
		return jwt.MapClaims{
			"iss": "parley", "aud": "parley", "sub": chat.NewUserID().String(), "sid": chat.NewSessionID().String(),
			"preferred_username": "ann", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		}
	}
	with := func(claim string, value any) jwt.MapClaims { c := good(); c[claim] = value; return c }
	without := func(claim string) jwt.MapClaims { c := good(); delete(c, claim); return c }
	sign := func(method jwt.SigningMethod, secret any, kid any, claims jwt.MapClaims) string {
		token := jwt.NewWithClaims(method, claims)
		if kid != nil {
			token.Header["kid"] = kid
		}
		raw, err := token.SignedString(secret)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	ours := func(claims jwt.MapClaims) string {
		return sign(jwt.SigningMethodEdDSA, key.Private, key.ID, claims)
	}
	verifier := NewVerifier(StaticKeys{key.ID: key.Public()})
	if _, err := verifier.Verify(t.Context(), ours(good())); err != nil {
		t.Fatalf("the good token does not pass: %v", err)
	}
	if _, err := verifier.Verify(t.Context(), ours(with("exp", now.Add(MaxTTL).Unix()))); err != nil {
		t.Errorf("the longest token that is allowed: %v", err)
	}
	expiredLong := with("exp", now.Add(-time.Minute).Unix())
	expiredElsewhere := with("exp", now.Add(-time.Minute).Unix())
	expiredElsewhere["aud"] = "other"
	notYetElsewhere := with("nbf", now.Add(2*time.Minute).Unix())
	notYetElsewhere["aud"] = "other"
	notYetExpired := with("exp", now.Add(-2*time.Minute).Unix())
	notYetExpired["nbf"] = now.Add(2 * time.Minute).Unix()

	for _, tt := range []struct {
		name, raw string
		want      error
	}{
		{"expired", ours(expiredLong), ErrExpired},
		{"alg none", sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, key.ID, good()), ErrInvalid},
		{"HS256 with the public key", sign(jwt.SigningMethodHS256, []byte(key.Public()), key.ID, good()), ErrInvalid},
		{"foreign key, our kid", sign(jwt.SigningMethodEdDSA, foreign.Private, key.ID, good()), ErrInvalid},
		{"unknown kid", sign(jwt.SigningMethodEdDSA, foreign.Private, foreign.ID, good()), ErrInvalid},
		{"no kid", sign(jwt.SigningMethodEdDSA, key.Private, nil, good()), ErrInvalid},
		{"kid of another type", sign(jwt.SigningMethodEdDSA, key.Private, 7, good()), ErrInvalid},
		{"iss", ours(with("iss", "other")), ErrInvalid},
		{"no iss", ours(without("iss")), ErrInvalid},
		{"aud", ours(with("aud", "other")), ErrInvalid},
		{"no aud", ours(without("aud")), ErrInvalid},
		{"no sid", ours(without("sid")), ErrInvalid},
		{"sid of zeros", ours(with("sid", "00000000-0000-0000-0000-000000000000")), ErrInvalid},
		{"no sub", ours(without("sub")), ErrInvalid},
		{"sub is no UUID", ours(with("sub", "ann")), ErrInvalid},
		{"no name", ours(without("preferred_username")), ErrInvalid},
		{"no exp", ours(without("exp")), ErrInvalid},
		{"no iat", ours(without("iat")), ErrInvalid},
		{"good for 28 years", ours(with("exp", now.AddDate(28, 0, 0).Unix())), ErrInvalid},
		{"good for a second too long", ours(with("exp", now.Add(MaxTTL+time.Second).Unix())), ErrInvalid},
		{"not yet", ours(with("nbf", now.Add(2*time.Minute).Unix())), ErrNotYet},
		{"from the future", ours(with("iat", now.Add(2*time.Minute).Unix())), ErrNotYet},
		{"not yet, for another audience", ours(notYetElsewhere), ErrInvalid},
		{"not yet, and expired", ours(notYetExpired), ErrInvalid},
		{"expired, for another audience", ours(expiredElsewhere), ErrInvalid},
		{"expired, of a foreign key", sign(jwt.SigningMethodEdDSA, foreign.Private, key.ID, expiredLong), ErrInvalid},
		{"signature cut", strings.TrimSuffix(ours(good()), "A")[:40], ErrInvalid},
		{"empty", "", ErrInvalid},
		{"not a token", "a.b.c", ErrInvalid},
		{"huge", ours(with("preferred_username", strings.Repeat("a", 5000))), ErrInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			claims, err := verifier.Verify(t.Context(), tt.raw)
			if !errors.Is(err, tt.want) || errors.Is(err, ErrExpired) != (tt.want == ErrExpired) || errors.Is(err, ErrNotYet) != (tt.want == ErrNotYet) {
				t.Errorf("Verify = %+v, %v; want %v", claims, err, tt.want)
			}
		})
	}
}

// TestVerify_clocksMayDiffer checks that clocks may differ by a minute at the start of a token's
// lifetime, and not at all at its end.
func TestVerify_clocksMayDiffer(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	issued := time.Now().Truncate(time.Second)
	issuer := NewIssuer(key, 5*time.Minute)
	issuer.now = func() time.Time { return issued }
	raw, expires, err := issuer.Issue(someone())
	if err != nil {
		t.Fatal(err)
	}
	keys := StaticKeys{key.ID: key.Public()}
	for clock, want := range map[time.Time]error{
		issued.Add(-61 * time.Second): ErrNotYet,
		issued.Add(-59 * time.Second): nil,
		issued.Add(-8 * time.Second):  nil,
		issued:                        nil,
		expires.Add(-time.Second):     nil,
		expires:                       ErrExpired,
		expires.Add(3 * time.Second):  ErrExpired,
		expires.Add(2 * time.Minute):  ErrExpired,
	} {
		v := newVerifier(keys, func() time.Time { return clock })
		if _, err := v.Verify(t.Context(), raw); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%v after it was issued: %v, want %v", clock.Sub(issued), err, want)
		}
	}
}

type brokenSource struct{}

func (brokenSource) Key(context.Context, string) (ed25519.PublicKey, error) {
	return nil, errors.New("connection refused")
}

func TestVerify_keysUnavailable(t *testing.T) {
	t.Parallel()
	raw, _, err := NewIssuer(newKey(t), 0).Issue(someone())
	if err != nil {
		t.Fatal(err)
	}
	_, err = NewVerifier(brokenSource{}).Verify(t.Context(), raw)
	if err == nil || errors.Is(err, ErrInvalid) || errors.Is(err, ErrExpired) {
		t.Errorf("Verify without keys = %v, want neither ErrInvalid nor ErrExpired", err)
	}
}

// FuzzVerify checks that no token is accepted that was not signed with our key, and that no token
// causes a panic.
func FuzzVerify(f *testing.F) {
	key := newKey(f)
	raw, _, err := NewIssuer(key, 0).Issue(someone())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	verifier := NewVerifier(StaticKeys{key.ID: key.Public()})
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	stranger := NewVerifier(StaticKeys{key.ID: other.Public().(ed25519.PublicKey)})
	f.Fuzz(func(t *testing.T, raw string) {
		_, _ = verifier.Verify(t.Context(), raw)
		if c, err := stranger.Verify(t.Context(), raw); err == nil {
			t.Fatalf("a token of another key passes: %+v", c)
		}
	})
}
