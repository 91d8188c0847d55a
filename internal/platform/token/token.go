// Package token issues and verifies Parley's access tokens: JSON Web Tokens signed with Ed25519.
//
// chat-service signs them with a private key that no other service has. A gateway verifies them
// with the public keys. It fetches these over HTTP or, when chat-service is down, from PostgreSQL.
// Everything in this package is safe for concurrent use. The package starts no goroutines.
package token

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"parley.chat/shared-contracts/chat"
)

const (
	// Name is the issuer and the audience of every token.
	Name = "parley"
	// DefaultTTL is the default lifetime of a token.
	DefaultTTL = 15 * time.Minute
	// MaxTTL is the maximum accepted time between iat and exp. It limits the damage from a token
	// that was signed by mistake or with a stolen key. It also limits how long a session must
	// remain marked as ended.
	MaxTTL = 24 * time.Hour
	// leeway is how far a verifier's clock may be behind the issuer's. It applies only to iat and
	// nbf: a token expires exactly at exp, according to the verifier's clock.
	leeway = time.Minute
	// maxLength is the maximum length of a token, in bytes; longer tokens are rejected without
	// parsing. Parley's tokens are about 450 bytes long.
	maxLength = 4 << 10
)

// Errors that Verify returns for a token that it rejects. Any other error means that the keys were
// unavailable, and that the token may be valid.
var (
	ErrExpired = errors.New("the token has expired")
	ErrInvalid = errors.New("the token is not valid")
	// ErrNotYet means that the token is not valid yet, because this machine's clock is more than a
	// minute behind the issuer's. A client that tries again later, or on another machine, succeeds.
	ErrNotYet = errors.New("the token is not valid yet by the clock of this machine")
)

// Log messages for services. ClockBehind reports a token that is not valid yet. ClockRight reports
// the next valid token after ClockBehind.
const (
	ClockBehind = "tokens are not valid yet by the clock of this machine: synchronize the clocks of all machines (NTP)"
	ClockRight  = "tokens are valid by the clock of this machine again"
)

// ErrUnknownKey is returned by a KeySource if no key has the given kid.
var ErrUnknownKey = errors.New("no key has this id")

// Claims holds the claims of an access token: the user, the session and the expiry time.
type Claims struct {
	UserID    chat.UserID
	SessionID chat.SessionID
	Username  string
	ExpiresAt time.Time // when passed to Issue, zero means the current time plus the issuer's TTL
}

// wireClaims is the JSON form of Claims, with the claim names from the JWT registry.
type wireClaims struct {
	jwt.RegisteredClaims
	SessionID string `json:"sid"`
	Username  string `json:"preferred_username"`
}

// Signer returns the current signing key.
type Signer interface{ Signing() SigningKey }

// Issuer issues tokens.
type Issuer struct {
	signer Signer
	ttl    time.Duration
	now    func() time.Time
}

// NewIssuer returns an Issuer whose tokens have the lifetime ttl (0 selects DefaultTTL). Tests and
// load generators can pass a SigningKey, which implements Signer.
func NewIssuer(signer Signer, ttl time.Duration) *Issuer {
	return &Issuer{signer: signer, ttl: cmp.Or(ttl, DefaultTTL), now: time.Now}
}

// TTL returns the lifetime of a token.
func (i *Issuer) TTL() time.Duration { return i.ttl }

// Issue signs a token and returns it with its expiry time.
func (i *Issuer) Issue(c Claims) (raw string, expires time.Time, err error) {
	now := i.now()
	expires = c.ExpiresAt
	if expires.IsZero() {
		expires = now.Add(i.ttl)
	}
	key := i.signer.Signing()
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, wireClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: Name, Audience: jwt.ClaimStrings{Name}, Subject: c.UserID.String(),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(expires),
		},
		SessionID: c.SessionID.String(), Username: c.Username,
	})
	t.Header["kid"] = key.ID
	raw, err = t.SignedString(key.Private)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("sign token: %w", err)
	}
	return raw, expires.Truncate(time.Second), nil // the token contains whole seconds
}

// KeySource finds public keys by id. It returns ErrUnknownKey if no key has the id. Any other error
// means that it could not look up the key.
type KeySource interface {
	Key(ctx context.Context, kid string) (ed25519.PublicKey, error)
}

// Verifier verifies tokens.
type Verifier struct {
	keys   KeySource
	now    func() time.Time
	parser *jwt.Parser
	cache  cache
}

// NewVerifier returns a Verifier that accepts tokens signed with one of keys.
func NewVerifier(keys KeySource) *Verifier { return newVerifier(keys, time.Now) }

func newVerifier(keys KeySource, now func() time.Time) *Verifier {
	return &Verifier{keys: keys, now: now, parser: jwt.NewParser(
		// The signing method is fixed and does not depend on the token, so tokens with "none" or
		// HS256 are refused.
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
		jwt.WithIssuer(Name), jwt.WithAudience(Name),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway), jwt.WithTimeFunc(now),
	)}
}

// Verify returns the claims of raw. Its error is ErrExpired for an expired token, ErrNotYet for one
// that is not valid yet, and ErrInvalid for any other invalid token. Any other error means that the
// keys were unavailable.
func (v *Verifier) Verify(ctx context.Context, raw string) (Claims, error) {
	if len(raw) > maxLength {
		return Claims{}, fmt.Errorf("%w: %d bytes", ErrInvalid, len(raw))
	}
	sum := sha256.Sum256([]byte(raw))
	if seen, ok := v.cache.get(sum); ok && v.now().Before(seen.claims.ExpiresAt) {
		if key, err := v.keys.Key(ctx, seen.kid); err == nil && key.Equal(seen.key) {
			return seen.claims, nil
		}
	}
	var wire wireClaims
	var sourceErr error
	var good verified
	_, err := v.parser.ParseWithClaims(raw, &wire, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		if kid == "" {
			return nil, errors.New("no kid")
		}
		key, err := v.keys.Key(ctx, kid)
		if err != nil && !errors.Is(err, ErrUnknownKey) {
			sourceErr = err
		}
		good.kid, good.key = kid, key
		return key, err
	})
	if sourceErr != nil {
		return Claims{}, fmt.Errorf("find the key of a token: %w", sourceErr)
	}
	switch {
	case only(err, jwt.ErrTokenExpired):
		return Claims{}, ErrExpired
	case only(err, jwt.ErrTokenNotValidYet, jwt.ErrTokenUsedBeforeIssued):
		return Claims{}, ErrNotYet
	case err != nil:
		return Claims{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if good.claims, err = claimsOf(wire); err != nil {
		return Claims{}, err
	}
	if !v.now().Before(good.claims.ExpiresAt) { // the parser applies leeway to exp, too
		return Claims{}, ErrExpired
	}
	v.cache.put(sum, good)
	return good.claims, nil
}

// claimFaults lists the errors that the parser returns for invalid claims in a correctly signed
// token.
var claimFaults = []error{
	jwt.ErrTokenExpired, jwt.ErrTokenNotValidYet, jwt.ErrTokenUsedBeforeIssued, jwt.ErrTokenInvalidAudience,
	jwt.ErrTokenInvalidIssuer, jwt.ErrTokenRequiredClaimMissing, jwt.ErrTokenInvalidSubject, jwt.ErrTokenInvalidId,
}

// only reports whether err wraps at least one of the given claim errors and no other claim error.
func only(err error, faults ...error) bool {
	found := false
	for _, fault := range claimFaults {
		if errors.Is(err, fault) {
			if !slices.Contains(faults, fault) {
				return false
			}
			found = true
		}
	}
	return found
}

func claimsOf(wire wireClaims) (Claims, error) {
	user, err := chat.ParseUserID(wire.Subject)
	if err != nil {
		return Claims{}, fmt.Errorf("%w: sub: %w", ErrInvalid, err)
	}
	session, err := chat.ParseSessionID(wire.SessionID)
	if err != nil {
		return Claims{}, fmt.Errorf("%w: sid: %w", ErrInvalid, err)
	}
	if wire.IssuedAt == nil {
		return Claims{}, fmt.Errorf("%w: no iat", ErrInvalid)
	}
	if life := wire.ExpiresAt.Sub(wire.IssuedAt.Time); life > MaxTTL {
		return Claims{}, fmt.Errorf("%w: its lifetime is %s, more than %s", ErrInvalid, life, MaxTTL)
	}
	if user.IsZero() || session.IsZero() || wire.Username == "" {
		return Claims{}, fmt.Errorf("%w: sub, sid or preferred_username is empty", ErrInvalid)
	}
	return Claims{UserID: user, SessionID: session, Username: wire.Username, ExpiresAt: wire.ExpiresAt.Time}, nil
}
