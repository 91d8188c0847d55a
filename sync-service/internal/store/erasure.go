package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"parley.chat/shared-contracts/chat"
)

// named is the condition that a row of messages names the user of a row of erasures, by each of the two indexes.
const named = `(exists (select from messages m where m.sender_id = e.user_id and m.data ->> 'sender_name' is not null)
	or exists (select from messages m where m.target = e.user_id and m.data ->> 'username' is not null))`

// Named returns up to limit users whose accounts were deleted and whose names are in rows: those deleted after a time
// and those whose names have never been gone yet.
func (s *Store) Named(ctx context.Context, since time.Time, limit int) ([]chat.UserID, error) {
	return s.users(ctx, `select e.user_id from erasures e where (e.erased_at > $1 or e.scrubbed_at is null) and `+named+` limit $2`, since, limit)
}

// Erased returns which of users have deleted their accounts.
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

// Unname takes the name of a user out of up to limit messages and up to limit membership events, and returns the
// channel of each row that it changed. It passes over rows that others have locked: it never waits for them, and
// so is in no deadlock.
func (s *Store) Unname(ctx context.Context, user chat.UserID, limit int) (channels []chat.ChannelID, err error) {
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
		return channels, fmt.Errorf("take the name of a deleted account out of rows: %w", err)
	}
	return channels, nil
}

// Scrubbed notes which deleted accounts are named in no row any more, and returns how many others remain.
func (s *Store) Scrubbed(ctx context.Context) (remaining int, err error) {
	err = s.onConn(ctx, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, `update erasures e set scrubbed_at = now() where scrubbed_at is null and not `+named); err != nil {
			return err
		}
		return conn.QueryRow(ctx, `select count(*) from erasures where scrubbed_at is null`).Scan(&remaining)
	})
	if err != nil {
		return 0, fmt.Errorf("note scrubbed accounts: %w", err)
	}
	return remaining, nil
}

// Waiting returns how many deleted accounts may still be named.
func (s *Store) Waiting(ctx context.Context) (n int, err error) {
	err = s.db.NewRaw(`select count(*) from erasures where scrubbed_at is null`).Scan(ctx, &n)
	if err != nil {
		return 0, fmt.Errorf("count deleted accounts: %w", err)
	}
	return n, nil
}
