package channel

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/internal/platform/database"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
)

// listed is a channel together with the additional data that channel lists show.
type listed struct {
	row
	SortName    string // in lower case
	Role        chat.Role
	JoinedSeq   int64
	LastReadSeq int64
	MemberCount int
	PeerID      *chat.UserID
	PeerName    string
	PeerDisplay string

	// The query does not set these fields, because their values come from Redis.
	lastSeq          int64
	unread, mentions int
}

func summaryOf(c *row) api.Channel {
	return api.Channel{
		ID: c.ID, Name: c.Name, Kind: c.Kind, Description: c.Description, GroupID: c.GroupID,
		CreatedBy: c.CreatedBy, CreatedAt: chat.At(c.CreatedAt), MentionAll: c.MentionAll,
	}
}

func (l *listed) summary() api.Channel {
	sum := summaryOf(&l.row)
	sum.MemberCount, sum.LastReadSeq = l.MemberCount, l.LastReadSeq
	sum.LastSeq, sum.Unread, sum.UnreadMentions = l.lastSeq, l.unread, l.mentions
	if l.Role != "" {
		sum.Role, sum.JoinedSeq = &l.Role, &l.JoinedSeq // Role and JoinedSeq are left nil for nonmembers
	}
	if l.PeerID != nil {
		sum.Peer = &api.Peer{UserID: *l.PeerID, Username: l.PeerName, DisplayName: l.PeerDisplay}
	}
	return sum
}

// position is the last channel of a page; the next page begins after it.
type position struct {
	Name string         `json:"n"` // in lower case
	ID   chat.ChannelID `json:"i"`
}

// queryBuilder builds a query from parts. There are only a few distinct queries, so each is
// prepared once.
type queryBuilder struct {
	text strings.Builder
	args []any
}

// where adds a condition. Each ? stands for the next argument.
func (q *queryBuilder) where(condition string, args ...any) {
	q.text.WriteString(" and ")
	for _, arg := range args {
		before, after, _ := strings.Cut(condition, "?")
		q.args = append(q.args, arg)
		q.text.WriteString(before + "$" + strconv.Itoa(len(q.args)))
		condition = after
	}
	q.text.WriteString(condition)
}

// selectListed builds the part of the query that all channel lists have in common. It selects each
// channel with the user's membership and, for a direct channel, the other user. join is the join
// type used for the memberships.
func selectListed(user chat.UserID, join string) *queryBuilder {
	q := &queryBuilder{args: []any{[16]byte(user.UUID)}}
	q.text.WriteString(`select c.id, c.kind, c.name, c.description, c.group_id, c.created_by, c.created_at, c.mention_all, lower(c.name),
		coalesce(m.role, ''), coalesce(m.joined_seq, 0), coalesce(m.last_read_seq, 0), c.member_count, p.id,
		coalesce(case when p.deleted_at is null then p.username end, ''),
		coalesce(case when p.deleted_at is null then p.display_name end, '')
	from channels c ` + join + ` channel_members m on m.channel_id = c.id and m.user_id = $1
	left join users p on p.id = case when c.direct_low = $1 then c.direct_high else c.direct_low end
	where c.deleted_at is null and c.archived_at is null`)
	return q
}

// listed returns the channels that a query finds.
func (s *Service) listed(ctx context.Context, q *queryBuilder) ([]listed, error) {
	var found []listed
	err := database.Prepared(ctx, s.cfg.DB, q.text.String(), q.args, func(rows pgx.Rows) error {
		var l listed
		var group, by, peer *[16]byte
		var kind, role, mentionAll string
		if err := rows.Scan((*[16]byte)(&l.ID.UUID), &kind, &l.Name, &l.Description, &group, &by, &l.CreatedAt, &mentionAll, &l.SortName,
			&role, &l.JoinedSeq, &l.LastReadSeq, &l.MemberCount, &peer, &l.PeerName, &l.PeerDisplay); err != nil {
			return err
		}
		l.Kind, l.Role, l.MentionAll = chat.ChannelKind(kind), chat.Role(role), chat.MentionAll(mentionAll)
		if group != nil {
			l.GroupID = &chat.GroupID{UUID: *group}
		}
		if by != nil {
			l.CreatedBy = &chat.UserID{UUID: *by}
		}
		if peer != nil {
			l.PeerID = &chat.UserID{UUID: *peer}
		}
		found = append(found, l)
		return nil
	})
	return found, err
}

// listing describes which channels to list.
type listing struct {
	user  chat.UserID
	mine  bool
	group *chat.GroupID // if set, only this group's channels
	query string        // part of the name; case is ignored
	after *position
	limit int
}

// list returns a page of channels, sorted by name, and the position of the next page, if there is
// one. The public list scans the index on public names; a group's list scans the index on group
// names.
func (s *Service) list(ctx context.Context, l listing) ([]api.Channel, *position, error) {
	var q *queryBuilder
	switch {
	case l.group != nil:
		q = selectListed(l.user, "left join")
		q.where("c.group_id = ? and (c.kind <> 'private' or m.user_id is not null)", [16]byte(l.group.UUID))
	case l.mine:
		q = selectListed(l.user, "join")
	default:
		q = selectListed(l.user, "left join")
		q.where("c.kind = 'public' and c.group_id is null")
	}
	if l.query != "" {
		q.where("strpos(lower(c.name), lower(?)) > 0", l.query)
	}
	if l.after != nil {
		q.where("(lower(c.name), c.id) > (?, ?)", l.after.Name, [16]byte(l.after.ID.UUID))
	}
	q.args = append(q.args, l.limit+1)
	q.text.WriteString(" order by lower(c.name), c.id limit $" + strconv.Itoa(len(q.args)))
	rows, err := s.listed(ctx, q)
	if err != nil {
		return nil, nil, fmt.Errorf("list channels: %w", err)
	}
	var next *position
	if len(rows) > l.limit {
		rows = rows[:l.limit]
		last := rows[len(rows)-1]
		next = &position{last.SortName, last.ID}
	}
	sums, err := s.summarize(ctx, l.user, rows)
	return sums, next, err
}

// get returns a channel to one of its members. For any other user, it returns the error from Admit.
func (s *Service) get(ctx context.Context, channel chat.ChannelID, user chat.UserID) (api.Channel, error) {
	for range 3 { // try again if the user joins between the channel query and the call of Admit
		q := selectListed(user, "join")
		q.where("c.id = ?", [16]byte(channel.UUID))
		rows, err := s.listed(ctx, q)
		if err != nil {
			return api.Channel{}, fmt.Errorf("load channel %s: %w", channel, err)
		}
		if len(rows) == 0 {
			if _, err := Admit(ctx, s.cfg.DB, channel, user); err != nil {
				return api.Channel{}, err
			}
			continue
		}
		sums, err := s.summarize(ctx, user, rows)
		if err != nil {
			return api.Channel{}, err
		}
		return sums[0], nil
	}
	return api.Channel{}, apierr.New(apierr.Unavailable, "Your membership is changing. Please try again.")
}

// Get returns a channel as a member sees it.
func (s *Service) Get(ctx context.Context, channel chat.ChannelID, user chat.UserID) (api.Channel, error) {
	return s.get(ctx, channel, user)
}

// summarize adds the newest seq, the user's read position and the unread counts to each channel.
func (s *Service) summarize(ctx context.Context, user chat.UserID, rows []listed) ([]api.Channel, error) {
	sums := make([]api.Channel, len(rows))
	if len(rows) == 0 {
		return sums, nil
	}
	ids := make([]chat.ChannelID, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	positions, err := s.positions(ctx, user, ids)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		rows[i].lastSeq = positions[i].Seq
		if rows[i].Role != "" {
			rows[i].LastReadSeq = max(rows[i].LastReadSeq, positions[i].Receipt.Read)
		}
	}
	if err := s.unread(ctx, user, rows); err != nil {
		return nil, err
	}
	for i := range rows {
		sums[i] = rows[i].summary()
	}
	return sums, nil
}

// positions returns each channel's newest seq and the user's receipts, as stored in Redis. For a
// channel without a counter, the newest seq comes from the newest row. If Redis does not respond,
// all newest seqs come from rows and the receipts are zero, so only the receipts in PostgreSQL
// count.
func (s *Service) positions(ctx context.Context, user chat.UserID, ids []chat.ChannelID) ([]receiptlog.Position, error) {
	inTime, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	positions, err := s.cfg.Receipts.Positions(inTime, user, ids)
	if err != nil {
		s.cfg.Logger.WarnContext(ctx, "Redis does not answer, using heads and cursors from PostgreSQL", "err", err)
		positions = make([]receiptlog.Position, len(ids))
	}
	at := map[chat.ChannelID]int{}
	var missing []chat.ChannelID
	for i, id := range ids {
		if !positions[i].Seeded {
			at[id] = i
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return positions, nil
	}
	var stored []struct {
		ID  chat.ChannelID `bun:"id,type:uuid"`
		Seq int64          `bun:"seq"`
	}
	err = s.cfg.DB.NewRaw(`select k.id, coalesce(
			(select seq from messages m where m.channel_id = k.id order by seq desc limit 1), 0) as seq
		from unnest(array[?]::uuid[]) k (id)`, bun.List(missing)).Scan(ctx, &stored)
	if err != nil {
		return nil, fmt.Errorf("read the newest rows of %d channels: %w", len(missing), err)
	}
	for _, r := range stored {
		positions[at[r.ID]].Seq = r.Seq
	}
	return positions, nil
}
