package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"parley.chat/shared-contracts/chat"
)

// named is an SQL condition on a row of the erasures table. It is true if any row of the messages
// table contains the user's name. Both subqueries use an index.
const named = `(exists (select from messages m where m.sender_id = e.user_id and m.data ->> 'sender_name' is not null)
	or exists (select from messages m where m.target = e.user_id and m.data ->> 'username' is not null))`

// UsersToScrub returns up to limit users whose accounts were deleted and whose names are still in
// rows. It considers accounts that were deleted after the given time and accounts that are not yet
// marked as scrubbed.
func (s *Store) UsersToScrub(ctx context.Context, since time.Time, limit int) ([]chat.UserID, error) {
	return s.users(ctx, `select e.user_id from erasures e where (e.erased_at > $1 or e.scrubbed_at is null) and `+named+` limit $2`, since, limit)
}

// Erased returns the given users who have deleted their accounts.
func (s *Store) Erased(ctx context.Context, users []chat.UserID) ([]chat.UserID, error) {
	ids := make([]pgtype.UUID, len(users))
	for i, u := range users {
		ids[i] = known(u.UUID)
	}
	return s.users(ctx, `select user_id from erasures where user_id = any($1)`, ids)
}

func (s *Store) users(ctx context.Context, sql string, args ...any) (users []chat.UserID, err error) {
	err = s.onConn(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		var id chat.UserID
		_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&id.UUID)}, func() error {
			users = append(users, id)
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read deleted accounts: %w", err)
	}
	return users, nil
}

// RemoveName removes the name of a user from up to limit messages and up to limit membership
// events, and returns the channel of each changed row. It skips locked rows: since it never waits
// for a lock, it cannot take part in a deadlock.
func (s *Store) RemoveName(ctx context.Context, user chat.UserID, limit int) (channels []chat.ChannelID, err error) {
	err = s.onConn(ctx, func(conn *pgx.Conn) error {
		for _, at := range []struct{ column, field string }{{"sender_id", "sender_name"}, {"target", "username"}} {
			rows, err := conn.Query(ctx, fmt.Sprintf(`update messages set data = nullif(data - '%[2]s', '{}') where ctid = any(array(
				select ctid from messages where %[1]s = $1 and data ->> '%[2]s' is not null limit $2 for update skip locked))
				returning channel_id`, at.column, at.field),
				known(user.UUID), limit)
			if err != nil {
				return err
			}
			var id chat.ChannelID
			if _, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&id.UUID)}, func() error {
				channels = append(channels, id)
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return channels, fmt.Errorf("remove the name of a deleted account from rows: %w", err)
	}
	return channels, nil
}

// MarkScrubbed marks deleted accounts as scrubbed if no row contains their names anymore. It
// returns the number of accounts that are still unmarked.
func (s *Store) MarkScrubbed(ctx context.Context) (remaining int, err error) {
	err = s.onConn(ctx, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, `update erasures e set scrubbed_at = now() where scrubbed_at is null and not `+named); err != nil {
			return err
		}
		return conn.QueryRow(ctx, `select count(*) from erasures where scrubbed_at is null`).Scan(&remaining)
	})
	if err != nil {
		return 0, fmt.Errorf("mark scrubbed accounts: %w", err)
	}
	return remaining, nil
}

// CountUnscrubbed returns the number of deleted accounts that are not marked as scrubbed.
func (s *Store) CountUnscrubbed(ctx context.Context) (n int, err error) {
	err = s.db.NewRaw(`select count(*) from erasures where scrubbed_at is null`).Scan(ctx, &n)
	if err != nil {
		return 0, fmt.Errorf("count deleted accounts: %w", err)
	}
	return n, nil
}
