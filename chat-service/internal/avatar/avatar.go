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

// Path is the prefix of each picture's path. The picture's hash follows it.
const Path = "/v1/avatars/"

// Store replaces a user's picture with p, as part of a transaction, and returns its path on this
// server.
func Store(ctx context.Context, tx bun.IDB, user chat.UserID, p Picture) (address string, err error) {
	_, err = tx.NewRaw(`insert into avatars (user_id, hash, content_type, picture) values (?, ?, ?, ?)
		on conflict (user_id) do update set hash = excluded.hash, content_type = excluded.content_type, picture = excluded.picture`,
		user, p.Hash, p.Type, p.Data).Exec(ctx)
	if err != nil {
		return "", fmt.Errorf("store picture: %w", err)
	}
	return Path + p.Hash, nil
}

// Remove deletes the picture of a user, as part of a transaction.
func Remove(ctx context.Context, tx bun.IDB, user chat.UserID) error {
	if _, err := tx.NewRaw("delete from avatars where user_id = ?", user).Exec(ctx); err != nil {
		return fmt.Errorf("remove picture: %w", err)
	}
	return nil
}

// Find returns the picture with the given hash, or false if there is none.
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
		return Picture{}, false, fmt.Errorf("read picture: %w", err)
	}
	return p, true, nil
}
