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

// pageSQL returns the query that reads everything for a page. It checks whether the user may read
// the channel, and reads the watermark of its partition, the rows of one range of the primary key,
// and their edits, deletions and reactions. The result is a consistent snapshot, so a deletion is
// either completely visible or not at all. If the range contains no messages, a member gets one row
// whose seq is null.
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

// reader identifies the channel, the user who reads it, and the point at which they read it.
type reader struct {
	channel chat.ChannelID
	user    chat.UserID
	upTo    int64
}

// storedPage is the part of a page that is in PostgreSQL.
type storedPage struct {
	member bool
	mark   unstored.Mark
	events []frame.Event // ascending by seq
	states []storedState // one per event
}

// storedState holds the edits, deletion and reactions of a stored message, as the page query
// returns them.
type storedState struct {
	senderDeleted bool
	editSeq       *int64
	editedAt      *time.Time
	body          *string
	mentions      []byte
	deleteSeq     *int64
	deletedAt     *time.Time
	seqs          []int64 // one element per reaction, here and in the next three fields
	emojis        []string
	users         [][16]byte
	removed       []bool
}

// load reads up to n messages in a span from PostgreSQL.
func (s *Service) load(ctx context.Context, r reader, sp span, n int) (storedPage, error) {
	query := newestSQL
	if sp.oldest {
		query = oldestSQL
	}
	var p storedPage
	args := []any{[16]byte(r.channel.UUID), [16]byte(r.user.UUID), s.cfg.Log.Partition(r.channel.UUID), sp.after, sp.before, n}
	err := database.Prepared(ctx, s.cfg.DB, query, args, func(rows pgx.Rows) error { return p.scan(rows, r.channel, n) })
	if err != nil {
		return storedPage{}, fmt.Errorf("read history of channel %s: %w", r.channel, err)
	}
	return p, nil
}

// scan adds a row to the page.
func (p *storedPage) scan(rows pgx.Rows, channel chat.ChannelID, n int) error {
	var role string
	if rows.RawValues()[3] == nil {
		err := rows.Scan(append([]any{&role, &p.mark.MS, &p.mark.Seq}, make([]any, 18)...)...)
		p.member = chat.Role(role).May(chat.Read)
		return err
	}
	if p.events == nil {
		p.events, p.states = make([]frame.Event, 0, n), make([]storedState, 0, n)
	}
	row := eventrow.Row{ChannelID: channel, Kind: event.Message}
	var b storedState
	var client *[16]byte
	if err := rows.Scan(&role, &p.mark.MS, &p.mark.Seq,
		&row.Seq, (*[16]byte)(&row.ID.UUID), (*[16]byte)(&row.SenderID.UUID), &client, &row.Body, (*[]byte)(&row.Data), &row.SentAt, &b.senderDeleted,
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
	p.events, p.states = append(p.events, e), append(p.states, b)
	return nil
}

// page returns up to limit messages in a span, as they were at the reader's point, and reports
// whether there are more.
func (s *Service) page(ctx context.Context, r reader, sp span, limit int) ([]api.Message, bool, error) {
	sp.kind = event.Message
	if r.upTo < sp.before {
		sp.before = r.upTo + 1
	}
	for range 3 { // try again if the user joins between the page query and the call of Admit
		p, items, err := s.readPage(ctx, r, sp, limit)
		if err != nil {
			return nil, false, err
		}
		if p.member {
			return s.fold(ctx, r, sp, limit, p, items)
		}
		if _, err := channel.Admit(ctx, s.cfg.DB, r.channel, r.user); err != nil { // returns the reason
			return nil, false, err
		}
	}
	return nil, false, errMembershipChanging()
}

func errMembershipChanging() error {
	return apierr.New(apierr.Unavailable, "Your membership is changing. Please try again.")
}

// readPage reads the stored messages of a page and the items in the tail that may not be stored
// yet. Usually this takes one read of the newest items in the tail and one query.
func (s *Service) readPage(ctx context.Context, r reader, sp span, limit int) (storedPage, []event.Item, error) {
	enough := func(items []event.Item) bool {
		return items[0].Seq <= sp.after+1 || !sp.oldest && count(items, sp) > limit
	}
	newest, err := unstored.Newest(ctx, s.cfg.Log, r.channel)
	if err != nil {
		return storedPage{}, nil, err
	}
	p, err := s.load(ctx, r, sp, limit+1)
	if err != nil || !p.member {
		return p, nil, err
	}
	items, ok := newest.Above(p.mark, enough)
	if ok {
		return p, items, nil
	}
	if items, err = unstored.Above(ctx, s.cfg.Log, r.channel, p.mark, enough); err != nil {
		return storedPage{}, nil, err
	}
	p, err = s.load(ctx, r, sp, limit+1)
	return p, items, err
}

// fold combines the rows and the tail into messages at the reader's point.
func (s *Service) fold(ctx context.Context, r reader, sp span, limit int, p storedPage, items []event.Item) ([]api.Message, bool, error) {
	fresh, err := eventsOf(items, sp)
	if err != nil {
		return nil, false, fmt.Errorf("read tail of channel %s: %w", r.channel, err)
	}
	f := newFolding(p.events, r.upTo)
	for i := range p.states {
		if err := f.addStored(&p.events[i], &p.states[i]); err != nil {
			return nil, false, fmt.Errorf("message %s: %w", p.events[i].ID, err)
		}
	}
	more := false
	if len(fresh) > 0 {
		f.setEvents(merge(p.events, fresh))
	}
	if n := len(f.events) - limit; n > 0 {
		more = true
		if sp.oldest {
			f.events = f.events[:limit]
		} else {
			f.events = f.events[n:]
		}
	}
	if err := f.addItems(items); err != nil {
		return nil, false, fmt.Errorf("read tail of channel %s: %w", r.channel, err)
	}
	if len(fresh) > 0 { // a change to a message may be stored before the message itself
		if err := s.addChanges(ctx, r.channel, f); err != nil {
			return nil, false, err
		}
	}
	if err := s.addEarlier(ctx, r.channel, f); err != nil {
		return nil, false, err
	}
	if err := s.hideReplaced(ctx, r, f, items); err != nil {
		return nil, false, err
	}
	return f.messages(r.user), more, nil
}
