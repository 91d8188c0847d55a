package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"parley.chat/shared-contracts/chat"
)

// message is an item on a history page. Its fields are in the order in which chat-service writes
// them.
type message struct {
	Body       string         `json:"body"`
	ChannelID  chat.ChannelID `json:"channel_id"`
	ClientID   *uuid.UUID     `json:"client_id"`
	DeletedAt  *chat.Time     `json:"deleted_at"`
	EditedAt   *chat.Time     `json:"edited_at"`
	ID         uuid.UUID      `json:"id"`
	Mentions   []string       `json:"mentions"`
	Reactions  []*reaction    `json:"reactions"`
	ReplyTo    *string        `json:"reply_to"`
	SenderID   uuid.UUID      `json:"sender_id"`
	SenderName string         `json:"sender_name"`
	SentAt     chat.Time      `json:"sent_at"`
	Seq        int64          `json:"seq"`
}

type reaction struct {
	Count   int         `json:"count"`
	Emoji   string      `json:"emoji"`
	UserIDs []uuid.UUID `json:"user_ids"`
}

type page[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

func cursor(position string) *string {
	s := base64.RawURLEncoding.EncodeToString([]byte(position))
	return &s
}

// historySQL is chat-service's query for a history page, without the access check.
const historySQL = `select m.seq, m.id, m.sender_id, m.client_id, m.body, m.data, m.sent_at, u.deleted_at is not null,
		s.edit_seq, s.edited_at, s.body, s.mentions, s.delete_seq, s.deleted_at, r.seqs, r.emojis, r.users, r.removed
	from (select seq, id, sender_id, client_id, body, data, sent_at from messages
		where channel_id = $1 and seq > $2 and seq < $3 and kind = 'message' order by seq desc limit $4) m
	left join users u on u.id = m.sender_id
	left join message_states s on s.channel_id = $1 and s.message_id = m.id
	left join lateral (select array_agg(seq) as seqs, array_agg(emoji) as emojis, array_agg(user_id) as users, array_agg(removed) as removed
		from message_reactions where channel_id = $1 and message_id = m.id) r on true
	order by m.seq`

// stored is a row of historySQL.
type stored struct {
	seq             int64
	id, sender      uuid.UUID
	client          *[16]byte
	body            string
	data            []byte
	sentAt          time.Time
	nobody          bool
	editSeq         *int64
	editedAt        *time.Time
	edited          *string
	mentions        []byte
	deleteSeq       *int64
	deletedAt       *time.Time
	reactionSeqs    []int64
	reactionEmojis  []string
	reactionUsers   [][16]byte
	reactionRemoved []bool
}

func (r *stored) fields() []any {
	return []any{
		&r.seq, raw(&r.id), raw(&r.sender), &r.client, &r.body, &r.data, &r.sentAt, &r.nobody, &r.editSeq, &r.editedAt, &r.edited,
		&r.mentions, &r.deleteSeq, &r.deletedAt, &r.reactionSeqs, &r.reactionEmojis, &r.reactionUsers, &r.reactionRemoved,
	}
}

// history reads the newest history page of a channel.
func (s *server) history(ctx context.Context, channel chat.ChannelID) (page[message], error) {
	p := page[message]{Items: make([]message, 0, limit+1)}
	rows, err := s.db.Query(ctx, historySQL, channel.UUID, int64(0), newest, limit+1)
	if err != nil {
		return p, fmt.Errorf("read history: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r stored
		if err := rows.Scan(r.fields()...); err != nil {
			return p, fmt.Errorf("read history: %w", err)
		}
		m, err := r.message(channel)
		if err != nil {
			return p, err
		}
		p.Items = append(p.Items, m)
	}
	if err := rows.Err(); err != nil {
		return p, fmt.Errorf("read history: %w", err)
	}
	if len(p.Items) > limit {
		p.Items = p.Items[1:]
		p.NextCursor = cursorBefore(p.Items[0].Seq)
	}
	return p, nil
}

// message returns the current state of a message, with its edits, deletion and reactions applied.
func (r *stored) message(channel chat.ChannelID) (message, error) {
	var data struct {
		SenderName string   `json:"sender_name"`
		Mentions   []string `json:"mentions"`
		ReplyTo    *string  `json:"reply_to"`
	}
	if len(r.data) > 0 {
		if err := json.Unmarshal(r.data, &data); err != nil {
			return message{}, fmt.Errorf("read message %d: %w", r.seq, err)
		}
	}
	m := message{
		Body: r.body, ChannelID: channel, ClientID: (*uuid.UUID)(r.client), ID: r.id, Mentions: data.Mentions, ReplyTo: data.ReplyTo,
		SenderID: r.sender, SenderName: data.SenderName, SentAt: chat.At(r.sentAt), Seq: r.seq,
	}
	if r.nobody {
		m.SenderName = ""
	}
	if r.deleteSeq != nil {
		at := chat.At(*r.deletedAt)
		m.Body, m.Mentions, m.DeletedAt = "", nil, &at
	} else {
		if r.editSeq != nil && *r.editSeq > 0 && r.edited != nil {
			at := chat.At(*r.editedAt)
			m.Body, m.Mentions, m.EditedAt = *r.edited, nil, &at
			if len(r.mentions) > 0 {
				if err := json.Unmarshal(r.mentions, &m.Mentions); err != nil {
					return message{}, fmt.Errorf("read message %d: %w", r.seq, err)
				}
			}
		}
		m.Reactions = r.reactions()
	}
	if m.Mentions == nil {
		m.Mentions = []string{}
	}
	if m.Reactions == nil {
		m.Reactions = []*reaction{}
	}
	return m, nil
}

func (r *stored) reactions() (list []*reaction) {
	order := make([]int, 0, len(r.reactionSeqs))
	for i, removed := range r.reactionRemoved {
		if !removed {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(r.reactionSeqs[a], r.reactionSeqs[b]) })
	for _, i := range order {
		at := slices.IndexFunc(list, func(one *reaction) bool { return one.Emoji == r.reactionEmojis[i] })
		if at < 0 {
			at = len(list)
			list = append(list, &reaction{Emoji: r.reactionEmojis[i]})
		}
		list[at].Count++
		list[at].UserIDs = append(list[at].UserIDs, r.reactionUsers[i])
	}
	return list
}
