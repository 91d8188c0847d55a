package mention

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"parley.chat/shared-contracts/chat"
)

// MayCallAll reports whether a user may mention all members of a channel. It is called only for
// messages that mention @channel.
type MayCallAll func(ctx context.Context, channel chat.ChannelID, user chat.UserID) (bool, error)

// AllByRole returns a MayCallAll that reads the channel's setting and the user's role from
// PostgreSQL. db must be able to read channels and channel_members.
func AllByRole(db bun.IDB) MayCallAll {
	return func(ctx context.Context, channel chat.ChannelID, user chat.UserID) (bool, error) {
		var found struct {
			Setting chat.MentionAll `bun:"mention_all"`
			Role    chat.Role       `bun:"role"`
		}
		err := db.NewRaw(`select c.mention_all, m.role from channels c
			join channel_members m on m.channel_id = c.id and m.user_id = ? where c.id = ?`, user, channel).Scan(ctx, &found)
		if errors.Is(err, sql.ErrNoRows) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("read who may mention all members of channel %s: %w", channel, err)
		}
		return found.Setting == chat.MentionAllEveryone || found.Role.May(chat.Moderate), nil
	}
}

// Only removes the mention of all members from found, the result of Find, unless the sender may
// mention all members. Without that mention, @channel is plain text. If the permission cannot be
// read, Only removes the mention as well, and returns an error.
func (may MayCallAll) Only(ctx context.Context, channel chat.ChannelID, sender chat.UserID, found []chat.UserID) ([]chat.UserID, error) {
	if len(found) == 0 || found[0] != All(channel) {
		return found, nil
	}
	allowed, err := may(ctx, channel, sender)
	if allowed && err == nil {
		return found, nil
	}
	return found[1:], err
}
