package channel

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"parley.chat/shared-contracts/chat"
)

// LeaveAll removes a user from all their channels, including direct channels. The user's account is
// being deleted in the same transaction, and their row is locked. The events do not contain the
// user's name.
func LeaveAll(ctx context.Context, tx bun.Tx, user chat.UserID) error {
	var channels []struct {
		ID chat.ChannelID `bun:"id,type:uuid"`
	}
	err := tx.NewRaw(`select c.id from channels c
		where c.deleted_at is null and exists (select 1 from channel_members m where m.channel_id = c.id and m.user_id = ?)
		order by c.id for no key update`, user).Scan(ctx, &channels)
	if err != nil {
		return fmt.Errorf("lock the user's channels: %w", err)
	}
	for _, c := range channels {
		if err := removeMember(ctx, tx, c.ID, user, user, ""); err != nil {
			return err
		}
	}
	return nil
}
