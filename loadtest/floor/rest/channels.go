package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"parley.chat/shared-contracts/chat"
)

// channel is an item in the list of channels. Its fields are in the order in which chat-service
// writes them.
type channel struct {
	CreatedAt      chat.Time  `json:"created_at"`
	CreatedBy      *uuid.UUID `json:"created_by"`
	Description    string     `json:"description"`
	GroupID        *uuid.UUID `json:"group_id"`
	ID             uuid.UUID  `json:"id"`
	JoinedSeq      int64      `json:"joined_seq"`
	Kind           string     `json:"kind"`
	LastReadSeq    int64      `json:"last_read_seq"`
	LastSeq        int64      `json:"last_seq"`
	MemberCount    int        `json:"member_count"`
	MentionAll     string     `json:"mention_all"`
	Name           string     `json:"name"`
	Role           string     `json:"role"`
	Unread         int        `json:"unread"`
	UnreadMentions int        `json:"unread_mentions"`
}

// listSQL and unreadSQL are chat-service's queries for the first page of a user's channels.
const (
	listSQL = `select c.id, c.kind, c.name, c.description, c.group_id, c.created_by, c.created_at, lower(c.name) as sort_name,
		coalesce(m.role, ''), coalesce(m.joined_seq, 0), coalesce(m.last_read_seq, 0), c.member_count, c.mention_all, p.id,
		coalesce(case when p.deleted_at is null then p.username end, ''), coalesce(case when p.deleted_at is null then p.display_name end, '')
	from channels c join channel_members m on m.channel_id = c.id and m.user_id = $1
	left join users p on p.id = case when c.direct_low = $1 then c.direct_high else c.direct_low end
	where c.deleted_at is null order by lower(c.name), c.id limit $2`

	unreadSQL = `select k.n,
		(select count(*) from (select from messages m where m.channel_id = k.id and m.seq > k.after and m.seq < k.before
			and m.kind = 'message' and m.sender_id <> k.user_id and m.body <> '' limit 1000) a),
		(select count(*) from (select from messages m where m.channel_id = k.id and m.seq > k.after and m.seq < k.before
			and m.kind = 'message' and m.sender_id <> k.user_id and m.body <> '' and m.data -> 'mentions' is not null
			and jsonb_exists_any(m.data -> 'mentions', array[k.user_id::text, k.id::text]) limit 1000) a)
	from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[]) with ordinality k (id, user_id, after, before, n)`
)

// list reads the first page of a user's channels.
func (s *server) list(ctx context.Context, user chat.UserID) (page[channel], error) {
	p := page[channel]{Items: make([]channel, 0, limit+1)}
	rows, err := s.db.Query(ctx, listSQL, user.UUID, limit+1)
	if err != nil {
		return p, fmt.Errorf("list channels: %w", err)
	}
	defer rows.Close()
	var last, sorted string // name of the last channel on the page
	for rows.Next() {
		var c channel
		var group, by, peer *[16]byte
		var at time.Time
		var name, display string
		last = sorted
		if err := rows.Scan(raw(&c.ID), &c.Kind, &c.Name, &c.Description, &group, &by, &at, &sorted, &c.Role, &c.JoinedSeq, &c.LastReadSeq,
			&c.MemberCount, &c.MentionAll, &peer, &name, &display); err != nil {
			return p, fmt.Errorf("list channels: %w", err)
		}
		c.GroupID, c.CreatedBy, c.CreatedAt = (*uuid.UUID)(group), (*uuid.UUID)(by), chat.At(at)
		c.LastSeq = s.heads[chat.ChannelID{UUID: c.ID}]
		p.Items = append(p.Items, c)
	}
	if err := rows.Err(); err != nil {
		return p, fmt.Errorf("list channels: %w", err)
	}
	if len(p.Items) > limit {
		p.Items = p.Items[:limit]
		p.NextCursor = cursor(`{"listChannels":{"n":` + strconv.Quote(last) + `,"i":"` + p.Items[limit-1].ID.String() + `"}}`)
	}
	return p, s.unread(ctx, user, p.Items)
}

// unread sets each channel's number of unread messages.
func (s *server) unread(ctx context.Context, user chat.UserID, list []channel) error {
	var place []int
	var ids, users []uuid.UUID
	var after, before []int64
	for i := range list {
		if read := max(list[i].JoinedSeq, list[i].LastReadSeq); list[i].LastSeq > read {
			place, ids, users = append(place, i), append(ids, list[i].ID), append(users, user.UUID)
			after, before = append(after, read), append(before, list[i].LastSeq+1)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := s.db.Query(ctx, unreadSQL, ids, users, after, before)
	if err != nil {
		return fmt.Errorf("count unread messages: %w", err)
	}
	var n, unread, mentions int
	_, err = pgx.ForEachRow(rows, []any{&n, &unread, &mentions}, func() error {
		c := &list[place[n-1]]
		c.Unread, c.UnreadMentions = unread, mentions
		return nil
	})
	if err != nil {
		return fmt.Errorf("count unread messages: %w", err)
	}
	return nil
}
