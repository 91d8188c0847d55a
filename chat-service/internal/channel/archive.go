package channel

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"parley.chat/internal/platform/names"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/outbox"
)

// Archived is a channel without members.
type Archived struct {
	ID         chat.ChannelID   `bun:"id,type:uuid"`
	Kind       chat.ChannelKind `bun:"kind"`
	Name       string           `bun:"name"`
	ArchivedAt time.Time        `bun:"archived_at"`
}

// ErrNotArchived means that no archived channel has the given id.
var ErrNotArchived = errors.New("no archived channel has this id")

// ListArchived returns the archived channels, most recently archived first. Only operators of the
// deployment may see this list.
func ListArchived(ctx context.Context, db bun.IDB) ([]Archived, error) {
	var found []Archived
	err := db.NewRaw(`select id, kind, name, archived_at from channels
		where archived_at is not null and deleted_at is null order by archived_at desc, id`).Scan(ctx, &found)
	if err != nil {
		return nil, fmt.Errorf("list archived channels: %w", err)
	}
	return found, nil
}

// Restore makes a user the owner and only member of an archived channel. If name is not "", it
// replaces the channel's name, because another channel may be using the old name.
func Restore(ctx context.Context, db *bun.DB, channel chat.ChannelID, owner, name string) error {
	return db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var user struct {
			ID       chat.UserID `bun:"id,type:uuid"`
			Username string      `bun:"username"`
		}
		err := tx.NewRaw("select id, username from users where lower(username) = lower(?) and deleted_at is null for no key update", owner).Scan(ctx, &user)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("%s: no such user", owner)
		}
		if err != nil {
			return fmt.Errorf("find user %s: %w", owner, err)
		}
		var group *chat.GroupID
		err = tx.NewRaw("select group_id from channels where id = ? and archived_at is not null and deleted_at is null for no key update", channel).Scan(ctx, &group)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("%s: %w", channel, ErrNotArchived)
		}
		if err != nil {
			return fmt.Errorf("find channel %s: %w", channel, err)
		}
		if group != nil {
			if err := lockInGroup(ctx, tx, *group, user.ID); err != nil {
				return err
			}
		}
		if name != "" {
			if _, err := tx.NewRaw("update channels set name = ?, lookalike = ?, updated_at = now() where id = ?", name, names.Key(name), channel).Exec(ctx); err != nil {
				return fmt.Errorf("rename channel: %w", err)
			}
		}
		// The trigger that counts the members unarchives the channel.
		_, err = tx.NewRaw(`insert into channel_members (channel_id, user_id, role, joined_seq)
			values (?, ?, 'owner', coalesce((select max(seq) from messages where channel_id = ?), 0))`, channel, user.ID, channel).Exec(ctx)
		if err != nil {
			return nameConflict(err)
		}
		return outbox.Add(ctx, tx, outbox.Membership(outbox.MemberJoined, channel, user.ID, user.ID, user.Username))
	})
}
