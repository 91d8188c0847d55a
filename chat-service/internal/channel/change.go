package channel

import (
	"context"
	"fmt"
	"strings"

	"github.com/uptrace/bun"

	"parley.chat/internal/platform/names"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/outbox"
)

// settings holds the settings of a channel that can be changed, in the form used by the
// channel_updated event.
type settings struct {
	Name        string           `bun:"name" json:"name"`
	Description string           `bun:"description" json:"description"`
	Kind        chat.ChannelKind `bun:"kind" json:"kind"`
	MentionAll  chat.MentionAll  `bun:"mention_all" json:"mention_all"`
}

// update changes the settings of a channel. If nothing changes, nobody is notified.
func (s *Service) update(ctx context.Context, channel chat.ChannelID, by token.Claims, in api.ChannelChange) error {
	if in.Name != nil {
		name, err := names.Clean(*in.Name)
		if err != nil {
			return apierr.Invalid("name", err)
		}
		in.Name = &name
	}
	return s.change(ctx, channel, func(ctx context.Context, tx bun.Tx) error {
		access, err := Admit(ctx, tx, channel, by.UserID)
		if err != nil {
			return err
		}
		if err := access.Allow(chat.Describe); err != nil {
			return err
		}
		var current settings
		if err := tx.NewRaw("select name, description, kind, mention_all from channels where id = ?", channel).Scan(ctx, &current); err != nil {
			return fmt.Errorf("read channel: %w", err)
		}
		updated := current
		if in.Name != nil {
			updated.Name = *in.Name
		}
		if in.Description != nil {
			updated.Description = strings.TrimSpace(*in.Description)
		}
		if in.MentionAll != nil {
			updated.MentionAll = *in.MentionAll
		}
		if updated == current {
			return nil
		}
		_, err = tx.NewRaw("update channels set name = ?, lookalike = case when name = ? then lookalike else ? end, description = ?, mention_all = ?, updated_at = now() where id = ?",
			updated.Name, updated.Name, names.Key(updated.Name), updated.Description, updated.MentionAll, channel).Exec(ctx)
		if err != nil {
			return nameConflict(err)
		}
		return outbox.Add(ctx, tx, outbox.Update(channel, by.UserID, updated))
	})
}

// close deletes a channel. Its log stays in the database, but nobody can read it anymore.
func (s *Service) close(ctx context.Context, channel chat.ChannelID, by token.Claims) error {
	return s.change(ctx, channel, func(ctx context.Context, tx bun.Tx) error {
		access, err := Admit(ctx, tx, channel, by.UserID)
		if err != nil {
			return err
		}
		if err := access.Allow(chat.Close); err != nil {
			return err
		}
		return closeLocked(ctx, tx, channel, by.UserID)
	})
}

// closeLocked deletes a locked channel. It announces the deletion with one event in the channel and
// one notice per member on the member's own topic. With one event per member, the number of
// deliveries would grow with the square of the number of members.
func closeLocked(ctx context.Context, tx bun.Tx, channel chat.ChannelID, by chat.UserID) error {
	if err := outbox.Add(ctx, tx, outbox.Update(channel, by, map[string]any{"deleted_at": chat.Now()})); err != nil {
		return err
	}
	if err := outbox.AddClosed(ctx, tx, channel, by); err != nil {
		return err
	}
	for _, sql := range []string{
		"delete from channel_members where channel_id = ?",
		"update channels set deleted_at = now() where id = ?",
	} {
		if _, err := tx.NewRaw(sql, channel).Exec(ctx); err != nil {
			return fmt.Errorf("close channel: %w", err)
		}
	}
	return nil
}

// CloseGroup deletes the channels of a group that is being deleted in the same transaction.
func CloseGroup(ctx context.Context, tx bun.Tx, group chat.GroupID, by chat.UserID) error {
	var channels []idOnly
	err := tx.NewRaw("select id from channels where group_id = ? and deleted_at is null order by id for no key update", group).Scan(ctx, &channels)
	if err != nil {
		return fmt.Errorf("lock the group's channels: %w", err)
	}
	for _, c := range channels {
		if err := closeLocked(ctx, tx, c.ID, by); err != nil {
			return err
		}
	}
	return nil
}
