// Package invitation implements invitations. A user the inviter does not know is not added
// directly to a channel or group. The user is asked first and becomes a member only by accepting.
//
// An invitation is a row that exists until the invited user accepts or the inviter withdraws it. A
// declined invitation is kept for 30 days, during which the user cannot be invited again. When the
// user accepts, the inviter must still have the right to invite users.
package invitation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/outbox"
)

const (
	maxOpen       = 100 // maximum number of open invitations to one user
	maxOpenByUser = 5   // maximum number of open invitations to one user from the same inviter
	declinedFor   = 30 * 24 * time.Hour
)

// The kinds of change that a notice about an invitation can announce.
const (
	added   = "added"
	removed = "removed"
)

// Invitation is a row of the invitations table. It refers to either a channel or a group.
type Invitation struct {
	ID        chat.InvitationID `bun:"id,type:uuid"`
	ChannelID *chat.ChannelID   `bun:"channel_id,type:uuid"`
	GroupID   *chat.GroupID     `bun:"group_id,type:uuid"`
	UserID    chat.UserID       `bun:"user_id,type:uuid"`
	InvitedBy chat.UserID       `bun:"invited_by,type:uuid"`
	Role      chat.Role         `bun:"role"`
	CreatedAt time.Time         `bun:"created_at"`
}

// Acquainted reports whether two users know each other, so that one may add the other without an
// invitation.
func Acquainted(ctx context.Context, db bun.IDB, by, other chat.UserID) (bool, error) {
	known, err := Known(ctx, db, by, []string{other.String()})
	return known[other], err
}

// Known returns the users in ids who know the user with the id by. Two users know each other if
// they are contacts or share a private channel or a group. Public and unlisted channels do not
// count, since anybody can join them. Direct channels do not count either, since anybody can open
// one.
func Known(ctx context.Context, db bun.IDB, by chat.UserID, ids []string) (map[chat.UserID]bool, error) {
	var rows []struct {
		ID chat.UserID `bun:"id,type:uuid"`
	}
	err := db.NewRaw(`select o.id from unnest(array[?]::uuid[]) o (id)
		where exists (select from contacts a join contacts b on b.user_id = a.contact_id and b.contact_id = a.user_id
			where a.user_id = ? and a.contact_id = o.id and a.state <> 'blocked' and b.state <> 'blocked')
		or exists (select from channel_members a join channel_members b on b.channel_id = a.channel_id and b.user_id = o.id
			join channels c on c.id = a.channel_id and c.kind = 'private' and c.deleted_at is null where a.user_id = ?)
		or exists (select from group_members a join group_members b on b.group_id = a.group_id and b.user_id = o.id where a.user_id = ?)`,
		bun.List(ids), by, by, by).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("check which users know each other: %w", err)
	}
	known := make(map[chat.UserID]bool, len(rows))
	for i := range rows {
		known[rows[i].ID] = true
	}
	return known, nil
}

// Add invites a user and returns the invitation. The user's row must be locked. If the user already
// has an open invitation to the same channel or group, Add returns that invitation.
func Add(ctx context.Context, tx bun.Tx, inv Invitation) (Invitation, error) {
	var open struct {
		All  int `bun:"all"`
		Mine int `bun:"mine"`
	}
	err := tx.NewRaw(`select count(*) as all, count(*) filter (where invited_by = ?) as mine
		from invitations where user_id = ? and declined_at is null`, inv.InvitedBy, inv.UserID).Scan(ctx, &open)
	if err != nil {
		return inv, fmt.Errorf("count invitations: %w", err)
	}
	var found struct {
		Invitation
		Declined *time.Time `bun:"declined_at"`
	}
	err = tx.NewRaw(`select * from invitations where user_id = ? and (channel_id = ? or group_id = ?)`,
		inv.UserID, inv.ChannelID, inv.GroupID).Scan(ctx, &found)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return inv, fmt.Errorf("find invitation: %w", err)
	case found.Declined == nil:
		return found.Invitation, nil
	case time.Since(*found.Declined) < declinedFor:
		return inv, apierr.New(apierr.Conflict, "This user has declined an invitation.")
	default:
		if _, err := tx.NewRaw("delete from invitations where id = ?", found.ID).Exec(ctx); err != nil {
			return inv, fmt.Errorf("delete an old invitation: %w", err)
		}
	}
	if open.All >= maxOpen || open.Mine >= maxOpenByUser {
		return inv, apierr.New(apierr.Conflict, "This user has too many open invitations.")
	}
	inv.ID, inv.CreatedAt = chat.NewInvitationID(), chat.Now().Time
	_, err = tx.NewRaw(`insert into invitations (id, channel_id, group_id, user_id, invited_by, role, created_at) values (?, ?, ?, ?, ?, ?, ?)`,
		inv.ID, inv.ChannelID, inv.GroupID, inv.UserID, inv.InvitedBy, inv.Role, inv.CreatedAt).Exec(ctx)
	if err != nil {
		return inv, fmt.Errorf("write invitation: %w", err)
	}
	return inv, outbox.Add(ctx, tx, outbox.Invite(inv.ID, inv.InvitedBy, inv.UserID, added))
}

// FromChannel ends a user's invitations to a channel. It is called when the user has become a
// member or has been banned.
func FromChannel(ctx context.Context, tx bun.Tx, channel chat.ChannelID, user, by chat.UserID) error {
	return end(ctx, tx, by, "channel_id = ? and user_id = ?", channel, user)
}

// FromGroup ends a user's invitations to a group.
func FromGroup(ctx context.Context, tx bun.Tx, group chat.GroupID, user, by chat.UserID) error {
	return end(ctx, tx, by, "group_id = ? and user_id = ?", group, user)
}

// EndAll ends all invitations sent by or to a user. The user's account is being deleted in the same
// transaction.
func EndAll(ctx context.Context, tx bun.Tx, user chat.UserID) error {
	return end(ctx, tx, user, "? in (user_id, invited_by)", user)
}

// end deletes invitations and adds the notices for the invited users to the outbox.
func end(ctx context.Context, tx bun.Tx, by chat.UserID, which string, args ...any) error {
	var ended []Invitation
	err := tx.NewRaw("delete from invitations where "+which+" returning id, channel_id, group_id, user_id, invited_by, role, created_at", args...).Scan(ctx, &ended)
	if err != nil {
		return fmt.Errorf("end invitations: %w", err)
	}
	for _, inv := range ended {
		if err := outbox.Add(ctx, tx, outbox.Invite(inv.ID, by, inv.UserID, removed)); err != nil {
			return err
		}
	}
	return nil
}
