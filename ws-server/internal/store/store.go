// Package store reads the data that a gateway needs from PostgreSQL: memberships, and events that
// are no longer in Redis. It does not write to tables itself; to open a direct channel, it calls a
// database function.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"

	"parley.chat/internal/eventlog/eventrow"
	"parley.chat/internal/eventlog/unstored"
	"parley.chat/internal/platform/database"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

// Store reads from PostgreSQL. It is safe for concurrent use.
type Store struct{ db *bun.DB }

// New returns a Store that reads from db.
func New(db *bun.DB) *Store { return &Store{db: db} }

// Membership describes a channel and one member's state in that channel.
type Membership struct {
	ChannelID        chat.ChannelID   `bun:"channel_id"`
	Kind             chat.ChannelKind `bun:"kind"`
	Name             string           `bun:"name"`
	Role             chat.Role        `bun:"role"`
	JoinedSeq        int64            `bun:"joined_seq"`
	LastReadSeq      int64            `bun:"last_read_seq"`
	LastDeliveredSeq int64            `bun:"last_delivered_seq"`
	PeerID           *chat.UserID     `bun:"peer_id,type:uuid"` // the other user in a direct channel
	Arriving         bool             `bun:"arriving"`          // the channel's log does not contain the member_joined event yet
	MentionAll       chat.MentionAll  `bun:"mention_all"`
}

// Access returns the member's access to the channel.
func (m *Membership) Access() Access {
	st := Access{Role: m.Role, Announced: !m.Arriving, CallsAll: callsAll(m.MentionAll, m.Role), JoinedSeq: m.JoinedSeq}
	if m.PeerID != nil {
		st.Peer = *m.PeerID
	}
	return st
}

// selectMembership is used by Membership, which scans its columns by name, and by Memberships,
// which scans them by position. Keep both functions in sync with the list of columns.
const selectMembership = `
	select m.user_id, c.id as channel_id, c.kind, c.name, m.role, m.joined_seq, m.last_read_seq, m.last_delivered_seq,
		case when c.kind = 'direct' then case when c.direct_low = m.user_id then c.direct_high else c.direct_low end end as peer_id,
		exists (select from outbox o where coalesce(o.channel_id, o.subject_id) = c.id
			and o.channel_id = c.id and o.subject_id = m.user_id and o.kind = 'member_joined') as arriving, c.mention_all
	from channel_members m join channels c on c.id = m.channel_id
	where c.deleted_at is null`

// Memberships returns each user's memberships, in the order of users. Each user's newest membership
// comes first.
func (s *Store) Memberships(ctx context.Context, users []chat.UserID) ([][]Membership, error) {
	ids, index := make([][16]byte, len(users)), make(map[chat.UserID]int, len(users))
	for i, u := range users {
		ids[i], index[u] = u.UUID, i
	}
	lists := make([][]Membership, len(users))
	err := database.Prepared(ctx, s.db, selectMembership+` and m.user_id = any($1::uuid[]) order by m.joined_at desc, c.id`, []any{ids},
		func(rows pgx.Rows) error {
			var user chat.UserID
			var m Membership
			var peer *[16]byte
			err := rows.Scan((*[16]byte)(&user.UUID), (*[16]byte)(&m.ChannelID.UUID), &m.Kind, &m.Name, &m.Role,
				&m.JoinedSeq, &m.LastReadSeq, &m.LastDeliveredSeq, &peer, &m.Arriving, &m.MentionAll)
			if err == nil {
				if peer != nil {
					m.PeerID = &chat.UserID{UUID: *peer}
				}
				lists[index[user]] = append(lists[index[user]], m)
			}
			return err
		})
	if err != nil {
		return nil, unavailable(err, "read channels of %d users", len(users))
	}
	return lists, nil
}

// Membership returns the user's membership in a channel. The error is NotFound for a channel that
// does not exist or is hidden from the user, and Forbidden for a visible channel that the user has
// not joined.
func (s *Store) Membership(ctx context.Context, user chat.UserID, channel chat.ChannelID) (Membership, error) {
	var m struct {
		UserID chat.UserID `bun:"user_id"`
		Membership
	}
	err := s.db.NewRaw(selectMembership+` and m.user_id = ? and c.id = ?`, user, channel).Scan(ctx, &m)
	if err == nil {
		return m.Membership, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return Membership{}, unavailable(err, "read membership of user %s in channel %s", user, channel)
	}
	var c struct {
		Kind     chat.ChannelKind `bun:"kind"`
		Outsider bool             `bun:"outsider"` // the channel is open only to a group that the user is not in
	}
	err = s.db.NewRaw(`select kind, group_id is not null and not exists (
			select 1 from group_members g where g.group_id = c.group_id and g.user_id = ?) as outsider
		from channels c where id = ? and deleted_at is null`, user, channel).Scan(ctx, &c)
	switch {
	case errors.Is(err, sql.ErrNoRows) || err == nil && (c.Outsider || c.Kind.Hidden()):
		return Membership{}, apierr.New(apierr.NotFound, "This channel does not exist.")
	case err != nil:
		return Membership{}, unavailable(err, "read channel %s", channel)
	}
	return Membership{}, apierr.New(apierr.Forbidden, "You are not a member of this channel. Join it first.")
}

// OpenDirect returns the direct channel between two users and creates it if necessary.
func (s *Store) OpenDirect(ctx context.Context, from, to chat.UserID) (chat.ChannelID, error) {
	var id chat.ChannelID
	err := s.db.NewRaw(`select channel_id from open_direct_channel(?, ?)`, from, to).Scan(ctx, &id)
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pg.Code {
		case "PA400":
			return id, apierr.InvalidField(apierr.BadFrame, "to_user_id", apierr.Violates(apierr.FieldOtherUser, "must be another user"))
		case "PA403":
			return id, apierr.New(apierr.Forbidden, "You cannot send direct messages to this user.")
		case "PA404":
			return id, apierr.New(apierr.NotFound, "This user does not exist.")
		}
	}
	if err != nil {
		return id, unavailable(err, "open the direct channel of %s and %s", from, to)
	}
	return id, nil
}

// Range returns the stored events in a channel with from ≤ seq ≤ to, in ascending order.
func (s *Store) Range(ctx context.Context, channel chat.ChannelID, from, to int64) ([]frame.Event, error) {
	var rows []eventrow.Row
	err := s.db.NewSelect().Model(&rows).
		Where("channel_id = ?", channel).Where("seq between ? and ?", from, to).Order("seq").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("read events %d to %d of channel %s: %w", from, to, channel, err)
	}
	events := make([]frame.Event, len(rows))
	for i := range rows {
		if events[i], err = rows[i].Event(); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// MaxSeq returns the highest stored seq of a channel, or 0 if there is none.
func (s *Store) MaxSeq(ctx context.Context, channel chat.ChannelID) (int64, error) {
	return unstored.Rows{DB: s.db}.MaxSeq(ctx, channel)
}

// unavailable wraps a database error in an Unavailable error, which clients can retry.
func unavailable(err error, doing string, args ...any) error {
	return apierr.Wrap(fmt.Errorf(doing+": %w", append(args, err)...), apierr.Unavailable, "The database is not available. Please try again.")
}
