package channel

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/contact"
	"parley.chat/chat-service/internal/invitation"
	"parley.chat/chat-service/internal/outbox"
	"parley.chat/chat-service/internal/roster"
)

// Every change to a membership acquires its locks in the same order, so that two changes cannot
// deadlock. The order is: user, group, the user's membership in the group, channel. Conditions are
// checked again after the locks are taken.

// join makes a user a member. If the user is already a member, nothing changes and nobody is
// notified.
func (s *Service) join(ctx context.Context, channel chat.ChannelID, by token.Claims) error {
	access, err := accessOf(ctx, s.cfg.DB, channel, by.UserID)
	if err != nil || access.Member() {
		return err
	}
	return s.enter(ctx, channel, access.GroupID, entry{actor: by.UserID, subject: by.UserID}, func(ctx context.Context, tx bun.Tx) error {
		_, err := accessOf(ctx, tx, channel, by.UserID) // the channel may have become hidden since the first check
		return err
	})
}

// mayAdd returns an error unless a member with the given access may add another user with the given
// role.
func mayAdd(access Access, role chat.Role) error {
	if err := access.Allow(chat.Invite); err != nil {
		return err
	}
	if role != chat.Member && !access.Role.MayGrant(chat.Member, role) {
		return apierr.New(apierr.Forbidden, "Only owners can assign a role above member.")
	}
	return nil
}

// add makes another user a member with the given role, on behalf of a member who has the right to
// add members. If the two users do not know each other, the user is invited instead, and add
// returns the invitation.
func (s *Service) add(ctx context.Context, channel chat.ChannelID, by token.Claims, other chat.UserID, role chat.Role) (api.Member, *api.Invitation, error) {
	access, err := Admit(ctx, s.cfg.DB, channel, by.UserID)
	if err == nil {
		err = mayAdd(access, role)
	}
	if err != nil {
		return api.Member{}, nil, err
	}
	if m, err := roster.OfChannel(channel).Get(ctx, s.cfg.DB, other); err == nil {
		return m, nil, nil // already a member
	}
	e := entry{by.UserID, other, role}
	if s.cfg.AskStrangers && access.GroupID == nil && by.UserID != other {
		known, err := invitation.Acquainted(ctx, s.cfg.DB, by.UserID, other)
		if err != nil {
			return api.Member{}, nil, err
		}
		if !known {
			inv, err := s.invite(ctx, channel, e)
			return api.Member{}, &inv, err
		}
	}
	err = s.enter(ctx, channel, access.GroupID, e, func(ctx context.Context, tx bun.Tx) error { return s.mayBeAddedBy(ctx, tx, channel, e) })
	if err != nil {
		return api.Member{}, nil, err
	}
	m, err := roster.OfChannel(channel).Get(ctx, s.cfg.DB, other)
	return m, nil, err
}

// mayBeAddedBy returns an error unless e.actor may add e.subject. The channel must be locked.
func (s *Service) mayBeAddedBy(ctx context.Context, tx bun.Tx, channel chat.ChannelID, e entry) error {
	access, err := Admit(ctx, tx, channel, e.actor)
	if err == nil {
		err = mayAdd(access, e.role)
	}
	if err != nil {
		return err
	}
	return MayBeAdded(ctx, tx, e.actor, e.subject)
}

// invite invites a user the inviter does not know.
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

// Accept makes an invited user a member, if the inviter still has the right to invite users.
func (s *Service) Accept(ctx context.Context, inv invitation.Invitation) error {
	channel := *inv.ChannelID
	e := entry{inv.UserID, inv.UserID, inv.Role}
	return s.enter(ctx, channel, nil, e, func(ctx context.Context, tx bun.Tx) error {
		var open bool
		if err := tx.NewRaw("select exists (select from invitations where id = ? and declined_at is null)", inv.ID).Scan(ctx, &open); err != nil {
			return fmt.Errorf("find invitation: %w", err)
		}
		access, err := accessOf(ctx, tx, channel, inv.InvitedBy)
		if err == nil {
			err = mayAdd(access, inv.Role)
		}
		if code := apierr.CodeOf(err); !open || err != nil && (code == apierr.NotFound || code == apierr.Forbidden) {
			return apierr.New(apierr.NotFound, "This invitation does not exist.")
		}
		return err
	})
}

// MayBeAdded returns an error if other has blocked the user who wants to add them to a channel or
// group.
func MayBeAdded(ctx context.Context, db bun.IDB, by, other chat.UserID) error {
	blocked, err := contact.Blocks(ctx, db, other, by)
	if err == nil && blocked {
		err = apierr.New(apierr.Forbidden, "You cannot add this user.")
	}
	return err
}

// entry describes how a user becomes a member. actor makes the change, and subject becomes the
// member. role is the subject's new role, or "" if they join on their own.
type entry struct {
	actor, subject chat.UserID
	role           chat.Role
}

// enter makes a user a member. It calls allowed while it holds all locks, and stops if allowed
// returns an error. Entering is rate-limited, so that a user who keeps joining and leaving produces
// at most one event per minute. Leaving is not limited, because a member must always be able to
// leave.
func (s *Service) enter(ctx context.Context, channel chat.ChannelID, group *chat.GroupID, e entry, allowed func(context.Context, bun.Tx) error) error {
	if _, err := s.cfg.Limits.Take(ctx, ratelimit.Into(channel, e.subject)); err != nil {
		return err
	}
	// Events before the join do not count as unread. The newest seq is read before the transaction.
	// Events that are appended between this read and the commit therefore count as unread, so the
	// user misses none of them.
	positions, err := s.positions(ctx, e.subject, []chat.ChannelID{channel})
	if err != nil {
		return err
	}
	entered := false
	err = s.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		lockUser := LockUser
		if e.actor == e.subject {
			lockUser = LockSelf
		}
		username, err := lockUser(ctx, tx, e.subject)
		if err != nil {
			return err
		}
		if group != nil {
			if err := lockInGroup(ctx, tx, *group, e.subject); err != nil {
				if e.actor == e.subject && apierr.CodeOf(err) == apierr.Forbidden {
					return errNoChannel() // the user has just been removed from the group
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
		if err := s.checkLimit(ctx, tx, e); err != nil {
			return err
		}
		if entered, err = insertMember(ctx, tx, channel, e, positions[0].Seq); err != nil || !entered {
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
	if entered {
		s.cfg.Poke()
	}
	return nil
}

// checkLimit returns an error if a user has reached the maximum number of channels. The user's row
// must be locked. The limit exists because a client cannot follow an unlimited number of channels.
func (s *Service) checkLimit(ctx context.Context, tx bun.Tx, e entry) error {
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
		return apierr.New(apierr.Forbidden, "You have reached the limit of %d channels. Leave one first.", n)
	}
	return apierr.New(apierr.Conflict, "This user has reached the maximum number of channels.")
}

// insertMember inserts a member's row. It returns false if the user was already a member.
func insertMember(ctx context.Context, tx bun.Tx, channel chat.ChannelID, e entry, head int64) (bool, error) {
	res, err := tx.NewRaw(`insert into channel_members (channel_id, user_id, joined_seq, role) values (?, ?, ?, ?)
		on conflict do nothing`, channel, e.subject, head, cmp.Or(e.role, chat.Member)).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("add member: %w", accountDeleted(err))
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// LockUser locks a user and returns their name. The lock prevents the deletion of the account and
// concurrent additions to other channels.
func LockUser(ctx context.Context, tx bun.Tx, user chat.UserID) (username string, err error) {
	err = tx.NewRaw("select username from users where id = ? and deleted_at is null for no key update", user).Scan(ctx, &username)
	if errors.Is(err, sql.ErrNoRows) {
		return "", apierr.New(apierr.NotFound, "This user does not exist.")
	}
	if err != nil {
		return "", fmt.Errorf("lock user: %w", err)
	}
	return username, nil
}

// LockSelf is LockUser for the user who sent the request. If their account has been
// deleted, it returns Unauthenticated, because a token may outlive its account.
func LockSelf(ctx context.Context, tx bun.Tx, user chat.UserID) (username string, err error) {
	username, err = LockUser(ctx, tx, user)
	if apierr.CodeOf(err) == apierr.NotFound {
		err = apierr.New(apierr.Unauthenticated, "This account has been deleted.")
	}
	return username, err
}

// lockInGroup locks a user's membership in a group. Because of this lock, a user who is being
// removed from a group cannot enter more of its channels. The removal also ends their memberships
// in channels that they entered earlier.
func lockInGroup(ctx context.Context, tx bun.Tx, group chat.GroupID, user chat.UserID) error {
	var one int
	err := tx.NewRaw("select 1 from group_members where group_id = ? and user_id = ? for share", group, user).Scan(ctx, &one)
	if errors.Is(err, sql.ErrNoRows) {
		return apierr.New(apierr.Forbidden, "Only members of the group can be members of this channel.")
	}
	if err != nil {
		return fmt.Errorf("lock membership of group: %w", err)
	}
	return nil
}

// lock locks a channel, so that no other transaction can change its members. It returns an error if
// the channel is deleted or archived. Later statements in this transaction see every change that
// was committed before the lock was granted.
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
