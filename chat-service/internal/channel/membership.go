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

	"parley.chat/chat-service/internal/outbox"
)

// join makes a user a member. One who is a member already stays what they are, and nothing is told.
func (s *Service) join(ctx context.Context, channel chat.ChannelID, by token.Claims) error {
	st, err := standing(ctx, s.cfg.DB, channel, by.UserID)
	if err != nil || st.Member() {
		return err
	}
	// What came before is not unread. An event between this look and the commit is: none is missed.
	heads, err := s.heads(ctx, []chat.ChannelID{channel})
	if err != nil {
		return err
	}
	joined := false
	err = s.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := lock(ctx, tx, channel, "share"); err != nil {
			return err
		}
		// A channel that everybody has left belongs to the next who comes.
		res, err := tx.NewRaw(`insert into channel_members (channel_id, user_id, joined_seq, role)
			select ?, ?, ?, case when exists (select 1 from channel_members where channel_id = ? and role = 'owner')
				then 'member' else 'owner' end
			on conflict do nothing`, channel, by.UserID, heads[0], channel).Exec(ctx)
		if err != nil {
			return fmt.Errorf("add member: %w", gone(err))
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		joined = true
		return outbox.Add(ctx, tx, outbox.Membership(outbox.MemberJoined, channel, by.UserID, by.UserID, by.Username))
	})
	if err != nil {
		return fmt.Errorf("join channel %s: %w", channel, err)
	}
	if joined {
		s.cfg.Poke()
	}
	return nil
}

// leave takes a user out of a channel. One who is not in it stays out, and nothing is told.
func (s *Service) leave(ctx context.Context, channel chat.ChannelID, by token.Claims) error {
	st, err := standing(ctx, s.cfg.DB, channel, by.UserID)
	if err != nil || !st.Member() {
		return err
	}
	if st.Kind == chat.Direct {
		return apierr.New(apierr.Forbidden, "a direct channel cannot be left")
	}
	left := false
	err = s.cfg.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		// Alone: of two last owners who leave at once, the second must see that the first has gone.
		if err := lock(ctx, tx, channel, "update"); err != nil {
			return err
		}
		res, err := tx.NewRaw("delete from channel_members where channel_id = ? and user_id = ?", channel, by.UserID).Exec(ctx)
		if err != nil {
			return fmt.Errorf("remove member: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		left = true
		if err := succeed(ctx, tx, channel); err != nil {
			return err
		}
		return outbox.Add(ctx, tx, outbox.Membership(outbox.MemberLeft, channel, by.UserID, by.UserID, by.Username))
	})
	if err != nil {
		return fmt.Errorf("leave channel %s: %w", channel, err)
	}
	if left {
		s.cfg.Poke()
	}
	return nil
}

// succeed gives a channel without an owner the next one: of its admins, else of its members, the one
// who came first.
func succeed(ctx context.Context, tx bun.Tx, channel chat.ChannelID) error {
	_, err := tx.NewRaw(`update channel_members set role = 'owner'
		where channel_id = ? and user_id = (
			select user_id from channel_members where channel_id = ?
			order by role = 'admin' desc, joined_at, user_id limit 1)
		and not exists (select 1 from channel_members where channel_id = ? and role = 'owner')`,
		channel, channel, channel).Exec(ctx)
	if err != nil {
		return fmt.Errorf("find the next owner: %w", err)
	}
	return nil
}

// lock locks a channel that has not been deleted: with "share" against those who lock it with "update".
// Statements after it see what those did.
func lock(ctx context.Context, tx bun.Tx, channel chat.ChannelID, how string) error {
	var one int
	err := tx.NewRaw("select 1 from channels where id = ? and deleted_at is null for ?", channel, bun.Safe(how)).Scan(ctx, &one)
	if errors.Is(err, sql.ErrNoRows) {
		return errNoChannel()
	}
	if err != nil {
		return fmt.Errorf("lock channel: %w", err)
	}
	return nil
}
