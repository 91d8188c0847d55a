package channel

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"parley.chat/internal/eventlog"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

// Summary is a channel as the asking user sees it.
type Summary struct {
	ID          chat.ChannelID   `json:"id"`
	Name        string           `json:"name"`
	Kind        chat.ChannelKind `json:"kind"`
	Description string           `json:"description"`
	GroupID     *string          `json:"group_id"`
	CreatedBy   *chat.UserID     `json:"created_by"`
	CreatedAt   chat.Time        `json:"created_at"`
	Role        chat.Role        `json:"role,omitempty"` // absent for one who is not a member
	MemberCount int              `json:"member_count"`
	LastSeq     int64            `json:"last_seq"`
	LastReadSeq int64            `json:"last_read_seq"`
	Unread      int              `json:"unread"`
}

// listed is a channel with what a list says of it besides.
type listed struct {
	row
	SortName    string    `bun:"sort_name"`
	Role        chat.Role `bun:"role"`
	JoinedSeq   int64     `bun:"joined_seq"`
	LastReadSeq int64     `bun:"last_read_seq"`
	MemberCount int       `bun:"member_count"`
}

func summaryOf(c *row) Summary {
	return Summary{
		ID: c.ID, Name: c.Name, Kind: c.Kind, Description: c.Description, GroupID: c.GroupID,
		CreatedBy: c.CreatedBy, CreatedAt: chat.At(c.CreatedAt),
	}
}

// position is where a list goes on.
type position struct {
	Name string         `json:"n"` // in lower case
	ID   chat.ChannelID `json:"i"`
}

const listColumns = `c.id, c.kind, c.name, c.description, c.group_id, c.created_by, c.created_at, lower(c.name) as sort_name,
	coalesce(m.role, '') as role, coalesce(m.joined_seq, 0) as joined_seq, coalesce(m.last_read_seq, 0) as last_read_seq,
	(select count(*) from channel_members n where n.channel_id = c.id) as member_count`

// listing says which channels to list.
type listing struct {
	user  chat.UserID
	mine  bool
	query string // part of the name, without regard to case
	after *position
	limit int
}

// list returns channels by name, and where the next page begins, if there is one. The public list walks
// the index of public names.
func (s *Service) list(ctx context.Context, l listing) ([]Summary, *position, error) {
	q := s.cfg.DB.NewSelect().ColumnExpr(listColumns).TableExpr("channels c")
	if l.mine {
		q = q.Join("join channel_members m on m.channel_id = c.id and m.user_id = ?", l.user)
	} else {
		q = q.Join("left join channel_members m on m.channel_id = c.id and m.user_id = ?", l.user).
			Where("c.kind = 'public' and c.group_id is null")
	}
	q = q.Where("c.deleted_at is null")
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
func (s *Service) get(ctx context.Context, channel chat.ChannelID, user chat.UserID) (Summary, error) {
	for range 3 { // the user may come or go between the two looks
		var rows []listed
		err := s.cfg.DB.NewSelect().ColumnExpr(listColumns).TableExpr("channels c").
			Join("join channel_members m on m.channel_id = c.id and m.user_id = ?", user).
			Where("c.id = ? and c.deleted_at is null", channel).Scan(ctx, &rows)
		if err != nil {
			return Summary{}, fmt.Errorf("load channel %s: %w", channel, err)
		}
		if len(rows) == 0 {
			if _, err := Admit(ctx, s.cfg.DB, channel, user); err != nil {
				return Summary{}, err
			}
			continue
		}
		sums, err := s.summarise(ctx, user, rows)
		if err != nil {
			return Summary{}, err
		}
		return sums[0], nil
	}
	return Summary{}, apierr.New(apierr.Unavailable, "your membership keeps changing")
}

// summarise adds how far the channels have come and what the user has not read.
func (s *Service) summarise(ctx context.Context, user chat.UserID, rows []listed) ([]Summary, error) {
	sums := make([]Summary, len(rows))
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
	unread, err := s.unread(ctx, user, rows, heads)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		sum := summaryOf(&rows[i].row)
		sum.Role, sum.MemberCount, sum.LastReadSeq = rows[i].Role, rows[i].MemberCount, rows[i].LastReadSeq
		sum.LastSeq, sum.Unread = heads[i], unread[i]
		sums[i] = sum
	}
	return sums, nil
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
