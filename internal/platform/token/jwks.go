package token

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// jwk is a public key in the format of RFC 8037.
type jwk struct {
	Type  string `json:"kty"`
	Curve string `json:"crv"`
	Use   string `json:"use,omitempty"`
	Alg   string `json:"alg,omitempty"`
	ID    string `json:"kid"`
	X     string `json:"x"`
}

type jwks struct {
	Keys []jwk `json:"keys"`
}

// EncodeJWKS encodes keys as a JSON Web Key Set, ordered by id.
func EncodeJWKS(keys StaticKeys) []byte {
	set := jwks{Keys: []jwk{}}
	for _, kid := range slices.Sorted(maps.Keys(keys)) {
		set.Keys = append(set.Keys, jwk{
			Type: "OKP", Curve: "Ed25519", Use: "sig", Alg: "EdDSA", ID: kid,
			X: base64.RawURLEncoding.EncodeToString(keys[kid]),
		})
	}
	b, err := json.Marshal(set)
	if err != nil {
		panic("token: " + err.Error()) // marshaling strings cannot fail
	}
	return b
}

// DecodeJWKS reads a JSON Web Key Set. It skips keys of other types. It returns an error if the set
// contains no Ed25519 key.
func DecodeJWKS(b []byte) (StaticKeys, error) {
	var set jwks
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, fmt.Errorf("decode key set: %w", err)
	}
	keys := StaticKeys{}
	for _, k := range set.Keys {
		if k.Type != "OKP" || k.Curve != "Ed25519" || k.ID == "" || k.Use != "" && k.Use != "sig" {
			continue
		}
		x, err := base64.RawURLEncoding.DecodeString(k.X)
		if err != nil || len(x) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("decode key set: key %.80q is not an Ed25519 key", k.ID)
		}
		keys[k.ID] = x
	}
	if len(keys) == 0 {
		return nil, errors.New("decode key set: no Ed25519 key in it")
	}
	return keys, nil
}
