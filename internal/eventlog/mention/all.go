package mention

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"parley.chat/shared-contracts/chat"
)

// MayCallAll reports whether a user may call all members of a channel. It is asked only for a message that
// does.
type MayCallAll func(ctx context.Context, channel chat.ChannelID, user chat.UserID) (bool, error)

// AllByRole asks PostgreSQL, whose role reads channels and channel_members.
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
			return false, fmt.Errorf("ask who may call all of channel %s: %w", channel, err)
		}
		return found.Setting == chat.MentionAllEveryone || found.Role.May(chat.Moderate), nil
	}
}

// Only returns what Find has found without the call of all members, unless may allows it to the sender. With
// an error the call is left out too: then @channel is plain text.
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
