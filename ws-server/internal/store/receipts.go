package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun/dialect/pgdialect"

	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/internal/platform/database"
	"parley.chat/shared-contracts/chat"
)

// CountMembers returns the number of members of each channel, in the order of channels. It stops
// counting a channel at limit, so a large channel costs no more than one with limit members.
func (s *Store) CountMembers(ctx context.Context, channels []chat.ChannelID, limit int) ([]int, error) {
	ids := make([]string, len(channels))
	for i, c := range channels {
		ids[i] = c.String()
	}
	var counts []int
	err := s.db.NewRaw(`
		select (select count(*) from (
		          select 1 from channel_members m where m.channel_id = w.channel_id limit ?) as counted)
		from unnest(?::uuid[]) with ordinality as w(channel_id, n) order by w.n`,
		limit, pgdialect.Array(ids)).Scan(ctx, &counts)
	if err != nil {
		return nil, fmt.Errorf("count the members of %d channels: %w", len(channels), err)
	}
	return counts, nil
}

// Receipts returns the stored receipts of all members of a channel.
func (s *Store) Receipts(ctx context.Context, channel chat.ChannelID) (map[chat.UserID]receiptlog.Receipt, error) {
	var rows []struct {
		UserID           chat.UserID `bun:"user_id"`
		LastDeliveredSeq int64       `bun:"last_delivered_seq"`
		LastReadSeq      int64       `bun:"last_read_seq"`
	}
	err := s.db.NewRaw(`select user_id, last_delivered_seq, last_read_seq from channel_members where channel_id = ?`, channel).
		Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("read the receipts of channel %s: %w", channel, err)
	}
	receipts := make(map[chat.UserID]receiptlog.Receipt, len(rows))
	for _, r := range rows {
		receipts[r.UserID] = receiptlog.Receipt{Delivered: r.LastDeliveredSeq, Read: r.LastReadSeq}
	}
	return receipts, nil
}

// receiptsOf looks up each key separately; see accessQuery. The limit keeps the planner from using
// a join.
const receiptsOf = `
	select w.n, m.last_delivered_seq, m.last_read_seq
	from unnest($1::uuid[], $2::uuid[]) with ordinality as w(channel_id, user_id, n)
	cross join lateral (select last_delivered_seq, last_read_seq from channel_members
	                    where channel_id = w.channel_id and user_id = w.user_id limit 1) m`

// ReceiptsOf returns the stored receipts of members, in the order of keys. They are zero for a user
// who is not a member.
func (s *Store) ReceiptsOf(ctx context.Context, keys []chat.MemberKey) ([]receiptlog.Receipt, error) {
	receipts := make([]receiptlog.Receipt, len(keys))
	err := database.Prepared(ctx, s.db, receiptsOf, columns(keys), func(rows pgx.Rows) error {
		var n int
		var at receiptlog.Receipt
		err := rows.Scan(&n, &at.Delivered, &at.Read)
		if err == nil {
			receipts[n-1] = at
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read %d receipts: %w", len(keys), err)
	}
	return receipts, nil
}

// NewestAt returns the send time of the newest stored event in each channel, in the order of
// channels. The time is zero for a channel without events.
func (s *Store) NewestAt(ctx context.Context, channels []chat.ChannelID) ([]time.Time, error) {
	times := make([]time.Time, len(channels))
	if len(channels) == 0 {
		return times, nil
	}
	ids := make([][16]byte, len(channels))
	for i, c := range channels {
		ids[i] = c.UUID
	}
	err := database.Prepared(ctx, s.db, `select w.n, m.sent_at from unnest($1::uuid[]) with ordinality as w(id, n)
		cross join lateral (select sent_at from messages where channel_id = w.id order by seq desc limit 1) m`,
		[]any{ids}, func(rows pgx.Rows) error {
			var n int
			var at time.Time
			err := rows.Scan(&n, &at)
			if err == nil {
				times[n-1] = at
			}
			return err
		})
	if err != nil {
		return nil, unavailable(err, "read the newest events of %d channels", len(channels))
	}
	return times, nil
}

// NewestMessage returns the newest stored message in a channel with seq ≤ upTo. Its Seq is 0 if
// there is none.
func (s *Store) NewestMessage(ctx context.Context, channel chat.ChannelID, upTo int64) (Message, error) {
	var m Message
	err := s.db.NewRaw(`select seq, kind, sender_id, sent_at from messages
		where channel_id = ? and seq <= ? and kind = 'message' order by seq desc limit 1`, channel, upTo).Scan(ctx, &m)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Message{}, fmt.Errorf("read the newest message of channel %s: %w", channel, err)
	}
	return m, nil
}
