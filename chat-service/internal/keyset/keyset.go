// Package keyset stores the public keys for access tokens in PostgreSQL, where a gateway can read
// them even if no chat-service responds. Gateways can read the table but not write it, so every key
// in it comes from chat-service.
package keyset

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"parley.chat/internal/platform/token"
)

// Store stores keys and deletes the keys that no instance has stored for the given retention time.
// All instances share one key folder. Each instance must call Store at intervals that are shorter
// than the retention time.
func Store(ctx context.Context, db *bun.DB, keys token.StaticKeys, retention time.Duration) error {
	return db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		for _, kid := range slices.Sorted(maps.Keys(keys)) { // sorted, to avoid deadlocks between instances
			_, err := tx.NewRaw(`insert into token_keys (kid, public_key) values (?, ?)
				on conflict (kid) do update set public_key = excluded.public_key, confirmed_at = now()`, kid, []byte(keys[kid])).Exec(ctx)
			if err != nil {
				return fmt.Errorf("store public key %s: %w", kid, err)
			}
		}
		if _, err := tx.NewRaw("delete from token_keys where confirmed_at < now() - make_interval(secs => ?)", retention.Seconds()).Exec(ctx); err != nil {
			return fmt.Errorf("delete retired public keys: %w", err)
		}
		return nil
	})
}
