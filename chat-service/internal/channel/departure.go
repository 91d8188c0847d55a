package channel

import (
	"context"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/outbox"
	"parley.chat/chat-service/internal/roster"
)

// leave ends a user's membership. If the user is not a member, nothing changes and nobody is
// notified.
func (s *Service) leave(ctx context.Context, channel chat.ChannelID, by token.Claims) error {
	access, err := accessOf(ctx, s.cfg.DB, channel, by.UserID)
	if err != nil || !access.Member() {
		return err
	}
	if err := access.Allow(chat.Leave); err != nil {
		return err
	}
	return s.change(ctx, channel, func(ctx context.Context, tx bun.Tx) error {
		return removeMember(ctx, tx, channel, by.UserID, by.UserID, by.Username)
	})
}

// remove removes another user from a channel and, if ban is set, also bans them. Removing oneself
// is the same as leaving.
func (s *Service) remove(ctx context.Context, channel chat.ChannelID, by token.Claims, other chat.UserID, ban bool) error {
	switch {
	case other == by.UserID && ban:
		return errBanSelf()
	case other == by.UserID:
		return s.leave(ctx, channel, by)
	}
	return s.change(ctx, channel, func(ctx context.Context, tx bun.Tx) error {
		role, username, err := s.authorize(ctx, tx, channel, by, other, chat.RemoveMembers)
		if ban && errors.Is(err, roster.ErrNone) { // users can be banned before they join
			return insertBan(ctx, tx, channel, by.UserID, other)
		}
		if err != nil {
			return err
		}
		if !role.by.MayRemove(role.other) {
			return apierr.New(apierr.Forbidden, "Only owners can remove owners and admins.")
		}
		if ban {
			if err := insertBan(ctx, tx, channel, by.UserID, other); err != nil {
				return err
			}
		}
		return removeMember(ctx, tx, channel, by.UserID, other, username)
	})
}

// setRole changes the role of a member.
func (s *Service) setRole(ctx context.Context, channel chat.ChannelID, by token.Claims, other chat.UserID, to chat.Role) (api.Member, error) {
	err := s.change(ctx, channel, func(ctx context.Context, tx bun.Tx) error {
		role, _, err := s.authorize(ctx, tx, channel, by, other, chat.ChangeRoles)
		if err != nil {
			return err
		}
		if !role.by.MayGrant(role.other, to) {
			return apierr.New(apierr.Forbidden, "Your role does not allow this.")
		}
		if role.other == to {
			return nil
		}
		var owners int
		err = tx.NewRaw(`with changed as (update channel_members set role = ? where channel_id = ? and user_id = ?)
			select count(*) from channel_members where channel_id = ? and role = 'owner' and user_id <> ?`,
			to, channel, other, channel, other).Scan(ctx, &owners)
		if err != nil {
			return fmt.Errorf("set role: %w", err)
		}
		if owners == 0 && to != chat.Owner {
			return apierr.New(apierr.Conflict, "This is the last owner. Make another member an owner first.")
		}
		return outbox.Add(ctx, tx, outbox.RoleChange(channel, by.UserID, other, to))
	})
	if err != nil {
		return api.Member{}, err
	}
	return roster.OfChannel(channel).Get(ctx, s.cfg.DB, other)
}

// change runs do in a transaction that has locked the channel, and wakes the outbox relay after the
// commit.
func (s *Service) change(ctx context.Context, channel chat.ChannelID, do func(context.Context, bun.Tx) error) error {
	err := s.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := lock(ctx, tx, channel); err != nil {
			return err
		}
		return do(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("change channel %s: %w", channel, err)
	}
	s.cfg.Poke()
	return nil
}

// roles holds the roles of the acting member and of the affected member.
type roles struct{ by, other chat.Role }

// authorize checks that a member may perform act on another member. It returns the roles of both
// members and the other member's name.
func (s *Service) authorize(ctx context.Context, tx bun.Tx, channel chat.ChannelID, by token.Claims, other chat.UserID, act chat.Action) (roles, string, error) {
	access, err := Admit(ctx, tx, channel, by.UserID)
	if err != nil {
		return roles{}, "", err
	}
	if err := access.Allow(act); err != nil {
		return roles{}, "", err
	}
	m, err := roster.OfChannel(channel).Get(ctx, tx, other)
	return roles{access.Role, m.Role}, m.Username, err
}

// removeMember ends a user's membership in a locked channel, if the user is a member, and adds the
// change to the outbox.
func removeMember(ctx context.Context, tx bun.Tx, channel chat.ChannelID, actor, subject chat.UserID, username string) error {
	res, err := tx.NewRaw("delete from channel_members where channel_id = ? and user_id = ?", channel, subject).Exec(ctx)
	if err != nil {
		return fmt.Errorf("remove member: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	rows := []outbox.Row{outbox.Membership(outbox.MemberLeft, channel, actor, subject, username)}
	successor, err := replaceOwner(ctx, tx, channel)
	if err != nil {
		return err
	}
	if successor != nil {
		rows = append(rows, outbox.RoleChange(channel, actor, *successor, chat.Owner))
	}
	return outbox.Add(ctx, tx, rows...)
}

// replaceOwner makes a member the owner of a channel that has none, and returns that member. The
// new owner is the longest-standing admin or, if there are no admins, the longest-standing member.
// A channel without members is archived by the trigger that counts the members.
func replaceOwner(ctx context.Context, tx bun.Tx, channel chat.ChannelID) (owner *chat.UserID, err error) {
	var owners []struct {
		UserID chat.UserID `bun:"user_id,type:uuid"`
	}
	err = tx.NewRaw(`update channel_members set role = 'owner'
		where channel_id = ? and user_id = (
			select user_id from channel_members where channel_id = ?
			order by role = 'admin' desc, joined_at, user_id limit 1)
		and not exists (select 1 from channel_members where channel_id = ? and role = 'owner')
		and not exists (select 1 from channels where id = ? and kind = 'direct') returning user_id`,
		channel, channel, channel, channel).Scan(ctx, &owners)
	if err != nil {
		return nil, fmt.Errorf("find the next owner: %w", err)
	}
	for i := range owners { // at most one
		owner = &owners[i].UserID
	}
	return owner, nil
}

// idOnly is a row that has only an id. bun would treat a slice of plain ids as a slice of models.
type idOnly struct {
	ID chat.ChannelID `bun:"id,type:uuid"`
}

// LeaveGroup removes a user from the channels of a group. The user's membership in the group has
// already ended in the same transaction.
func LeaveGroup(ctx context.Context, tx bun.Tx, group chat.GroupID, actor, subject chat.UserID, username string) error {
	var channels []struct {
		ID chat.ChannelID `bun:"id,type:uuid"`
	}
	err := tx.NewRaw(`select c.id from channels c
		where c.group_id = ? and c.deleted_at is null
			and exists (select 1 from channel_members m where m.channel_id = c.id and m.user_id = ?)
		order by c.id for no key update`, group, subject).Scan(ctx, &channels)
	if err != nil {
		return fmt.Errorf("lock the group's channels: %w", err)
	}
	for _, c := range channels {
		if err := removeMember(ctx, tx, c.ID, actor, subject, username); err != nil {
			return err
		}
	}
	return nil
}
