package channel

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"parley.chat/internal/ratelimit"
	"parley.chat/internal/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/contact"
	"parley.chat/chat-service/internal/invitation"
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

// mayAdd returns an error unless a member may make another user a member with a role.
func mayAdd(st Standing, role chat.Role) error {
	if err := st.Allow(chat.Invite); err != nil {
		return err
	}
	if role != chat.Member && !st.Role.MayGrant(chat.Member, role) {
		return apierr.New(apierr.Forbidden, "only owners give a role above member")
	}
	return nil
}

// add makes another user a member with a role, on behalf of one who may. A stranger to that one is invited
// instead; the invitation is returned then.
func (s *Service) add(ctx context.Context, channel chat.ChannelID, by token.Claims, other chat.UserID, role chat.Role) (api.Member, *api.Invitation, error) {
	st, err := Admit(ctx, s.cfg.DB, channel, by.UserID)
	if err == nil {
		err = mayAdd(st, role)
	}
	if err != nil {
		return api.Member{}, nil, err
	}
	if m, err := memberOf(ctx, s.cfg.DB, channel, other); err == nil {
		return m, nil, nil // already a member
	}
	e := entry{by.UserID, other, role}
	if s.cfg.AskStrangers && st.GroupID == nil && by.UserID != other {
		known, err := invitation.Acquainted(ctx, s.cfg.DB, by.UserID, other)
		if err != nil {
			return api.Member{}, nil, err
		}
		if !known {
			inv, err := s.invite(ctx, channel, e)
			return api.Member{}, &inv, err
		}
	}
	err = s.enter(ctx, channel, st.GroupID, e, func(ctx context.Context, tx bun.Tx) error { return s.mayBeAddedBy(ctx, tx, channel, e) })
	if err != nil {
		return api.Member{}, nil, err
	}
	m, err := memberOf(ctx, s.cfg.DB, channel, other)
	return m, nil, err
}

// mayBeAddedBy checks an entry by another user in a channel that is locked.
func (s *Service) mayBeAddedBy(ctx context.Context, tx bun.Tx, channel chat.ChannelID, e entry) error {
	st, err := Admit(ctx, tx, channel, e.actor)
	if err == nil {
		err = mayAdd(st, e.role)
	}
	if err != nil {
		return err
	}
	return MayBeAdded(ctx, tx, e.actor, e.subject)
}

// invite asks a stranger.
func (s *Service) invite(ctx context.Context, channel chat.ChannelID, e entry) (api.Invitation, error) {
	var shown api.Invitation
	err := s.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := LockUser(ctx, tx, e.subject); err != nil {
			return err
		}
		if err := lock(ctx, tx, channel); err != nil {
			return err
		}
		if err := s.mayBeAddedBy(ctx, tx, channel, e); err != nil {
			return err
		}
		if err := notBanned(ctx, tx, channel, e); err != nil {
			return err
		}
		inv, err := invitation.Add(ctx, tx, invitation.Invitation{ChannelID: &channel, UserID: e.subject, InvitedBy: e.actor, Role: e.role})
		if err != nil {
			return err
		}
		shown, err = invitation.Show(ctx, tx, inv.ID)
		return err
	})
	if err != nil {
		return shown, fmt.Errorf("invite into channel %s: %w", channel, err)
	}
	s.cfg.Poke()
	return shown, nil
}

// Accept brings an invited user in, if the inviter may still invite.
func (s *Service) Accept(ctx context.Context, inv invitation.Invitation) error {
	channel := *inv.ChannelID
	e := entry{inv.UserID, inv.UserID, inv.Role}
	return s.enter(ctx, channel, nil, e, func(ctx context.Context, tx bun.Tx) error {
		var open bool
		if err := tx.NewRaw("select exists (select from invitations where id = ? and declined_at is null)", inv.ID).Scan(ctx, &open); err != nil {
			return fmt.Errorf("find invitation: %w", err)
		}
		st, err := standing(ctx, tx, channel, inv.InvitedBy)
		if err == nil {
			err = mayAdd(st, inv.Role)
		}
		if code := apierr.CodeOf(err); !open || err != nil && (code == apierr.NotFound || code == apierr.Forbidden) {
			return apierr.New(apierr.NotFound, "no such invitation")
		}
		return err
	})
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

// enter makes a user a member if allowed, asked under the locks, agrees. Coming into a channel is limited, so
// that coming and going in turn makes at most one event a minute; going is not, since a member must be able to
// leave.
func (s *Service) enter(ctx context.Context, channel chat.ChannelID, group *chat.GroupID, e entry, allowed func(context.Context, bun.Tx) error) error {
	if _, err := s.cfg.Limits.Take(ctx, ratelimit.Into(channel, e.subject)); err != nil {
		return err
	}
	// What came before is not unread. An event between this look and the commit is: none is missed.
	standings, err := s.positions(ctx, e.subject, []chat.ChannelID{channel})
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
		if err := notBanned(ctx, tx, channel, e); err != nil {
			return err
		}
		if err := s.room(ctx, tx, e); err != nil {
			return err
		}
		if came, err = insertMember(ctx, tx, channel, e, standings[0].Seq); err != nil || !came {
			return err
		}
		if err := invitation.FromChannel(ctx, tx, channel, e.subject, e.actor); err != nil {
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

// room returns an error if a user, whose row is locked, is in as many channels as one can be: a user who was
// added to more could not follow them all.
func (s *Service) room(ctx context.Context, tx bun.Tx, e entry) error {
	if s.cfg.MaxMemberships == 0 {
		return nil
	}
	var n int
	if err := tx.NewRaw("select count(*) from channel_members where user_id = ?", e.subject).Scan(ctx, &n); err != nil {
		return fmt.Errorf("count memberships: %w", err)
	}
	switch {
	case n < s.cfg.MaxMemberships:
		return nil
	case e.actor == e.subject:
		return apierr.New(apierr.Forbidden, "you are in %d channels, which is the limit: leave one first", n)
	}
	return apierr.New(apierr.Conflict, "this user is in as many channels as one can be")
}

// insertMember writes the row of a member, and reports whether there was none.
func insertMember(ctx context.Context, tx bun.Tx, channel chat.ChannelID, e entry, head int64) (bool, error) {
	res, err := tx.NewRaw(`insert into channel_members (channel_id, user_id, joined_seq, role) values (?, ?, ?, ?)
		on conflict do nothing`, channel, e.subject, head, cmp.Or(e.role, chat.Member)).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("add member: %w", gone(err))
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// LockUser locks a user against the deletion of their account, and against coming in elsewhere at the same
// time, and returns their name.
func LockUser(ctx context.Context, tx bun.Tx, user chat.UserID) (username string, err error) {
	err = tx.NewRaw("select username from users where id = ? and deleted_at is null for no key update", user).Scan(ctx, &username)
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

// lock locks a channel that is neither deleted nor archived against everybody else who would change its members.
// Statements after it see what those did.
func lock(ctx context.Context, tx bun.Tx, channel chat.ChannelID) error {
	var one int
	err := tx.NewRaw("select 1 from channels where id = ? and deleted_at is null and archived_at is null for no key update", channel).Scan(ctx, &one)
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

var errNoMember = apierr.New(apierr.NotFound, "no such member")

func memberOf(ctx context.Context, db bun.IDB, channel chat.ChannelID, user chat.UserID) (api.Member, error) {
	var r memberRow
	err := db.NewRaw(selectMembers+" and m.user_id = ?", channel, user).Scan(ctx, &r)
	if errors.Is(err, sql.ErrNoRows) {
		return api.Member{}, errNoMember
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
