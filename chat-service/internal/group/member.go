package group

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/channel"
	"parley.chat/chat-service/internal/invitation"
	"parley.chat/chat-service/internal/outbox"
	"parley.chat/chat-service/internal/roster"
)

// add makes a user a member with the given role. An existing member keeps their role. If the two
// users do not know each other, the user is invited instead, and add returns the invitation.
func (s *Service) add(ctx context.Context, group chat.GroupID, by token.Claims, other chat.UserID, role chat.Role) (api.Member, *api.Invitation, error) {
	if _, err := s.get(ctx, group, by.UserID); err != nil {
		return api.Member{}, nil, err // check the caller first, so that outsiders cannot find out which users exist
	}
	var invited *api.Invitation
	err := s.run(ctx, "add to group", func(ctx context.Context, tx bun.Tx) error {
		_, unknown := channel.LockUser(ctx, tx, other)
		mine, err := lock(ctx, tx, group, by.UserID)
		if err != nil {
			return err
		}
		if err := mayAdd(mine, role); err != nil {
			return err
		}
		if unknown != nil {
			return unknown
		}
		if err := channel.MayBeAdded(ctx, tx, by.UserID, other); err != nil {
			return err
		}
		known := true // without askStrangers, everybody counts as known
		if s.askStrangers {
			if known, err = invitation.Acquainted(ctx, tx, by.UserID, other); err != nil {
				return err
			}
		}
		if known {
			return insertMember(ctx, tx, group, by.UserID, other, role)
		}
		inv, err := invitation.Add(ctx, tx, invitation.Invitation{GroupID: &group, UserID: other, InvitedBy: by.UserID, Role: role})
		if err != nil {
			return err
		}
		shown, err := invitation.Show(ctx, tx, inv.ID)
		invited = &shown
		return err
	})
	if err != nil || invited != nil {
		return api.Member{}, invited, err
	}
	m, err := roster.OfGroup(group).Get(ctx, s.db, other)
	return m, nil, err
}

// mayAdd returns an error unless a member with role actor may add another user with the given role.
func mayAdd(actor, role chat.Role) error {
	switch {
	case !actor.May(chat.Invite):
		return apierr.New(apierr.Forbidden, "Only owners and admins can add members.")
	case role != chat.Member && !actor.MayGrant(chat.Member, role):
		return apierr.New(apierr.Forbidden, "Only owners can assign a role above member.")
	}
	return nil
}

// insertMember adds a member to a locked group, unless the user is already a member.
func insertMember(ctx context.Context, tx bun.Tx, group chat.GroupID, by, other chat.UserID, role chat.Role) error {
	res, err := tx.NewRaw("insert into group_members (group_id, user_id, role) values (?, ?, ?) on conflict do nothing", group, other, role).Exec(ctx)
	if err != nil {
		return fmt.Errorf("insert member: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	if err := invitation.FromGroup(ctx, tx, group, other, by); err != nil {
		return err
	}
	return outbox.Add(ctx, tx, outbox.GroupChange(group, by, added, other))
}

// Accept makes an invited user a member, if the inviter still has the right to invite users.
func (s *Service) Accept(ctx context.Context, inv invitation.Invitation) error {
	return s.run(ctx, "accept an invitation", func(ctx context.Context, tx bun.Tx) error {
		if _, err := channel.LockSelf(ctx, tx, inv.UserID); err != nil {
			return err
		}
		mine, err := lock(ctx, tx, *inv.GroupID, inv.InvitedBy)
		if err == nil {
			err = mayAdd(mine, inv.Role)
		}
		var open bool
		if err == nil {
			err = tx.NewRaw("select exists (select from invitations where id = ? and declined_at is null)", inv.ID).Scan(ctx, &open)
		}
		if code := apierr.CodeOf(err); err == nil && !open || code == apierr.NotFound || code == apierr.Forbidden {
			return apierr.New(apierr.NotFound, "This invitation does not exist.")
		}
		if err != nil {
			return err
		}
		return insertMember(ctx, tx, *inv.GroupID, inv.UserID, inv.UserID, inv.Role)
	})
}

// setRole changes the role of a member.
func (s *Service) setRole(ctx context.Context, group chat.GroupID, by token.Claims, other chat.UserID, to chat.Role) (api.Member, error) {
	var is api.Member
	err := s.change(ctx, group, by, chat.ChangeRoles, func(ctx context.Context, tx bun.Tx, mine chat.Role) (err error) {
		if is, err = roster.OfGroup(group).Get(ctx, tx, other); err != nil {
			return err
		}
		if !mine.MayGrant(is.Role, to) {
			return apierr.New(apierr.Forbidden, "Your role does not allow this.")
		}
		if is.Role == to {
			return nil
		}
		is.Role = to
		var owners int
		err = tx.NewRaw(`with changed as (update group_members set role = ? where group_id = ? and user_id = ?)
			select count(*) from group_members where group_id = ? and role = 'owner' and user_id <> ?`,
			to, group, other, group, other).Scan(ctx, &owners)
		if err != nil {
			return fmt.Errorf("set role: %w", err)
		}
		if owners == 0 && to != chat.Owner {
			return apierr.New(apierr.Conflict, "This is the last owner. Make another member an owner first.")
		}
		return outbox.Add(ctx, tx, outbox.GroupChange(group, by.UserID, updated, other))
	})
	return is, err
}

// expel removes a member from a group and its channels. Removing oneself is the same as leaving.
func (s *Service) expel(ctx context.Context, group chat.GroupID, by token.Claims, other chat.UserID) error {
	act := chat.RemoveMembers
	if other == by.UserID {
		act = chat.Leave
	}
	return s.change(ctx, group, by, act, func(ctx context.Context, tx bun.Tx, mine chat.Role) error {
		is, err := roster.OfGroup(group).Get(ctx, tx, other)
		if err != nil {
			return err
		}
		if other != by.UserID && !mine.MayRemove(is.Role) {
			return apierr.New(apierr.Forbidden, "Only owners can remove owners and admins.")
		}
		return removeMember(ctx, tx, group, by.UserID, other, is.Username)
	})
}

// removeMember ends a user's membership in a locked group. It deletes the membership row first. A
// transaction that adds the user to one of the channels holds a lock on that row. The delete waits
// for that transaction, so the new channel membership is found and ended as well.
func removeMember(ctx context.Context, tx bun.Tx, group chat.GroupID, actor, subject chat.UserID, username string) error {
	if _, err := tx.NewRaw("delete from group_members where group_id = ? and user_id = ?", group, subject).Exec(ctx); err != nil {
		return fmt.Errorf("remove member: %w", err)
	}
	if err := outbox.Add(ctx, tx, outbox.GroupChange(group, actor, removed, subject)); err != nil {
		return err
	}
	if err := channel.LeaveGroup(ctx, tx, group, actor, subject, username); err != nil {
		return err
	}
	return replaceOwner(ctx, tx, group, actor)
}

// replaceOwner makes a member the owner of a group that has none: the longest-standing admin or, if
// there are no admins, the longest-standing member. A group without members is deleted.
func replaceOwner(ctx context.Context, tx bun.Tx, group chat.GroupID, by chat.UserID) error {
	_, err := tx.NewRaw(`update group_members set role = 'owner'
		where group_id = ? and user_id = (
			select user_id from group_members where group_id = ?
			order by role = 'admin' desc, joined_at, user_id limit 1)
		and not exists (select 1 from group_members where group_id = ? and role = 'owner')`, group, group, group).Exec(ctx)
	if err != nil {
		return fmt.Errorf("find the next owner: %w", err)
	}
	var left bool
	if err := tx.NewRaw("select exists (select from group_members where group_id = ?)", group).Scan(ctx, &left); err != nil {
		return fmt.Errorf("check for members: %w", err)
	}
	if left {
		return nil
	}
	return end(ctx, tx, group, by)
}

// LeaveAll removes a user from all groups. The user's account is being deleted in the same
// transaction, and their row is locked. The events in the groups' channels do not contain the
// user's name.
func LeaveAll(ctx context.Context, tx bun.Tx, user chat.UserID) error {
	var groups []struct {
		ID chat.GroupID `bun:"id,type:uuid"`
	}
	err := tx.NewRaw(`select g.id from groups g
		where g.deleted_at is null and exists (select from group_members m where m.group_id = g.id and m.user_id = ?)
		order by g.id for no key update`, user).Scan(ctx, &groups)
	if err != nil {
		return fmt.Errorf("lock groups: %w", err)
	}
	for _, g := range groups {
		if err := removeMember(ctx, tx, g.ID, user, user, ""); err != nil {
			return err
		}
	}
	return nil
}
