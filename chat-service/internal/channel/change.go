package channel

import (
	"context"
	"fmt"
	"strings"

	"github.com/uptrace/bun"

	"parley.chat/internal/names"
	"parley.chat/internal/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/outbox"
)

// description is what of a channel can be changed, as channel_updated shows it.
type description struct {
	Name        string           `bun:"name" json:"name"`
	Description string           `bun:"description" json:"description"`
	Kind        chat.ChannelKind `bun:"kind" json:"kind"`
	MentionAll  chat.MentionAll  `bun:"mention_all" json:"mention_all"`
}

// update changes a channel's name and description. What makes no difference is told nobody.
func (s *Service) update(ctx context.Context, channel chat.ChannelID, by token.Claims, in api.ChannelChange) error {
	if in.Name != nil {
		name, err := names.Clean(*in.Name)
		if err != nil {
			return apierr.Invalid("name", "%v", err)
		}
		in.Name = &name
	}
	return s.change(ctx, channel, func(ctx context.Context, tx bun.Tx) error {
		st, err := Admit(ctx, tx, channel, by.UserID)
		if err != nil {
			return err
		}
		if err := st.Allow(chat.Describe); err != nil {
			return err
		}
		var is description
		if err := tx.NewRaw("select name, description, kind, mention_all from channels where id = ?", channel).Scan(ctx, &is); err != nil {
			return fmt.Errorf("read channel: %w", err)
		}
		will := is
		if in.Name != nil {
			will.Name = *in.Name
		}
		if in.Description != nil {
			will.Description = strings.TrimSpace(*in.Description)
		}
		if in.MentionAll != nil {
			will.MentionAll = *in.MentionAll
		}
		if will == is {
			return nil
		}
		_, err = tx.NewRaw("update channels set name = ?, lookalike = case when name = ? then lookalike else ? end, description = ?, mention_all = ?, updated_at = now() where id = ?",
			will.Name, will.Name, names.Key(will.Name), will.Description, will.MentionAll, channel).Exec(ctx)
		if err != nil {
			return taken(err)
		}
		return outbox.Add(ctx, tx, outbox.Update(channel, by.UserID, will))
	})
}

// close deletes a channel: its log stays in the database, and nobody can read it any more.
func (s *Service) close(ctx context.Context, channel chat.ChannelID, by token.Claims) error {
	return s.change(ctx, channel, func(ctx context.Context, tx bun.Tx) error {
		st, err := Admit(ctx, tx, channel, by.UserID)
		if err != nil {
			return err
		}
		if err := st.Allow(chat.Close); err != nil {
			return err
		}
		return shut(ctx, tx, channel, by.UserID)
	})
}

// shut closes a channel that is locked. Its members are told once each, on their own topics, after one
// event in the channel: an event per member would cost the square of their number.
func shut(ctx context.Context, tx bun.Tx, channel chat.ChannelID, by chat.UserID) error {
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

// CloseGroup closes the channels of a group that is being deleted in the same transaction.
func CloseGroup(ctx context.Context, tx bun.Tx, group chat.GroupID, by chat.UserID) error {
	var channels []idOnly
	err := tx.NewRaw("select id from channels where group_id = ? and deleted_at is null order by id for no key update", group).Scan(ctx, &channels)
	if err != nil {
		return fmt.Errorf("lock the group's channels: %w", err)
	}
	for _, c := range channels {
		if err := shut(ctx, tx, c.ID, by); err != nil {
			return err
		}
	}
	return nil
}
