package channel

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"parley.chat/internal/eventlog"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
)

// listed is a channel with what a list says of it besides.
type listed struct {
	row
	SortName    string       `bun:"sort_name"`
	Role        chat.Role    `bun:"role"`
	JoinedSeq   int64        `bun:"joined_seq"`
	LastReadSeq int64        `bun:"last_read_seq"`
	MemberCount int          `bun:"member_count"`
	PeerID      *chat.UserID `bun:"peer_id,type:uuid"`
	PeerName    string       `bun:"peer_name"`
	PeerDisplay string       `bun:"peer_display"`

	// What PostgreSQL alone does not know.
	lastSeq          int64
	unread, mentions int
}

func summaryOf(c *row) api.Channel {
	return api.Channel{
		ID: c.ID, Name: c.Name, Kind: c.Kind, Description: c.Description, GroupID: c.GroupID,
		CreatedBy: c.CreatedBy, CreatedAt: chat.At(c.CreatedAt),
	}
}

func (l *listed) summary() api.Channel {
	sum := summaryOf(&l.row)
	sum.MemberCount, sum.LastReadSeq = l.MemberCount, l.LastReadSeq
	sum.LastSeq, sum.Unread, sum.UnreadMentions = l.lastSeq, l.unread, l.mentions
	if l.Role != "" {
		sum.Role = &l.Role // absent for one who is not a member
	}
	if l.PeerID != nil {
		sum.Peer = &api.Peer{UserID: *l.PeerID, Username: l.PeerName, DisplayName: l.PeerDisplay}
	}
	return sum
}

// position is where a list goes on.
type position struct {
	Name string         `json:"n"` // in lower case
	ID   chat.ChannelID `json:"i"`
}

const listColumns = `c.id, c.kind, c.name, c.description, c.group_id, c.created_by, c.created_at, lower(c.name) as sort_name,
	coalesce(m.role, '') as role, coalesce(m.joined_seq, 0) as joined_seq, coalesce(m.last_read_seq, 0) as last_read_seq,
	c.member_count, p.id as peer_id, case when p.deleted_at is null then p.username else '' end as peer_name,
	case when p.deleted_at is null then p.display_name else '' end as peer_display`

// selectListed begins the query of every list: channels with the user's membership, of the kind that join
// says, and the other user of a direct one.
func (s *Service) selectListed(user chat.UserID, join string) *bun.SelectQuery {
	return s.cfg.DB.NewSelect().ColumnExpr(listColumns).TableExpr("channels c").
		Join("? channel_members m on m.channel_id = c.id and m.user_id = ?", bun.Safe(join), user).
		Join("left join users p on p.id = case when c.direct_low = ? then c.direct_high else c.direct_low end", user).
		Where("c.deleted_at is null")
}

// listing says which channels to list.
type listing struct {
	user  chat.UserID
	mine  bool
	group *chat.GroupID // of this group
	query string        // part of the name, without regard to case
	after *position
	limit int
}

// list returns channels by name, and where the next page begins, if there is one. The public list walks
// the index of public names, that of a group its index.
func (s *Service) list(ctx context.Context, l listing) ([]api.Channel, *position, error) {
	var q *bun.SelectQuery
	switch {
	case l.group != nil:
		q = s.selectListed(l.user, "left join").Where("c.group_id = ?", *l.group).
			Where("(c.kind <> 'private' or m.user_id is not null)")
	case l.mine:
		q = s.selectListed(l.user, "join")
	default:
		q = s.selectListed(l.user, "left join").Where("c.kind = 'public' and c.group_id is null")
	}
	if l.query != "" {
		q = q.Where("strpos(lower(c.name), lower(?)) > 0", l.query)
	}
	if l.after != nil {
		q = q.Where("(lower(c.name), c.id) > (?, ?)", l.after.Name, l.after.ID)
	}
	var rows []listed
	if err := q.OrderExpr("lower(c.name), c.id").Limit(int64(l.limit)+1).Scan(ctx, &rows); err != nil {
		return nil, nil, fmt.Errorf("list channels: %w", err)
	}
	var next *position
	if len(rows) > l.limit {
		rows = rows[:l.limit]
		last := rows[len(rows)-1]
		next = &position{last.SortName, last.ID}
	}
	sums, err := s.summarise(ctx, l.user, rows)
	return sums, next, err
}

// get returns a channel for its member. Who is none learns what Admit says.
func (s *Service) get(ctx context.Context, channel chat.ChannelID, user chat.UserID) (api.Channel, error) {
	for range 3 { // the user may come or go between the two looks
		var rows []listed
		if err := s.selectListed(user, "join").Where("c.id = ?", channel).Scan(ctx, &rows); err != nil {
			return api.Channel{}, fmt.Errorf("load channel %s: %w", channel, err)
		}
		if len(rows) == 0 {
			if _, err := Admit(ctx, s.cfg.DB, channel, user); err != nil {
				return api.Channel{}, err
			}
			continue
		}
		sums, err := s.summarise(ctx, user, rows)
		if err != nil {
			return api.Channel{}, err
		}
		return sums[0], nil
	}
	return api.Channel{}, apierr.New(apierr.Unavailable, "your membership keeps changing")
}

// Get returns a channel as its member sees it.
func (s *Service) Get(ctx context.Context, channel chat.ChannelID, user chat.UserID) (api.Channel, error) {
	return s.get(ctx, channel, user)
}

// summarise adds how far the channels and the user in them have come, and what the user has not read.
func (s *Service) summarise(ctx context.Context, user chat.UserID, rows []listed) ([]api.Channel, error) {
	sums := make([]api.Channel, len(rows))
	if len(rows) == 0 {
		return sums, nil
	}
	ids := make([]chat.ChannelID, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	heads, err := s.heads(ctx, ids)
	if err != nil {
		return nil, err
	}
	cursors := s.cursors(ctx, user, ids)
	for i := range rows {
		rows[i].lastSeq = heads[i]
		if rows[i].Role != "" {
			rows[i].LastReadSeq = max(rows[i].LastReadSeq, cursors[i].Read)
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

// cursors returns what Redis has of the user's cursors; nothing while it does not answer.
func (s *Service) cursors(ctx context.Context, user chat.UserID, ids []chat.ChannelID) []eventlog.Cursor {
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	cursors, err := s.cfg.Log.CursorsOf(ctx, user, ids)
	if err != nil {
		s.cfg.Logger.WarnContext(ctx, "cursors come from PostgreSQL alone: Redis does not answer", "err", err)
		return make([]eventlog.Cursor, len(ids))
	}
	return cursors
}

// heads returns the last seq of each channel: that of Redis, and where it has no counter or does not
// answer, that of the newest row.
func (s *Service) heads(ctx context.Context, ids []chat.ChannelID) ([]int64, error) {
	seqs := make([]int64, len(ids))
	inRedis, err := s.headsInRedis(ctx, ids)
	if err != nil {
		s.cfg.Logger.WarnContext(ctx, "heads come from PostgreSQL: Redis does not answer", "err", err)
	}
	at := map[chat.ChannelID]int{}
	var missing []chat.ChannelID
	for i, id := range ids {
		if err == nil && inRedis[i].Seeded() {
			seqs[i] = inRedis[i].Seq
			continue
		}
		at[id] = i
		missing = append(missing, id)
	}
	if len(missing) == 0 {
		return seqs, nil
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
		seqs[at[r.ID]] = r.Seq
	}
	return seqs, nil
}

func (s *Service) headsInRedis(ctx context.Context, ids []chat.ChannelID) ([]eventlog.Head, error) {
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	return s.cfg.Log.Heads(ctx, ids)
}
