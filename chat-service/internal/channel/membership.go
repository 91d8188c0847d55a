package channel

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"parley.chat/internal/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/contact"
	"parley.chat/chat-service/internal/outbox"
)

// Whatever changes a membership locks in this order, so that no two wait for each other: the user, the
// group, the user's membership of the group, the channel. Checks come after the locks.

// join makes a user a member. One who is a member already stays what they are, and nothing is told.
func (s *Service) join(ctx context.Context, channel chat.ChannelID, by token.Claims) error {
	st, err := standing(ctx, s.cfg.DB, channel, by.UserID)
	if err != nil || st.Member() {
		return err
	}
	return s.enter(ctx, channel, st.GroupID, entry{actor: by.UserID, subject: by.UserID}, func(ctx context.Context, tx bun.Tx) error {
		_, err := standing(ctx, tx, channel, by.UserID) // it may have been hidden meanwhile
		return err
	})
}

// add makes another user a member with a role, on behalf of one who may.
func (s *Service) add(ctx context.Context, channel chat.ChannelID, by token.Claims, other chat.UserID, role chat.Role) (api.Member, error) {
	st, err := Admit(ctx, s.cfg.DB, channel, by.UserID)
	if err != nil {
		return api.Member{}, err
	}
	allowed := func(st Standing) error {
		if err := st.Allow(chat.Invite); err != nil {
			return err
		}
		if role != chat.Member && !st.Role.MayGrant(chat.Member, role) {
			return apierr.New(apierr.Forbidden, "only owners give a role above member")
		}
		return nil
	}
	if err := allowed(st); err != nil {
		return api.Member{}, err
	}
	err = s.enter(ctx, channel, st.GroupID, entry{by.UserID, other, role}, func(ctx context.Context, tx bun.Tx) error {
		st, err := Admit(ctx, tx, channel, by.UserID)
		if err != nil {
			return err
		}
		if err := allowed(st); err != nil {
			return err
		}
		return MayBeAdded(ctx, tx, by.UserID, other)
	})
	if err != nil {
		return api.Member{}, err
	}
	return memberOf(ctx, s.cfg.DB, channel, other)
}

// MayBeAdded refuses to let those bring somebody anywhere whom they have blocked.
func MayBeAdded(ctx context.Context, db bun.IDB, by, other chat.UserID) error {
	blocked, err := contact.Blocks(ctx, db, other, by)
	if err == nil && blocked {
		err = apierr.New(apierr.Forbidden, "you cannot add this user")
	}
	return err
}

// entry says who comes into a channel, by whose act, as what ("" for who joins).
type entry struct {
	actor, subject chat.UserID
	role           chat.Role
}

// enter makes a user a member if allowed, asked under the locks, agrees.
func (s *Service) enter(ctx context.Context, channel chat.ChannelID, group *chat.GroupID, e entry, allowed func(context.Context, bun.Tx) error) error {
	// What came before is not unread. An event between this look and the commit is: none is missed.
	standings, err := s.standings(ctx, e.subject, []chat.ChannelID{channel})
	if err != nil {
		return err
	}
	came := false
	err = s.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		who := LockUser
		if e.actor == e.subject {
			who = LockSelf
		}
		username, err := who(ctx, tx, e.subject)
		if err != nil {
			return err
		}
		if group != nil {
			if err := lockInGroup(ctx, tx, *group, e.subject); err != nil {
				if e.actor == e.subject && apierr.CodeOf(err) == apierr.Forbidden {
					return errNoChannel() // just put out of the group
				}
				return err
			}
		}
		if err := lock(ctx, tx, channel); err != nil {
			return err
		}
		if err := allowed(ctx, tx); err != nil {
			return err
		}
		if came, err = insertMember(ctx, tx, channel, e, standings[0].Seq); err != nil || !came {
			return err
		}
		return outbox.Add(ctx, tx, outbox.Membership(outbox.MemberJoined, channel, e.actor, e.subject, username))
	})
	if err != nil {
		return fmt.Errorf("enter channel %s: %w", channel, err)
	}
	if came {
		s.cfg.Poke()
	}
	return nil
}

// insertMember writes the row of a member, and reports whether there was none. A channel that everybody
// has left belongs to the next who joins.
func insertMember(ctx context.Context, tx bun.Tx, channel chat.ChannelID, e entry, head int64) (bool, error) {
	res, err := tx.NewRaw(`insert into channel_members (channel_id, user_id, joined_seq, role)
		select ?, ?, ?, case when ? <> '' then ? when exists (select 1 from channel_members where channel_id = ? and role = 'owner')
			then 'member' else 'owner' end
		on conflict do nothing`, channel, e.subject, head, e.role, e.role, channel).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("add member: %w", gone(err))
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// LockUser locks a user against the deletion of their account and returns their name.
func LockUser(ctx context.Context, tx bun.Tx, user chat.UserID) (username string, err error) {
	err = tx.NewRaw("select username from users where id = ? and deleted_at is null for share", user).Scan(ctx, &username)
	if errors.Is(err, sql.ErrNoRows) {
		return "", apierr.New(apierr.NotFound, "no such user")
	}
	if err != nil {
		return "", fmt.Errorf("lock user: %w", err)
	}
	return username, nil
}

// LockSelf is LockUser for who asks: their token may outlive their account.
func LockSelf(ctx context.Context, tx bun.Tx, user chat.UserID) (username string, err error) {
	username, err = LockUser(ctx, tx, user)
	if apierr.CodeOf(err) == apierr.NotFound {
		err = apierr.New(apierr.Unauthenticated, "this account is gone")
	}
	return username, err
}

// lockInGroup locks a user's membership of a group: who is being put out of the group comes into none of
// its channels any more, and is put out of those that they came into before.
func lockInGroup(ctx context.Context, tx bun.Tx, group chat.GroupID, user chat.UserID) error {
	var one int
	err := tx.NewRaw("select 1 from group_members where group_id = ? and user_id = ? for share", group, user).Scan(ctx, &one)
	if errors.Is(err, sql.ErrNoRows) {
		return apierr.New(apierr.Forbidden, "only members of its group can be members of this channel")
	}
	if err != nil {
		return fmt.Errorf("lock membership of group: %w", err)
	}
	return nil
}

// lock locks a channel that has not been deleted against everybody else who would change its members.
// Statements after it see what those did.
func lock(ctx context.Context, tx bun.Tx, channel chat.ChannelID) error {
	var one int
	err := tx.NewRaw("select 1 from channels where id = ? and deleted_at is null for no key update", channel).Scan(ctx, &one)
	if errors.Is(err, sql.ErrNoRows) {
		return errNoChannel()
	}
	if err != nil {
		return fmt.Errorf("lock channel: %w", err)
	}
	return nil
}

// memberRow is a member with their name.
type memberRow struct {
	UserID      chat.UserID `bun:"user_id,type:uuid"`
	Username    string      `bun:"username"`
	DisplayName string      `bun:"display_name"`
	Role        chat.Role   `bun:"role"`
	JoinedAt    time.Time   `bun:"joined_at"`
}

func (r *memberRow) member() api.Member {
	return api.Member{UserID: r.UserID, Username: r.Username, DisplayName: r.DisplayName, Role: r.Role, JoinedAt: chat.At(r.JoinedAt)}
}

const selectMembers = `select m.user_id, u.username, u.display_name, m.role, m.joined_at
	from channel_members m join users u on u.id = m.user_id where m.channel_id = ?`

func errNoMember() error { return apierr.New(apierr.NotFound, "no such member") }

func memberOf(ctx context.Context, db bun.IDB, channel chat.ChannelID, user chat.UserID) (api.Member, error) {
	var r memberRow
	err := db.NewRaw(selectMembers+" and m.user_id = ?", channel, user).Scan(ctx, &r)
	if errors.Is(err, sql.ErrNoRows) {
		return api.Member{}, errNoMember()
	}
	if err != nil {
		return api.Member{}, fmt.Errorf("load member: %w", err)
	}
	return r.member(), nil
}

// members returns a page of a channel's members, one range of the primary key however many there are.
func (s *Service) members(ctx context.Context, channel chat.ChannelID, after chat.UserID, limit int) ([]api.Member, *chat.UserID, error) {
	var rows []memberRow
	err := s.cfg.DB.NewRaw(selectMembers+" and m.user_id > ? order by m.user_id limit ?", channel, after, limit+1).Scan(ctx, &rows)
	if err != nil {
		return nil, nil, fmt.Errorf("list members: %w", err)
	}
	var next *chat.UserID
	if len(rows) > limit {
		rows = rows[:limit]
		next = &rows[limit-1].UserID
	}
	members := make([]api.Member, len(rows))
	for i := range rows {
		members[i] = rows[i].member()
	}
	return members, next, nil
}
