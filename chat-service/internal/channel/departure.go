package channel

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"parley.chat/internal/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/outbox"
)

// leave takes a user out of a channel. One who is not in it stays out, and nothing is told.
func (s *Service) leave(ctx context.Context, channel chat.ChannelID, by token.Claims) error {
	st, err := standing(ctx, s.cfg.DB, channel, by.UserID)
	if err != nil || !st.Member() {
		return err
	}
	if err := st.Allow(chat.Leave); err != nil {
		return err
	}
	return s.change(ctx, channel, func(ctx context.Context, tx bun.Tx) error {
		return depart(ctx, tx, channel, by.UserID, by.UserID, by.Username)
	})
}

// remove puts another user out of a channel, and with ban keeps them out; without it, of oneself it is leaving.
func (s *Service) remove(ctx context.Context, channel chat.ChannelID, by token.Claims, other chat.UserID, ban bool) error {
	switch {
	case other == by.UserID && ban:
		return errBanSelf()
	case other == by.UserID:
		return s.leave(ctx, channel, by)
	}
	return s.change(ctx, channel, func(ctx context.Context, tx bun.Tx) error {
		role, username, err := s.over(ctx, tx, channel, by, other, chat.Disinvite)
		if ban && errors.Is(err, errNoMember) { // one can be banned before one comes
			return insertBan(ctx, tx, channel, by.UserID, other)
		}
		if err != nil {
			return err
		}
		if !role.by.MayRemove(role.other) {
			return apierr.New(apierr.Forbidden, "only owners remove owners and admins")
		}
		if ban {
			if err := insertBan(ctx, tx, channel, by.UserID, other); err != nil {
				return err
			}
		}
		return depart(ctx, tx, channel, by.UserID, other, username)
	})
}

// setRole gives a member another role.
func (s *Service) setRole(ctx context.Context, channel chat.ChannelID, by token.Claims, other chat.UserID, to chat.Role) (api.Member, error) {
	err := s.change(ctx, channel, func(ctx context.Context, tx bun.Tx) error {
		role, _, err := s.over(ctx, tx, channel, by, other, chat.Entitle)
		if err != nil {
			return err
		}
		if !role.by.MayGrant(role.other, to) {
			return apierr.New(apierr.Forbidden, "your role does not allow that")
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
			return apierr.New(apierr.Conflict, "this is the last owner: make another member an owner first")
		}
		return outbox.Add(ctx, tx, outbox.RoleChange(channel, by.UserID, other, to))
	})
	if err != nil {
		return api.Member{}, err
	}
	return memberOf(ctx, s.cfg.DB, channel, other)
}

// change runs a transaction that has the channel to itself.
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

// pair is the roles of two members, of whom the first acts on the second.
type pair struct{ by, other chat.Role }

// over returns the roles of who acts and of a member whom it concerns, with that one's name.
func (s *Service) over(ctx context.Context, tx bun.Tx, channel chat.ChannelID, by token.Claims, other chat.UserID, act chat.Act) (pair, string, error) {
	st, err := Admit(ctx, tx, channel, by.UserID)
	if err != nil {
		return pair{}, "", err
	}
	if err := st.Allow(act); err != nil {
		return pair{}, "", err
	}
	var r memberRow
	err = tx.NewRaw(selectMembers+" and m.user_id = ?", channel, other).Scan(ctx, &r)
	if errors.Is(err, sql.ErrNoRows) {
		return pair{}, "", errNoMember
	}
	if err != nil {
		return pair{}, "", fmt.Errorf("load member: %w", err)
	}
	return pair{st.Role, r.Role}, r.Username, nil
}

// depart ends a membership in a channel that is locked, if there is one, and tells of it.
func depart(ctx context.Context, tx bun.Tx, channel chat.ChannelID, actor, subject chat.UserID, username string) error {
	res, err := tx.NewRaw("delete from channel_members where channel_id = ? and user_id = ?", channel, subject).Exec(ctx)
	if err != nil {
		return fmt.Errorf("remove member: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	rows := []outbox.Row{outbox.Membership(outbox.MemberLeft, channel, actor, subject, username)}
	heir, err := succeed(ctx, tx, channel)
	if err != nil {
		return err
	}
	if heir != nil {
		rows = append(rows, outbox.RoleChange(channel, actor, *heir, chat.Owner))
	}
	return outbox.Add(ctx, tx, rows...)
}

// succeed gives a channel without an owner the next one: of its admins, else of its members, the one
// who came first, and returns that member. A channel that nobody is left in is archived by the trigger that counts
// its members.
func succeed(ctx context.Context, tx bun.Tx, channel chat.ChannelID) (heir *chat.UserID, err error) {
	var heirs []struct {
		UserID chat.UserID `bun:"user_id,type:uuid"`
	}
	err = tx.NewRaw(`update channel_members set role = 'owner'
		where channel_id = ? and user_id = (
			select user_id from channel_members where channel_id = ?
			order by role = 'admin' desc, joined_at, user_id limit 1)
		and not exists (select 1 from channel_members where channel_id = ? and role = 'owner')
		and not exists (select 1 from channels where id = ? and kind = 'direct') returning user_id`,
		channel, channel, channel, channel).Scan(ctx, &heirs)
	if err != nil {
		return nil, fmt.Errorf("find the next owner: %w", err)
	}
	for i := range heirs { // one at most
		heir = &heirs[i].UserID
	}
	return heir, nil
}

// idOnly is a row of nothing but an id: bun takes a slice of ids for a slice of models.
type idOnly struct {
	ID chat.ChannelID `bun:"id,type:uuid"`
}

// LeaveGroup takes a user out of the channels of a group, whose membership of the group has ended in the
// same transaction.
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
		if err := depart(ctx, tx, c.ID, actor, subject, username); err != nil {
			return err
		}
	}
	return nil
}
