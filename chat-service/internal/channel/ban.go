package channel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"

	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/httpapi"
	"parley.chat/chat-service/internal/invitation"
)

const listBans = "listBans"

func errBanSelf() error {
	return apierr.Invalid("user_id", apierr.Violates(apierr.FieldOtherUser, "must be another user"))
}

// notBanned returns an error if a user is banned from a channel that they are about to enter. The
// channel must be locked.
func notBanned(ctx context.Context, tx bun.Tx, channel chat.ChannelID, e entry) error {
	var banned bool
	err := tx.NewRaw("select exists (select from channel_bans where channel_id = ? and user_id = ?)", channel, e.subject).Scan(ctx, &banned)
	switch {
	case err != nil:
		return fmt.Errorf("check for a ban: %w", err)
	case banned && e.actor == e.subject:
		return apierr.New(apierr.Forbidden, "You are banned from this channel.")
	case banned:
		return apierr.New(apierr.Conflict, "This user is banned from the channel. Lift the ban first.")
	}
	return nil
}

// insertBan bans a user from a locked channel, unless the user is already banned.
func insertBan(ctx context.Context, tx bun.Tx, channel chat.ChannelID, by, other chat.UserID) error {
	_, err := tx.NewRaw("insert into channel_bans (channel_id, user_id, banned_by) values (?, ?, ?) on conflict do nothing", channel, other, by).Exec(ctx)
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.ConstraintName == "channel_bans_user_id_fkey" {
		return apierr.New(apierr.NotFound, "This user does not exist.")
	}
	if err != nil {
		return fmt.Errorf("ban user: %w", err)
	}
	return invitation.FromChannel(ctx, tx, channel, other, by)
}

// BanUser handles PUT /v1/channels/{id}/bans/{user_id}. The user does not have to be a member.
func (s *Service) BanUser(ctx context.Context, in api.BanUserRequestObject) (api.BanUserResponseObject, error) {
	if err := s.remove(ctx, in.ID, httpapi.UserOf(ctx), in.UserID, true); err != nil {
		return nil, err
	}
	return api.BanUser204Response{}, nil
}

// UnbanUser handles DELETE /v1/channels/{id}/bans/{user_id}.
func (s *Service) UnbanUser(ctx context.Context, in api.UnbanUserRequestObject) (api.UnbanUserResponseObject, error) {
	err := s.moderate(ctx, in.ID, httpapi.UserOf(ctx), func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewRaw("delete from channel_bans where channel_id = ? and user_id = ?", in.ID, in.UserID).Exec(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return api.UnbanUser204Response{}, nil
}

// moderate runs do in a transaction that has locked the channel, if by is a member who may remove
// other members. Otherwise, it returns an error.
func (s *Service) moderate(ctx context.Context, channel chat.ChannelID, by token.Claims, do func(context.Context, bun.Tx) error) error {
	return s.change(ctx, channel, func(ctx context.Context, tx bun.Tx) error {
		access, err := Admit(ctx, tx, channel, by.UserID)
		if err == nil {
			err = access.Allow(chat.RemoveMembers)
		}
		if err != nil {
			return err
		}
		return do(ctx, tx)
	})
}

// banPosition is the last user of a page of bans; the next page begins after it.
type banPosition struct {
	ID chat.UserID `json:"i"`
}

// ListBans handles GET /v1/channels/{id}/bans.
func (s *Service) ListBans(ctx context.Context, in api.ListBansRequestObject) (api.ListBansResponseObject, error) {
	access, err := Admit(ctx, s.cfg.DB, in.ID, httpapi.UserOf(ctx).UserID)
	if err == nil {
		err = access.Allow(chat.RemoveMembers)
	}
	if err != nil {
		return nil, err
	}
	var after banPosition
	if _, err := httpapi.DecodeCursor(listBans, in.Params.Cursor, &after); err != nil {
		return nil, err
	}
	limit := httpapi.Limit(in.Params.Limit)
	var rows []struct {
		UserID      chat.UserID  `bun:"user_id,type:uuid"`
		Username    string       `bun:"username"`
		DisplayName string       `bun:"display_name"`
		BannedBy    *chat.UserID `bun:"banned_by,type:uuid"`
		CreatedAt   time.Time    `bun:"created_at"`
	}
	err = s.cfg.DB.NewRaw(`select b.user_id, u.username, u.display_name, b.banned_by, b.created_at
		from channel_bans b join users u on u.id = b.user_id and u.deleted_at is null
		where b.channel_id = ? and b.user_id > ? order by b.user_id limit ?`, in.ID, after.ID, limit+1).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("list bans of channel %s: %w", in.ID, err)
	}
	page := api.BanPage{Items: make([]api.Ban, min(limit, len(rows)))}
	for i := range page.Items {
		r := rows[i]
		page.Items[i] = api.Ban{UserID: r.UserID, Username: r.Username, DisplayName: r.DisplayName, BannedBy: r.BannedBy, BannedAt: chat.At(r.CreatedAt)}
	}
	if len(rows) > limit {
		page.NextCursor = httpapi.Cursor(listBans, banPosition{rows[limit-1].UserID})
	}
	return api.ListBans200JSONResponse(page), nil
}
