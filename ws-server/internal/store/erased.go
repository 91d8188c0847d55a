package store

import (
	"context"
	"fmt"
	"time"

	"parley.chat/shared-contracts/chat"
)

// Erased returns the users whose accounts were deleted after the given time, and the deleted users
// whose names are still in rows. It also returns the time of the newest of these deletions, which
// is zero if there is none.
func (s *Store) Erased(ctx context.Context, since time.Time) (users []chat.UserID, newest time.Time, err error) {
	var rows []struct {
		UserID   chat.UserID `bun:"user_id,type:uuid"`
		ErasedAt time.Time   `bun:"erased_at"`
	}
	err = s.db.NewRaw(`select user_id, erased_at from erasures where erased_at > ?
		union select user_id, erased_at from erasures where scrubbed_at is null`, since).Scan(ctx, &rows)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read deleted accounts: %w", err)
	}
	for _, r := range rows {
		users = append(users, r.UserID)
		if r.ErasedAt.After(newest) {
			newest = r.ErasedAt
		}
	}
	return users, newest, nil
}
