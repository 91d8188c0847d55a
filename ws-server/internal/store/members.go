package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"parley.chat/internal/platform/database"
	"parley.chat/shared-contracts/chat"
)

// Access describes what a user may do in a channel.
type Access struct {
	Role      chat.Role   // "" if the user is not a member
	Peer      chat.UserID // the other user in a direct channel; zero in any other channel
	Announced bool        // members only: the channel's log contains the user's member_joined event
	Visible   bool        // non-members only: the channel's existence is not hidden from the user
	CallsAll  bool        // members only: the user may mention all members with @channel
	JoinedSeq int64       // members only: the channel's last seq when the user joined
}

func callsAll(setting chat.MentionAll, role chat.Role) bool {
	return setting == chat.MentionAllEveryone || role.May(chat.Moderate)
}

// accessQuery looks up each key separately. With a join, the planner might read whole tables to
// verify five hundred keys. "limit 1" prevents the planner from using a join.
const accessQuery = `
	select w.n, coalesce(x.role, ''), x.peer, not x.arriving, x.visible, x.mention_all, coalesce(x.joined_seq, 0)
	from unnest($1::uuid[], $2::uuid[]) with ordinality as w(channel_id, user_id, n)
	cross join lateral (
		select m.role, m.joined_seq,
			case when c.kind = 'direct' then case when c.direct_low = w.user_id then c.direct_high else c.direct_low end end as peer,
			exists (select from outbox o where coalesce(o.channel_id, o.subject_id) = c.id
				and o.channel_id = c.id and o.subject_id = w.user_id and o.kind = 'member_joined') as arriving,
			c.kind in ('public', 'unlisted') and (c.group_id is null or exists (
				select from group_members g where g.group_id = c.group_id and g.user_id = w.user_id)) as visible, c.mention_all
		from channels c left join channel_members m on m.channel_id = c.id and m.user_id = w.user_id
		where c.id = w.channel_id and c.deleted_at is null limit 1) x`

// Access returns each user's access to each channel, in the order of keys. For a channel that does
// not exist, the result is the same as for a non-member from whom the channel is hidden.
func (s *Store) Access(ctx context.Context, keys []chat.MemberKey) ([]Access, error) {
	found := make([]Access, len(keys))
	err := database.Prepared(ctx, s.db, accessQuery, columns(keys), func(rows pgx.Rows) error {
		var n int
		var st Access
		var peer *[16]byte
		var setting chat.MentionAll
		err := rows.Scan(&n, &st.Role, &peer, &st.Announced, &st.Visible, &setting, &st.JoinedSeq)
		if err != nil {
			return err
		}
		st.CallsAll = st.Role != "" && callsAll(setting, st.Role)
		if peer != nil {
			st.Peer = chat.UserID{UUID: *peer}
		}
		found[n-1] = st
		return nil
	})
	if err != nil {
		return nil, unavailable(err, "read %d memberships", len(keys))
	}
	return found, nil
}

// Blocks returns the users whom each user has blocked and the users who have blocked that user. The
// lists are in the order of users.
func (s *Store) Blocks(ctx context.Context, users []chat.UserID) ([][]chat.UserID, error) {
	ids, index := make([][16]byte, len(users)), make(map[chat.UserID]int, len(users))
	for i, u := range users {
		ids[i], index[u] = u.UUID, i
	}
	blocks := make([][]chat.UserID, len(users))
	err := database.Prepared(ctx, s.db, `select user_id, other_id from blocks_of($1::uuid[])`, []any{ids}, func(rows pgx.Rows) error {
		var user, other chat.UserID
		err := rows.Scan((*[16]byte)(&user.UUID), (*[16]byte)(&other.UUID))
		if err == nil {
			i := index[user]
			blocks[i] = append(blocks[i], other)
		}
		return err
	})
	if err != nil {
		return nil, unavailable(err, "read the blocks of %d users", len(users))
	}
	return blocks, nil
}

// Common returns the channels that both users are members of.
func (s *Store) Common(ctx context.Context, one, other chat.UserID) ([]chat.ChannelID, error) {
	var channels []chat.ChannelID
	err := database.Prepared(ctx, s.db, `select a.channel_id from channel_members a
		join channel_members b on b.channel_id = a.channel_id and b.user_id = $2 where a.user_id = $1`,
		[]any{[16]byte(one.UUID), [16]byte(other.UUID)}, func(rows pgx.Rows) error {
			var id chat.ChannelID
			err := rows.Scan((*[16]byte)(&id.UUID))
			if err == nil {
				channels = append(channels, id)
			}
			return err
		})
	if err != nil {
		return nil, unavailable(err, "find the common channels of two users")
	}
	return channels, nil
}

// columns returns the keys as two query arguments: the channels and the users.
func columns(keys []chat.MemberKey) []any {
	channels, users := make([][16]byte, len(keys)), make([][16]byte, len(keys))
	for i, p := range keys {
		channels[i], users[i] = p.Channel.UUID, p.User.UUID
	}
	return []any{channels, users}
}
