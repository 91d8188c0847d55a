package account

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"time"

	"github.com/uptrace/bun"

	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/password"
)

// device describes the device that sent a request.
type device struct {
	userAgent string
	address   netip.Addr // invalid if unknown
	proof     []byte     // hash of the device token in the request, or nil
}

// source describes the origin of the request for the queue that limits password hashing. known
// means that the user has logged in from this device before.
func (d device) source(known bool) password.Source {
	return password.Source{Networks: ratelimit.Networks(d.address), Known: known}
}

// deviceTTL is how long a device stays known after its last login. It equals the maximum time for
// which browsers keep a cookie.
const deviceTTL = 400 * 24 * time.Hour

// maxDevices limits the number of known devices per user. When the limit is exceeded, the least
// recently used device is forgotten.
const maxDevices = 50

// newDeviceToken returns a new device token. The database stores only its hash.
//
// A device token does not authenticate a user. It proves that the user has logged in from this
// device before. A known device may still try passwords after other devices have used up the
// account's limit.
func newDeviceToken() (raw string, hash []byte) { return newRefresh() }

func hashDevice(raw string) []byte {
	if raw == "" {
		return nil
	}
	sum := sha256.Sum256([]byte(raw))
	return sum[:]
}

// isKnown reports whether u has logged in from a device before. u may be nil.
func (s *Service) isKnown(ctx context.Context, u *user, d device) (known bool, err error) {
	if u == nil || d.proof == nil {
		return false, nil
	}
	err = s.cfg.DB.NewRaw("select exists (select from devices where user_id = ? and token_hash = ? and used_at > ?)",
		u.ID, d.proof, time.Now().Add(-deviceTTL)).Scan(ctx, &known)
	if err != nil {
		return false, fmt.Errorf("find known device: %w", err)
	}
	return known, nil
}

// forgetOthers removes all known devices of a user except one.
func forgetOthers(ctx context.Context, tx bun.Tx, id chat.UserID, d device) error {
	if _, err := tx.NewRaw("delete from devices where user_id = ? and token_hash is distinct from ?", id, d.proof).Exec(ctx); err != nil {
		return fmt.Errorf("forget other devices: %w", err)
	}
	return nil
}

// registerDevice records a device as known for a user and returns its next token. Each login
// replaces the token, so a planted or copied token becomes invalid at the owner's next login.
func registerDevice(ctx context.Context, tx bun.Tx, id chat.UserID, d device) (raw string, err error) {
	raw, hash := newDeviceToken()
	if _, err = tx.NewRaw("update devices set token_hash = ? where token_hash = ?", hash, d.proof).Exec(ctx); err != nil {
		return "", fmt.Errorf("replace device token: %w", err)
	}
	_, err = tx.NewRaw(`insert into devices (token_hash, user_id) values (?, ?)
		on conflict (user_id, token_hash) do update set used_at = now()`, hash, id).Exec(ctx)
	if err != nil {
		return "", fmt.Errorf("store device token: %w", err)
	}
	_, err = tx.NewRaw(`delete from devices where user_id = ?0 and token_hash in
		(select token_hash from devices where user_id = ?0 order by used_at desc offset ?1)`, id, maxDevices).Exec(ctx)
	if err != nil {
		return "", fmt.Errorf("forget old devices: %w", err)
	}
	return raw, nil
}
