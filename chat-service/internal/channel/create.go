package channel

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"

	"parley.chat/internal/platform/names"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/outbox"
)

// check normalizes the name and the description, and checks the rules that the API document cannot
// express.
func check(in *api.ChannelCreation) error {
	name, err := names.Clean(in.Name)
	if err != nil {
		return apierr.Invalid("name", err)
	}
	in.Name = name
	if in.Description != nil {
		*in.Description = strings.TrimSpace(*in.Description)
	}
	return nil
}

// create creates a channel; the caller becomes its owner.
func (s *Service) create(ctx context.Context, by token.Claims, in api.ChannelCreation) (api.Channel, error) {
	if err := check(&in); err != nil {
		return api.Channel{}, err
	}
	c := row{
		ID: chat.NewChannelID(), Kind: in.Kind, Name: in.Name, Lookalike: names.Key(in.Name),
		GroupID: in.GroupID, CreatedBy: &by.UserID, CreatedAt: time.Now(), MentionAll: chat.MentionAllEveryone,
	}
	if in.MentionAll != nil {
		c.MentionAll = *in.MentionAll
	}
	if in.Description != nil {
		c.Description = *in.Description
	}
	err := s.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := LockSelf(ctx, tx, by.UserID); err != nil {
			return err
		}
		if err := s.checkLimit(ctx, tx, entry{actor: by.UserID, subject: by.UserID}); err != nil {
			return err
		}
		if in.GroupID != nil {
			if err := mayAddToGroup(ctx, tx, *in.GroupID, by.UserID); err != nil {
				return err
			}
		}
		if _, err := tx.NewInsert().Model(&c).Exec(ctx); err != nil {
			return nameConflict(err)
		}
		owner := member{ChannelID: c.ID, UserID: by.UserID, Role: chat.Owner}
		if _, err := tx.NewInsert().Model(&owner).Exec(ctx); err != nil {
			return fmt.Errorf("add the owner: %w", accountDeleted(err))
		}
		// The creator's join is the first event, so that the log contains every membership change.
		return outbox.Add(ctx, tx, outbox.Membership(outbox.MemberJoined, c.ID, by.UserID, by.UserID, by.Username))
	})
	if err != nil {
		return api.Channel{}, fmt.Errorf("create channel: %w", err)
	}
	s.cfg.Poke()
	sum := summaryOf(&c)
	sum.Role, sum.MemberCount = new(chat.Owner), 1
	return sum, nil
}

// mayAddToGroup returns an error unless the user may create channels in a group. It locks the group
// and the user's membership, so that neither the group nor the membership can end while the channel
// is being created.
func mayAddToGroup(ctx context.Context, tx bun.Tx, group chat.GroupID, user chat.UserID) error {
	var one int
	var role chat.Role
	err := tx.NewRaw("select 1 from groups where id = ? and deleted_at is null for share", group).Scan(ctx, &one)
	if err == nil {
		err = tx.NewRaw("select role from group_members where group_id = ? and user_id = ? for share", group, user).Scan(ctx, &role)
	}
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return apierr.New(apierr.NotFound, "This group does not exist.")
	case err != nil:
		return fmt.Errorf("find group: %w", err)
	case !role.May(chat.AddChannels):
		return apierr.New(apierr.Forbidden, "Only owners and admins of the group can create channels in it.")
	}
	return nil
}

// inGroup returns an error unless the user is a member of the group.
func (s *Service) inGroup(ctx context.Context, group chat.GroupID, user chat.UserID) error {
	var in bool
	err := s.cfg.DB.NewRaw(`select exists (select from group_members m join groups g on g.id = m.group_id
		where m.group_id = ? and m.user_id = ? and g.deleted_at is null)`, group, user).Scan(ctx, &in)
	if err != nil {
		return fmt.Errorf("find group: %w", err)
	}
	if !in {
		return apierr.New(apierr.NotFound, "This group does not exist.")
	}
	return nil
}

// nameConflict converts violations of the unique constraints on names to API errors. The
// constraints decide which of two concurrent requests was first.
func nameConflict(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "23505" {
		switch e.ConstraintName {
		case "channels_public_name_key", "channels_group_name_key":
			return nameTaken(err, "A channel with this name already exists.", apierr.Violates(apierr.FieldTaken, "is already taken"))
		case "channels_public_lookalike_key", "channels_group_lookalike_key":
			return nameTaken(err, "A channel with a similar-looking name already exists.", apierr.Violates(apierr.FieldLookalike, "looks like one that is already taken"))
		}
	}
	return accountDeleted(err)
}

func nameTaken(err error, message string, rule *apierr.RuleError) error {
	return &apierr.Error{Code: apierr.NameTaken, Message: message, Fields: []apierr.FieldError{apierr.FieldOf("name", rule)}, Err: err}
}

// accountDeleted converts violations of the foreign keys to users to API errors. They mean that the
// caller's account was deleted during the request.
func accountDeleted(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "23503" &&
		(e.ConstraintName == "channels_created_by_fkey" || e.ConstraintName == "channel_members_user_id_fkey") {
		return apierr.Wrap(err, apierr.Unauthenticated, "This account has been deleted.")
	}
	return err
}
