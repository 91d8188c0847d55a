package history

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"parley.chat/internal/eventlog/eventrow"
	"parley.chat/internal/eventlog/unstored"
	"parley.chat/internal/platform/database"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/channel"
)

// pageSQL asks all that a page needs at once: whether the user may read the channel, the watermark of its
// partition, the rows of one range of the primary key, whatever the channel's size, and what became of
// each. What comes back is of one moment, so a deletion is in all of it or in nothing. A member of a
// channel without messages in the range gets one row, whose seq is null.
func pageSQL(order string) string {
	return `select a.role, a.entry_ms, a.entry_seq,
		m.seq, m.id, m.sender_id, m.client_id, m.body, m.data, m.sent_at, u.deleted_at is not null,
		s.edit_seq, s.edited_at, s.body, s.mentions, s.delete_seq, s.deleted_at, r.seqs, r.emojis, r.users, r.removed
	from (select b.role, coalesce(w.entry_ms, 0) as entry_ms, coalesce(w.entry_seq, 0) as entry_seq
		from channels c join channel_members b on b.channel_id = c.id and b.user_id = $2
		left join sync_watermarks w on w.partition = $3
		where c.id = $1 and c.deleted_at is null) a
	left join (select seq, id, sender_id, client_id, body, data, sent_at from messages
		where channel_id = $1 and seq > $4 and seq < $5 and kind = 'message' order by ` + order + ` limit $6) m on true
	left join users u on u.id = m.sender_id
	left join message_states s on s.channel_id = $1 and s.message_id = m.id
	left join lateral (select array_agg(seq) as seqs, array_agg(emoji) as emojis, array_agg(user_id) as users, array_agg(removed) as removed
		from message_reactions where channel_id = $1 and message_id = m.id) r on true
	order by m.seq`
}

var newestSQL, oldestSQL = pageSQL("seq desc"), pageSQL("seq")

// reader is who reads where.
type reader struct {
	channel chat.ChannelID
	user    chat.UserID
}

// found is what PostgreSQL has of a page.
type found struct {
	member bool
	mark   unstored.Mark
	events []frame.Event // ascending by seq
	became []became      // of each event
}

// became is what was done to a stored message, as a row of the page has it.
type became struct {
	senderGone bool
	editSeq    *int64
	editedAt   *time.Time
	body       *string
	mentions   []byte
	deleteSeq  *int64
	deletedAt  *time.Time
	seqs       []int64 // of reactions, as the three below
	emojis     []string
	users      [][16]byte
	removed    []bool
}

// load reads up to n messages of a span.
func (s *Service) load(ctx context.Context, r reader, sp span, n int) (found, error) {
	query := newestSQL
	if sp.oldest {
		query = oldestSQL
	}
	var p found
	args := []any{[16]byte(r.channel.UUID), [16]byte(r.user.UUID), s.cfg.Log.Partition(r.channel.UUID), sp.after, sp.before, n}
	err := database.Prepared(ctx, s.cfg.DB, query, args, func(rows pgx.Rows) error { return p.scan(rows, r.channel, n) })
	if err != nil {
		return found{}, fmt.Errorf("read history of channel %s: %w", r.channel, err)
	}
	return p, nil
}

// scan adds a row.
func (p *found) scan(rows pgx.Rows, channel chat.ChannelID, n int) error {
	var role string
	if rows.RawValues()[3] == nil {
		err := rows.Scan(append([]any{&role, &p.mark.MS, &p.mark.Seq}, make([]any, 18)...)...)
		p.member = chat.Role(role).May(chat.Read)
		return err
	}
	if p.events == nil {
		p.events, p.became = make([]frame.Event, 0, n), make([]became, 0, n)
	}
	row := eventrow.Row{ChannelID: channel, Kind: event.Message}
	var b became
	var client *[16]byte
	if err := rows.Scan(&role, &p.mark.MS, &p.mark.Seq,
		&row.Seq, (*[16]byte)(&row.ID.UUID), (*[16]byte)(&row.SenderID.UUID), &client, &row.Body, (*[]byte)(&row.Data), &row.SentAt, &b.senderGone,
		&b.editSeq, &b.editedAt, &b.body, &b.mentions, &b.deleteSeq, &b.deletedAt, &b.seqs, &b.emojis, &b.users, &b.removed); err != nil {
		return err
	}
	p.member = chat.Role(role).May(chat.Read)
	if client != nil {
		row.ClientID.UUID, row.ClientID.Valid = *client, true
	}
	e, err := row.Event()
	if err != nil {
		return err
	}
	p.events, p.became = append(p.events, e), append(p.became, b)
	return nil
}

// page returns up to limit messages of a span with what became of them, and whether there are more.
func (s *Service) page(ctx context.Context, r reader, sp span, limit int) ([]api.Message, bool, error) {
	sp.kind = event.Message
	for range 3 { // the user may come or go between two looks
		p, items, err := s.look(ctx, r, sp, limit)
		if err != nil {
			return nil, false, err
		}
		if p.member {
			return s.fold(ctx, r, sp, limit, p, items)
		}
		if _, err := channel.Admit(ctx, s.cfg.DB, r.channel, r.user); err != nil { // says why
			return nil, false, err
		}
	}
	return nil, false, apierr.New(apierr.Unavailable, "your membership keeps changing")
}

// look reads what PostgreSQL has, and what of the tail may not be stored: mostly a glance at the tail and
// one query.
func (s *Service) look(ctx context.Context, r reader, sp span, limit int) (found, []event.Item, error) {
	enough := func(items []event.Item) bool {
		return items[0].Seq <= sp.after+1 || !sp.oldest && count(items, sp) > limit
	}
	glance, err := unstored.Newest(ctx, s.cfg.Log, r.channel)
	if err != nil {
		return found{}, nil, err
	}
	p, err := s.load(ctx, r, sp, limit+1)
	if err != nil || !p.member {
		return p, nil, err
	}
	items, ok := glance.Above(p.mark, enough)
	if ok {
		return p, items, nil
	}
	if items, err = unstored.Above(ctx, s.cfg.Log, r.channel, p.mark, enough); err != nil {
		return found{}, nil, err
	}
	p, err = s.load(ctx, r, sp, limit+1)
	return p, items, err
}

// fold puts rows and tail together.
func (s *Service) fold(ctx context.Context, r reader, sp span, limit int, p found, items []event.Item) ([]api.Message, bool, error) {
	fresh, err := eventsOf(items, sp)
	if err != nil {
		return nil, false, fmt.Errorf("read tail of channel %s: %w", r.channel, err)
	}
	f := newFolding(p.events)
	for i := range p.became {
		if err := f.take(&p.events[i], &p.became[i]); err != nil {
			return nil, false, fmt.Errorf("message %s: %w", p.events[i].ID, err)
		}
	}
	more := false
	if len(fresh) > 0 {
		f.set(merge(p.events, fresh))
	}
	if n := len(f.events) - limit; n > 0 {
		more = true
		if sp.oldest {
			f.events = f.events[:limit]
		} else {
			f.events = f.events[n:]
		}
	}
	if err := f.items(items); err != nil {
		return nil, false, fmt.Errorf("read tail of channel %s: %w", r.channel, err)
	}
	if len(fresh) > 0 { // what was done to a message may be stored before it
		if err := s.stored(ctx, r.channel, f); err != nil {
			return nil, false, err
		}
	}
	return f.messages(r.user), more, nil
}
