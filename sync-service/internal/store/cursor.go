package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

// Cursor is where a member of a channel stands at least. Read is never past Delivered.
type Cursor struct {
	Channel         chat.ChannelID
	User            chat.UserID
	Delivered, Read int64
}

// CursorsOf returns the cursors that a record of the receipts stream names.
func CursorsOf(r event.Receipts) []Cursor {
	cursors := make([]Cursor, len(r.Moves))
	for i, m := range r.Moves {
		cursors[i] = Cursor{r.Channel, m.User, m.Delivered, m.Read}
	}
	return cursors
}

// cursorChunk bounds the arrays of one statement, and how many rows it locks.
const cursorChunk = 5000

// raiseCursors locks the rows in one order, so that instances which raise the same ones at once wait for
// each other rather than deadlock. A member whom the database does not know is passed over, and so is one
// who stands there already: most repeated moves write nothing.
const raiseCursors = `with move as (
		select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[]) as r (channel, member, delivered, seen)
	), behind as (
		select m.channel_id, m.user_id, r.delivered, r.seen
		from move r join channel_members m on m.channel_id = r.channel and m.user_id = r.member
		where m.last_delivered_seq < r.delivered or m.last_read_seq < r.seen
		order by m.channel_id, m.user_id for no key update of m
	)
	update channel_members m set last_delivered_seq = greatest(m.last_delivered_seq, b.delivered),
		last_read_seq = greatest(m.last_read_seq, b.seen)
	from behind b where m.channel_id = b.channel_id and m.user_id = b.user_id`

// RaiseCursors raises the stored cursors of members to those given and returns how many it has raised.
// None is lowered. No member may be named twice; it may be repeated, and overtaken by other calls.
func (s *Store) RaiseCursors(ctx context.Context, cursors []Cursor) (raised int64, err error) {
	for some := range slices.Chunk(cursors, cursorChunk) {
		channels, users := make([]pgtype.UUID, len(some)), make([]pgtype.UUID, len(some))
		delivered, read := make([]int64, len(some)), make([]int64, len(some))
		for i, c := range some {
			channels[i], users[i], delivered[i], read[i] = known(c.Channel.UUID), known(c.User.UUID), c.Delivered, c.Read
		}
		if err := s.onConn(ctx, func(conn *pgx.Conn) error {
			tag, err := conn.Exec(ctx, raiseCursors, channels, users, delivered, read)
			raised += tag.RowsAffected()
			return err
		}); err != nil {
			return raised, fmt.Errorf("raise %d cursors: %w", len(some), err)
		}
	}
	return raised, nil
}
