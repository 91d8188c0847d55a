package invitation

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/httpapi"
	"parley.chat/chat-service/internal/outbox"
)

// Config configures a Service. Every field is required.
type Config struct {
	DB   *bun.DB
	Poke func() // wakes the outbox relay
	// Channel and Group make an invited user a member, if the inviter still has the right to invite
	// users. They also end the invitation.
	Channel func(ctx context.Context, inv Invitation) error
	Group   func(ctx context.Context, inv Invitation) error
}

// Service implements the endpoints for invitations. It is safe for concurrent use.
type Service struct{ cfg Config }

// New returns a Service.
func New(cfg Config) *Service { return &Service{cfg} }

// Names of the list operations. A cursor is valid only for the operation that issued it.
const (
	listInvitations        = "listInvitations"
	listChannelInvitations = "listChannelInvitations"
)

// position is the last invitation of a page; older invitations follow on the next page.
type position struct {
	ID chat.InvitationID `json:"i"`
}

// listed is an open invitation with the names to display.
type listed struct {
	Invitation
	Name     string `bun:"name"`
	Username string `bun:"username"`
	By       string `bun:"by_name"`
}

func (l *listed) invitation() api.Invitation {
	return api.Invitation{
		ID: l.ID, ChannelID: l.ChannelID, GroupID: l.GroupID, Name: l.Name, UserID: l.UserID, Username: l.Username,
		InvitedBy: l.InvitedBy, InvitedByName: l.By, Role: l.Role, CreatedAt: chat.At(l.CreatedAt),
	}
}

const selectOpen = `select i.id, i.channel_id, i.group_id, i.user_id, i.invited_by, i.role, i.created_at,
		coalesce(c.name, g.name) as name, u.username, b.username as by_name
	from invitations i
	left join channels c on c.id = i.channel_id and c.deleted_at is null and c.archived_at is null
	left join groups g on g.id = i.group_id and g.deleted_at is null
	join users u on u.id = i.user_id and u.deleted_at is null
	join users b on b.id = i.invited_by and b.deleted_at is null
	where i.declined_at is null and (c.id is not null or g.id is not null)`

// Show returns an open invitation as the API represents it.
func Show(ctx context.Context, db bun.IDB, id chat.InvitationID) (api.Invitation, error) {
	var l listed
	if err := db.NewRaw(selectOpen+" and i.id = ?", id).Scan(ctx, &l); err != nil {
		return api.Invitation{}, fmt.Errorf("load invitation: %w", err)
	}
	return l.invitation(), nil
}

// ListInvitations handles GET /v1/invitations.
func (s *Service) ListInvitations(ctx context.Context, in api.ListInvitationsRequestObject) (api.ListInvitationsResponseObject, error) {
	whose := "i.user_id = ?"
	if in.Params.Sent != nil && *in.Params.Sent {
		whose = "i.invited_by = ?"
	}
	l := list{listInvitations, whose, httpapi.UserOf(ctx).UserID}
	page, err := l.page(ctx, s.cfg.DB, in.Params.Cursor, httpapi.Limit(in.Params.Limit))
	if err != nil {
		return nil, err
	}
	return api.ListInvitations200JSONResponse(page), nil
}

// OfChannel returns a page of the open invitations to a channel.
func OfChannel(ctx context.Context, db bun.IDB, channel chat.ChannelID, cursor *string, limit int) (api.InvitationPage, error) {
	return list{listChannelInvitations, "i.channel_id = ?", channel}.page(ctx, db, cursor, limit)
}

// list describes an operation that lists open invitations. condition is an SQL condition that
// selects the invitations, and arg is its argument.
type list struct {
	operation string
	condition string
	arg       any
}

// page returns a page of the list, newest invitations first.
func (l list) page(ctx context.Context, db bun.IDB, cursor *string, limit int) (page api.InvitationPage, err error) {
	query, args := selectOpen+" and "+l.condition, []any{l.arg}
	var before position
	given, err := httpapi.DecodeCursor(l.operation, cursor, &before)
	if err != nil {
		return page, err
	}
	if given {
		query, args = query+" and i.id < ?", append(args, before.ID)
	}
	var rows []listed
	if err := db.NewRaw(query+" order by i.id desc limit ?", append(args, limit+1)...).Scan(ctx, &rows); err != nil {
		return page, fmt.Errorf("list invitations: %w", err)
	}
	page.Items = make([]api.Invitation, min(limit, len(rows)))
	for i := range page.Items {
		page.Items[i] = rows[i].invitation()
	}
	if len(rows) > limit {
		page.NextCursor = httpapi.Cursor(l.operation, position{rows[limit-1].ID})
	}
	return page, nil
}

func errNoInvitation() error { return apierr.New(apierr.NotFound, "This invitation does not exist.") }

// AcceptInvitation handles POST /v1/invitations/{invitation_id}/accept.
func (s *Service) AcceptInvitation(ctx context.Context, in api.AcceptInvitationRequestObject) (api.AcceptInvitationResponseObject, error) {
	user := httpapi.UserOf(ctx).UserID
	var l listed
	err := s.cfg.DB.NewRaw(selectOpen+" and i.id = ? and i.user_id = ?", in.InvitationID, user).Scan(ctx, &l)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNoInvitation()
	}
	if err != nil {
		return nil, fmt.Errorf("load invitation: %w", err)
	}
	enter := s.cfg.Channel
	if l.GroupID != nil {
		enter = s.cfg.Group
	}
	if err := enter(ctx, l.Invitation); err != nil {
		return nil, err
	}
	return api.AcceptInvitation204Response{}, nil
}

// DeclineInvitation handles POST /v1/invitations/{invitation_id}/decline.
func (s *Service) DeclineInvitation(ctx context.Context, in api.DeclineInvitationRequestObject) (api.DeclineInvitationResponseObject, error) {
	user := httpapi.UserOf(ctx).UserID
	err := s.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		res, err := tx.NewRaw("update invitations set declined_at = now() where id = ? and user_id = ? and declined_at is null", in.InvitationID, user).Exec(ctx)
		if err != nil {
			return fmt.Errorf("decline invitation: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return cmp.Or(err, errNoInvitation())
		}
		return outbox.Add(ctx, tx, outbox.Invite(in.InvitationID, user, user, removed)) // for the user's other devices
	})
	if err != nil {
		return nil, err
	}
	s.cfg.Poke()
	return api.DeclineInvitation204Response{}, nil
}

// WithdrawInvitation handles DELETE /v1/invitations/{invitation_id}.
func (s *Service) WithdrawInvitation(ctx context.Context, in api.WithdrawInvitationRequestObject) (api.WithdrawInvitationResponseObject, error) {
	user := httpapi.UserOf(ctx).UserID
	err := s.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := mayWithdraw(ctx, tx, in.InvitationID, user); err != nil {
			return err
		}
		return end(ctx, tx, user, "id = ? and declined_at is null", in.InvitationID)
	})
	if err != nil {
		return nil, err
	}
	s.cfg.Poke()
	return api.WithdrawInvitation204Response{}, nil
}

// mayWithdraw returns an error unless the user sent the invitation or may invite users to its
// channel or group. The error does not reveal whether the invitation exists.
func mayWithdraw(ctx context.Context, tx bun.Tx, id chat.InvitationID, user chat.UserID) error {
	var inv struct {
		Own  bool      `bun:"own"`
		Role chat.Role `bun:"role"` // the user's role in the channel or group, "" if they are not a member
	}
	err := tx.NewRaw(`select i.invited_by = ? as own, coalesce(c.role, g.role, '') as role from invitations i
		left join channel_members c on c.channel_id = i.channel_id and c.user_id = ?
		left join group_members g on g.group_id = i.group_id and g.user_id = ?
		where i.id = ? and i.declined_at is null`, user, user, user, id).Scan(ctx, &inv)
	if errors.Is(err, sql.ErrNoRows) {
		return errNoInvitation()
	}
	if err != nil {
		return fmt.Errorf("find invitation: %w", err)
	}
	if !inv.Own && !inv.Role.May(chat.Invite) {
		return errNoInvitation()
	}
	return nil
}
