package channel

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"

	"parley.chat/internal/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/outbox"
)

// creation is the request for a channel.
type creation struct {
	Name        string  `json:"name"`
	Kind        string  `json:"kind"`
	Description string  `json:"description"`
	GroupID     *string `json:"group_id"`
}

func (in *creation) check() error {
	var fields []apierr.Field
	wrong := func(field, message string) {
		fields = append(fields, apierr.Field{Field: field, Message: message})
	}
	in.Name, in.Description = strings.TrimSpace(in.Name), strings.TrimSpace(in.Description)
	if in.Name == "" {
		wrong("name", "is required")
	} else if err := chat.CheckLine(in.Name, chat.MaxChannelNameChars); err != nil {
		wrong("name", err.Error())
	}
	switch kind := chat.ChannelKind(in.Kind); {
	case kind == chat.Direct:
		wrong("kind", "must not be direct: a direct channel is opened by writing to its other user")
	case !kind.Valid():
		wrong("kind", "must be public, unlisted or private")
	}
	if err := chat.CheckLine(in.Description, chat.MaxDescriptionChars); err != nil {
		wrong("description", err.Error())
	}
	if in.GroupID != nil {
		if id, err := uuid.Parse(*in.GroupID); err != nil || len(*in.GroupID) != 36 || id == uuid.Nil {
			wrong("group_id", "is not an id")
		}
	}
	if len(fields) > 0 {
		return &apierr.Error{Code: apierr.InvalidRequest, Message: fields[0].Field + " " + fields[0].Message, Fields: fields}
	}
	return nil
}

// create makes a channel with its creator as owner.
func (s *Service) create(ctx context.Context, by token.Claims, in creation) (Summary, error) {
	if err := in.check(); err != nil {
		return Summary{}, err
	}
	c := row{
		ID: chat.NewChannelID(), Kind: chat.ChannelKind(in.Kind), Name: in.Name, Description: in.Description,
		GroupID: in.GroupID, CreatedBy: &by.UserID, CreatedAt: time.Now(),
	}
	err := s.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if in.GroupID != nil {
			if err := mayAddToGroup(ctx, tx, *in.GroupID, by.UserID); err != nil {
				return err
			}
		}
		if _, err := tx.NewInsert().Model(&c).Exec(ctx); err != nil {
			return taken(err)
		}
		owner := member{ChannelID: c.ID, UserID: by.UserID, Role: chat.Owner}
		if _, err := tx.NewInsert().Model(&owner).Exec(ctx); err != nil {
			return fmt.Errorf("add the owner: %w", gone(err))
		}
		// The creator's own coming is the channel's first event: its log tells its whole story.
		return outbox.Add(ctx, tx, outbox.Membership(outbox.MemberJoined, c.ID, by.UserID, by.UserID, by.Username))
	})
	if err != nil {
		return Summary{}, fmt.Errorf("create channel: %w", err)
	}
	s.cfg.Poke()
	sum := summaryOf(&c)
	sum.Role, sum.MemberCount = chat.Owner, 1
	return sum, nil
}

func mayAddToGroup(ctx context.Context, tx bun.Tx, group string, user chat.UserID) error {
	var role chat.Role
	err := tx.NewRaw(`select coalesce((select m.role from group_members m join groups g on g.id = m.group_id
		where m.group_id = ? and m.user_id = ? and g.deleted_at is null), '')`, group, user).Scan(ctx, &role)
	switch {
	case err != nil:
		return fmt.Errorf("find group: %w", err)
	case role == "":
		return apierr.New(apierr.NotFound, "no such group")
	case role != chat.Owner && role != chat.Admin:
		return apierr.New(apierr.Forbidden, "only owners and admins of a group add channels to it")
	}
	return nil
}

// taken maps the constraints that settle who was first with a name.
func taken(err error) error {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if ok && e.Code == "23505" && (e.ConstraintName == "channels_public_name_key" || e.ConstraintName == "channels_group_name_key") {
		return &apierr.Error{
			Code: apierr.NameTaken, Message: "a channel of this name exists",
			Fields: []apierr.Field{{Field: "name", Message: "is taken"}}, Err: err,
		}
	}
	return gone(err)
}

// gone maps the foreign key to users: the bearer of a valid token who has been deleted meanwhile.
func gone(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "23503" &&
		(e.ConstraintName == "channels_created_by_fkey" || e.ConstraintName == "channel_members_user_id_fkey") {
		return apierr.Wrap(err, apierr.Unauthenticated, "this account is gone")
	}
	return err
}
