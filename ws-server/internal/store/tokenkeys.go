package store

import (
	"context"
	"errors"
	"fmt"

	"parley.chat/internal/platform/token"
)

// TokenKeys returns the public keys that chat-service has stored for verifying access tokens. The
// gateway's database role cannot change them.
func (s *Store) TokenKeys(ctx context.Context) (token.StaticKeys, error) {
	var rows []struct {
		Kid       string `bun:"kid"`
		PublicKey []byte `bun:"public_key"`
	}
	if err := s.db.NewRaw("select kid, public_key from token_keys").Scan(ctx, &rows); err != nil {
		return nil, fmt.Errorf("read the stored public keys: %w", err)
	}
	if len(rows) == 0 {
		return nil, errors.New("no public keys are stored")
	}
	keys := make(token.StaticKeys, len(rows))
	for _, r := range rows {
		keys[r.Kid] = r.PublicKey
	}
	return keys, nil
}
