// Package receipt implements receipts. It moves the user's own delivered and read positions
// forward, and lists the members who have received or read a message.
//
// Positions are updated in Redis and stored in PostgreSQL later. If the position in Redis and the
// position in PostgreSQL differ, the higher one counts.
package receipt

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/internal/eventlog/unstored"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"

	"parley.chat/chat-service/internal/api"
)

// Service implements the endpoints for receipts. It is safe for concurrent use.
type Service struct {
	db        *bun.DB
	log       *eventlog.Log
	positions *receiptlog.Log
	floor     eventlog.Floor
}

// New returns a Service. floor returns the highest seq of a channel that is stored in PostgreSQL.
func New(db *bun.DB, log *eventlog.Log, positions *receiptlog.Log, floor eventlog.Floor) *Service {
	return &Service{db, log, positions, floor}
}

// move moves a member's positions forward and returns the resulting positions.
func (s *Service) move(ctx context.Context, channel chat.ChannelID, user chat.UserID, to receiptlog.Receipt) (receiptlog.Receipt, error) {
	var stored struct {
		Delivered int64 `bun:"last_delivered_seq"`
		Read      int64 `bun:"last_read_seq"`
	}
	err := s.db.NewRaw("select last_delivered_seq, last_read_seq from channel_members where channel_id = ? and user_id = ?", channel, user).Scan(ctx, &stored)
	if err != nil && !errors.Is(err, sql.ErrNoRows) { // without a row, the member has just left, so the position does not matter
		return receiptlog.Receipt{}, fmt.Errorf("read cursor: %w", err)
	}
	// If Redis no longer has this member's positions, it stores exactly the positions that it
	// receives. Therefore, never send positions that are lower than the positions in PostgreSQL.
	was := receiptlog.Receipt{Delivered: stored.Delivered, Read: stored.Read}
	moves := []receiptlog.Move{{Channel: channel, User: user, Receipt: to.Max(was)}}
	for range 2 {
		moved, err := s.positions.Move(ctx, moves)
		if err != nil {
			return receiptlog.Receipt{}, err
		}
		if moved[0].Seeded {
			return moved[0].Receipt.Max(was), nil
		}
		if _, err := s.log.EnsureHead(ctx, channel, s.floor); err != nil {
			return receiptlog.Receipt{}, err
		}
	}
	return receiptlog.Receipt{}, apierr.New(apierr.Unavailable, "The state of this channel cannot be read at the moment. Please try again.")
}

// target is the message that a request refers to.
type target struct {
	Kind     event.Kind  `bun:"kind"`
	Seq      int64       `bun:"seq"`
	SenderID chat.UserID `bun:"sender_id,type:uuid"`
}

// find returns a message in a channel, even if the message is not stored in PostgreSQL yet.
func (s *Service) find(ctx context.Context, channel chat.ChannelID, id chat.EventID, mark unstored.Mark) (target, error) {
	text := []byte(id.String())
	items, err := unstored.Above(ctx, s.log, channel, mark, func(items []event.Item) bool { return messageIn(items, id, text) != nil })
	if err != nil {
		return target{}, err
	}
	t := target{}
	if found := messageIn(items, id, text); found != nil {
		t = target{found.Type, found.Seq, found.SenderID}
	} else {
		err := s.db.NewRaw("select kind, seq, sender_id from messages where channel_id = ? and id = ?", channel, id).Scan(ctx, &t)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return target{}, fmt.Errorf("find message: %w", err)
		}
	}
	if t.Kind != event.Message {
		return target{}, apierr.New(apierr.NotFound, "This message does not exist in this channel.")
	}
	return t, nil
}

// Find returns an error unless the channel contains a message with this id. The message may not be
// stored yet. If there is no such message, the error is NotFound.
func (s *Service) Find(ctx context.Context, channel chat.ChannelID, id chat.EventID) error {
	mark, err := unstored.MarkOf(ctx, s.db, s.log.Partition(channel.UUID))
	if err == nil {
		_, err = s.find(ctx, channel, id, mark)
	}
	return err
}

// messageIn returns the message with the given id from items, or nil if there is none. text is the
// id as a string.
func messageIn(items []event.Item, id chat.EventID, text []byte) *frame.Event {
	for _, it := range items {
		if it.Kind != event.Message || !bytes.Contains(it.Frame, text) {
			continue
		}
		if e, err := frame.DecodeEvent(it.Frame); err == nil && e.ID == id {
			return &e
		}
	}
	return nil
}

// redisReceipts holds the positions of the members who, according to Redis, have received a
// message. The other members' positions are in PostgreSQL.
type redisReceipts struct {
	users     []chat.UserID
	delivered []int64
	read      []int64
}

func (s *Service) receivedInRedis(ctx context.Context, channel chat.ChannelID, seq int64) (redisReceipts, error) {
	cursors, err := s.positions.Held(ctx, channel)
	if err != nil {
		return redisReceipts{}, err
	}
	var m redisReceipts
	for user, c := range cursors {
		if c.Delivered >= seq {
			m.users, m.delivered, m.read = append(m.users, user), append(m.delivered, c.Delivered), append(m.read, c.Read)
		}
	}
	return m, nil
}

// addressees returns a query for the members who were in the channel when the message was sent. The
// query excludes the sender, members who have blocked asker, and members blocked by asker. For each
// member, it also selects whether the member has received and read the message.
func (m redisReceipts) addressees(channel chat.ChannelID, t target, asker chat.UserID) schema.QueryWithArgs {
	return bun.SafeQuery(`select m.user_id, greatest(m.last_delivered_seq, k.delivered) >= ? as delivered, greatest(m.last_read_seq, k.read) >= ? as read
		from channel_members m
		left join unnest(array[?]::uuid[], array[?]::bigint[], array[?]::bigint[]) k (user_id, delivered, read) on k.user_id = m.user_id
		where m.channel_id = ? and m.user_id <> ? and m.joined_seq < ?
			and m.user_id <> all (array(select b.other_id from blocks_of(array[?]::uuid[]) b))`,
		t.Seq, t.Seq, bun.List(m.users), bun.List(m.delivered), bun.List(m.read), channel, t.SenderID, t.Seq, asker)
}

// counts holds the number of members to whom a message was sent, the number who have received it,
// and the number who have read it.
type counts struct {
	Members   int `bun:"members"`
	Delivered int `bun:"delivered"`
	Read      int `bun:"read"`
}

// receipts returns the counts for a message and a page of the members who have received it.
func (s *Service) receipts(ctx context.Context, channel chat.ChannelID, t target, asker, after chat.UserID, limit int) (n counts, list []api.Receipt, next *chat.UserID, err error) {
	m, err := s.receivedInRedis(ctx, channel, t.Seq)
	if err != nil {
		return n, nil, nil, err
	}
	of := m.addressees(channel, t, asker)
	err = s.db.NewRaw(`select count(*) as members, count(*) filter (where delivered) as delivered, count(*) filter (where read) as read
		from (?) a`, of).Scan(ctx, &n)
	if err != nil {
		return n, nil, nil, fmt.Errorf("count receipts: %w", err)
	}
	var rows []struct {
		UserID    chat.UserID `bun:"user_id,type:uuid"`
		Delivered bool        `bun:"delivered"`
		Read      bool        `bun:"read"`
	}
	err = s.db.NewRaw("select * from (?) a where delivered and user_id > ? order by user_id limit ?", of, after, limit+1).Scan(ctx, &rows)
	if err != nil {
		return n, nil, nil, fmt.Errorf("list receipts: %w", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = &rows[limit-1].UserID
	}
	list = make([]api.Receipt, len(rows))
	for i, r := range rows {
		list[i] = api.Receipt{UserID: r.UserID, Delivered: r.Delivered, Read: r.Read}
	}
	return n, list, next, nil
}
