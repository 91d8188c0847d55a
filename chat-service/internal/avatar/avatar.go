package avatar

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/uptrace/bun"

	"parley.chat/shared-contracts/chat"
)

// Path is where pictures are served: the hash of one follows.
const Path = "/v1/avatars/"

// Keep makes p the one picture of a user, as part of a transaction, and returns its address on this server.
func Keep(ctx context.Context, tx bun.IDB, user chat.UserID, p Picture) (address string, err error) {
	_, err = tx.NewRaw(`insert into avatars (user_id, hash, content_type, picture) values (?, ?, ?, ?)
		on conflict (user_id) do update set hash = excluded.hash, content_type = excluded.content_type, picture = excluded.picture`,
		user, p.Hash, p.Type, p.Data).Exec(ctx)
	if err != nil {
		return "", fmt.Errorf("keep a picture: %w", err)
	}
	return Path + p.Hash, nil
}

// Remove deletes the picture of a user, as part of a transaction.
func Remove(ctx context.Context, tx bun.IDB, user chat.UserID) error {
	if _, err := tx.NewRaw("delete from avatars where user_id = ?", user).Exec(ctx); err != nil {
		return fmt.Errorf("remove a picture: %w", err)
	}
	return nil
}

// Find returns the picture of a hash; false if nobody has it.
func Find(ctx context.Context, db bun.IDB, hash string) (Picture, bool, error) {
	if len(hash) != 64 || strings.Trim(hash, "0123456789abcdef") != "" {
		return Picture{}, false, nil
	}
	p := Picture{Hash: hash}
	err := db.NewRaw("select content_type, picture from avatars where hash = ? limit 1", hash).Scan(ctx, &p.Type, &p.Data)
	if errors.Is(err, sql.ErrNoRows) {
		return Picture{}, false, nil
	}
	if err != nil {
		return Picture{}, false, fmt.Errorf("read a picture: %w", err)
	}
	return p, true, nil
}
