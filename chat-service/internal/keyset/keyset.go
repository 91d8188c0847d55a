// Package keyset stores the public keys of access tokens in PostgreSQL, where a gateway finds them while no
// chat-service answers. Gateways may read the table and not write it, so a key in it comes from chat-service.
package keyset

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"parley.chat/internal/token"
)

// Keep stores keys, and deletes those that no instance has stored for as long as forget. Instances share
// one folder of keys, and each calls Keep more often than that.
func Keep(ctx context.Context, db *bun.DB, keys token.StaticKeys, forget time.Duration) error {
	return db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		for _, kid := range slices.Sorted(maps.Keys(keys)) { // in one order, so that instances do not deadlock
			_, err := tx.NewRaw(`insert into token_keys (kid, public_key) values (?, ?)
				on conflict (kid) do update set public_key = excluded.public_key, confirmed_at = now()`, kid, []byte(keys[kid])).Exec(ctx)
			if err != nil {
				return fmt.Errorf("store public key %s: %w", kid, err)
			}
		}
		if _, err := tx.NewRaw("delete from token_keys where confirmed_at < now() - make_interval(secs => ?)", forget.Seconds()).Exec(ctx); err != nil {
			return fmt.Errorf("delete retired public keys: %w", err)
		}
		return nil
	})
}
