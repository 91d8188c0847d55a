package account

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"time"

	"github.com/uptrace/bun"

	"parley.chat/internal/ratelimit"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/password"
)

// device is where a request comes from.
type device struct {
	userAgent string
	address   netip.Addr // invalid if it is not known
	proof     []byte     // hash of the device token that came along, or nil
}

// source tells the hashing where a password comes from. known says that its user has logged in from there before.
func (d device) source(known bool) password.Source {
	return password.Source{Networks: ratelimit.Networks(d.address), Known: known}
}

// deviceTTL is how long a device is known after its last login: as long as browsers store a cookie.
const deviceTTL = 400 * 24 * time.Hour

// maxDevices bounds the devices that are known of one user. The one that was used longest ago is forgotten.
const maxDevices = 50

// newDeviceToken makes a device token. The database knows only its hash.
//
// A device token is no login: it shows that its bearer has logged in as a user before, and so may try
// passwords while others have used up the limits of that account.
func newDeviceToken() (raw string, hash []byte) { return newRefresh() }

func hashDevice(raw string) []byte {
	if raw == "" {
		return nil
	}
	sum := sha256.Sum256([]byte(raw))
	return sum[:]
}

// knows reports whether u, who may be nil, has logged in from a device before.
func (s *Service) knows(ctx context.Context, u *user, d device) (known bool, err error) {
	if u == nil || d.proof == nil {
		return false, nil
	}
	err = s.cfg.DB.NewRaw("select exists (select from devices where user_id = ? and token_hash = ? and used_at > ?)",
		u.ID, d.proof, time.Now().Add(-deviceTTL)).Scan(ctx, &known)
	if err != nil {
		return false, fmt.Errorf("look for a known device: %w", err)
	}
	return known, nil
}

// forgetOthers makes a device the only one that is known of a user.
func forgetOthers(ctx context.Context, tx bun.Tx, id chat.UserID, d device) error {
	if _, err := tx.NewRaw("delete from devices where user_id = ? and token_hash is distinct from ?", id, d.proof).Exec(ctx); err != nil {
		return fmt.Errorf("forget other devices: %w", err)
	}
	return nil
}

// meet makes a device known as one of a user and returns its next token. Each login replaces the token, so
// one that somebody has planted or copied ends at the owner's next login.
func meet(ctx context.Context, tx bun.Tx, id chat.UserID, d device) (raw string, err error) {
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
