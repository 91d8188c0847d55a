package stage

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"parley.chat/shared-contracts/chat"
)

// Stored describes the stored messages of a channel.
type Stored struct {
	Rows     int64
	Last     int64 // the highest seq; equals Rows if no seq is missing
	Distinct int64 // number of distinct client ids; less than Rows if a message was stored twice
}

// withDatabase calls do with a new connection.
func (s *Stage) withDatabase(ctx context.Context, do func(*pgx.Conn) error) error {
	db, err := pgx.Connect(ctx, s.DatabaseURL())
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	return errors.Join(do(db), db.Close(ctx))
}

// StoredOf counts the stored messages of each channel. The result has the same order as channels.
func (s *Stage) StoredOf(ctx context.Context, channels []chat.ChannelID) ([]Stored, error) {
	all, place := make([]Stored, len(channels)), make(map[uuid.UUID]int, len(channels))
	ids := make([]uuid.UUID, len(channels))
	for i, c := range channels {
		ids[i], place[c.UUID] = c.UUID, i
	}
	err := s.withDatabase(ctx, func(db *pgx.Conn) error {
		rows, err := db.Query(ctx, `select channel_id, count(*), max(seq), count(distinct client_id) from messages
			where channel_id = any($1) and kind = 'message' group by channel_id`, ids)
		if err != nil {
			return err
		}
		var id [16]byte
		var one Stored
		_, err = pgx.ForEachRow(rows, []any{&id, &one.Rows, &one.Last, &one.Distinct}, func() error {
			all[place[id]] = one
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("count stored messages: %w", err)
	}
	return all, nil
}

// Cursor is a user's read position in a channel.
type Cursor struct {
	Channel chat.ChannelID
	User    chat.UserID
	Seq     int64
}

// CursorsBehind returns the number of cursors for which PostgreSQL has no position or a lower one.
func (s *Stage) CursorsBehind(ctx context.Context, cursors []Cursor) (n int64, err error) {
	channels, users, seqs := make([]uuid.UUID, len(cursors)), make([]uuid.UUID, len(cursors)), make([]int64, len(cursors))
	for i, c := range cursors {
		channels[i], users[i], seqs[i] = c.Channel.UUID, c.User.UUID, c.Seq
	}
	err = s.withDatabase(ctx, func(db *pgx.Conn) error {
		return db.QueryRow(ctx, `select count(*) from unnest($1::uuid[], $2::uuid[], $3::bigint[]) k (channel_id, user_id, seq)
			left join channel_members m using (channel_id, user_id) where coalesce(m.last_read_seq, 0) < k.seq`, channels, users, seqs).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("compare stored cursors: %w", err)
	}
	return n, nil
}

// Forget empties the event log in the database, so that a scenario does not affect the next one.
func (s *Stage) Forget(ctx context.Context) error {
	err := s.withDatabase(ctx, func(db *pgx.Conn) error {
		_, err := db.Exec(ctx, "truncate messages, message_states, message_reactions")
		return err
	})
	if err != nil {
		return fmt.Errorf("empty the database: %w", err)
	}
	return nil
}
