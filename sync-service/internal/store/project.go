package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"parley.chat/shared-contracts/event"
)

// message identifies a message by its channel and id.
type message struct{ channel, id uuid.UUID }

// reaction identifies one user's reaction to a message with one emoji.
type reaction struct {
	message
	user  uuid.UUID
	emoji string
}

// changes holds the effects of newly inserted rows on messages: the edit with the highest seq, the
// first deletion, and the last reaction per user and emoji. It merges them so that no statement
// updates a row twice.
type changes struct {
	edits     map[message]*Row
	deletes   map[message]*Row
	reactions map[reaction]*Row
	messages  bool // some of the rows are messages
}

func changesOf(rows []Row, at []int) changes {
	var c changes
	for _, i := range at {
		r := &rows[i]
		target := message{r.Channel.UUID, r.Target.UUID}
		switch r.Kind {
		case event.Message:
			c.messages = true
		case event.Edit:
			if c.edits == nil {
				c.edits = make(map[message]*Row)
			}
			if old := c.edits[target]; old == nil || old.Seq < r.Seq {
				c.edits[target] = r
			}
		case event.Delete:
			if c.deletes == nil {
				c.deletes = make(map[message]*Row)
			}
			if old := c.deletes[target]; old == nil || r.Seq < old.Seq {
				c.deletes[target] = r
			}
		case event.Reaction:
			if c.reactions == nil {
				c.reactions = make(map[reaction]*Row)
			}
			key := reaction{target, r.Sender.UUID, r.emoji}
			if old := c.reactions[key]; old == nil || old.Seq < r.Seq {
				c.reactions[key] = r
			}
		}
	}
	return c
}

// Migration 010 created the projections without filling them from older rows. No version without
// projections was released, so such rows exist only in developers' databases.

// project applies the newly inserted rows at the given indexes to the projected state of their
// messages. Each statement only moves a row toward its final state, so the order does not matter.
func project(ctx context.Context, tx pgx.Tx, rows []Row, at []int) error {
	c := changesOf(rows, at)
	if err := projectEdits(ctx, tx, c.edits); err != nil {
		return fmt.Errorf("project %d edits: %w", len(c.edits), err)
	}
	if err := projectDeletes(ctx, tx, c.deletes); err != nil {
		return fmt.Errorf("project %d deletions: %w", len(c.deletes), err)
	}
	if err := projectReactions(ctx, tx, c.reactions); err != nil {
		return fmt.Errorf("project %d reactions: %w", len(c.reactions), err)
	}
	if len(c.edits) > 0 || len(c.deletes) > 0 {
		if err := blank(ctx, tx, c); err != nil {
			return fmt.Errorf("blank deleted messages: %w", err)
		}
	}
	if c.messages {
		if err := blankWaiting(ctx, tx, rows, at); err != nil {
			return fmt.Errorf("blank messages that were deleted before they were stored: %w", err)
		}
	}
	return nil
}

// columnsOf returns the columns that edits and deletions have in common: channel, message, seq and
// time.
func columnsOf(changed map[message]*Row) (channels, messages []pgtype.UUID, seqs []int64, times []time.Time, rows []*Row) {
	for m, r := range changed {
		channels, messages = append(channels, known(m.channel)), append(messages, known(m.id))
		seqs, times, rows = append(seqs, r.Seq), append(times, r.SentAt), append(rows, r)
	}
	return channels, messages, seqs, times, rows
}

func known(id uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: true} }

func projectEdits(ctx context.Context, tx pgx.Tx, edits map[message]*Row) error {
	if len(edits) == 0 {
		return nil
	}
	channels, messages, seqs, times, rows := columnsOf(edits)
	bodies, mentions := make([]string, len(rows)), make([]pgtype.Text, len(rows))
	for i, r := range rows {
		bodies[i] = r.Body
		if len(r.mentions) > 0 {
			b, err := json.Marshal(r.mentions)
			if err != nil {
				return fmt.Errorf("encode mentions: %w", err)
			}
			mentions[i] = pgtype.Text{String: string(b), Valid: true}
		}
	}
	_, err := tx.Exec(ctx, `insert into message_states as s (channel_id, message_id, edit_seq, edited_at, body, mentions)
		select c, m, q, a, b, n::jsonb
		from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[], $5::text[], $6::text[]) as r (c, m, q, a, b, n)
		on conflict (channel_id, message_id) do update set edit_seq = excluded.edit_seq, edited_at = excluded.edited_at,
			body = case when s.delete_seq is null then excluded.body end,
			mentions = case when s.delete_seq is null then excluded.mentions end
		where s.edit_seq < excluded.edit_seq`, channels, messages, seqs, times, bodies, mentions)
	return err
}

func projectDeletes(ctx context.Context, tx pgx.Tx, deletes map[message]*Row) error {
	if len(deletes) == 0 {
		return nil
	}
	channels, messages, seqs, times, rows := columnsOf(deletes)
	by := make([]pgtype.UUID, len(rows))
	for i, r := range rows {
		by[i] = known(r.Sender.UUID)
	}
	_, err := tx.Exec(ctx, `insert into message_states as s (channel_id, message_id, delete_seq, deleted_at, deleted_by, waiting)
		select c, m, q, a, u, not exists (select from messages t where t.channel_id = c and t.id = m and t.kind = 'message')
		from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[], $5::uuid[]) as r (c, m, q, a, u)
		on conflict (channel_id, message_id) do update set delete_seq = excluded.delete_seq,
			deleted_at = excluded.deleted_at, deleted_by = excluded.deleted_by, waiting = excluded.waiting,
			body = null, mentions = null
		where s.delete_seq is null or excluded.delete_seq < s.delete_seq`, channels, messages, seqs, times, by)
	return err
}

func projectReactions(ctx context.Context, tx pgx.Tx, reactions map[reaction]*Row) error {
	if len(reactions) == 0 {
		return nil
	}
	var channels, messages, users []pgtype.UUID
	var emojis []string
	var seqs []int64
	var removed []bool
	var times []time.Time
	for k, r := range reactions {
		channels, messages, users = append(channels, known(k.channel)), append(messages, known(k.id)), append(users, known(k.user))
		emojis, seqs, removed, times = append(emojis, k.emoji), append(seqs, r.Seq), append(removed, r.remove), append(times, r.SentAt)
	}
	_, err := tx.Exec(ctx, `insert into message_reactions as s (channel_id, message_id, user_id, emoji, seq, removed, reacted_at)
		select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::boolean[], $7::timestamptz[])
		on conflict (channel_id, message_id, emoji, user_id) do update
			set seq = excluded.seq, removed = excluded.removed, reacted_at = excluded.reacted_at
		where s.seq < excluded.seq`, channels, messages, users, emojis, seqs, removed, times)
	return err
}

// blank removes the text of deleted messages and their edits from the event log. It handles only
// the messages whose edits or deletions are in c.
func blank(ctx context.Context, tx pgx.Tx, c changes) error {
	var channels, messages []pgtype.UUID
	for _, changed := range []map[message]*Row{c.edits, c.deletes} {
		for m := range changed {
			channels, messages = append(channels, known(m.channel)), append(messages, known(m.id))
		}
	}
	return blankDeleted(ctx, tx, channels, messages)
}

func blankDeleted(ctx context.Context, tx pgx.Tx, channels, messages []pgtype.UUID) error {
	const deleted = ` from message_states s join unnest($1::uuid[], $2::uuid[]) as r (c, m) on s.channel_id = c and s.message_id = m
		where s.delete_seq is not null and e.channel_id = s.channel_id and e.body <> '' and `
	for _, which := range []string{`e.id = s.message_id and e.kind = 'message'`, `e.target = s.message_id and e.kind = 'edit'`} {
		if _, err := tx.Exec(ctx, `update messages e set body = ''`+deleted+which, channels, messages); err != nil {
			return err
		}
	}
	return nil
}

// blankWaiting removes the text of a message in rows if its deletion was stored before the message
// itself. This is very rare, so blankWaiting first checks an index that is usually empty.
func blankWaiting(ctx context.Context, tx pgx.Tx, rows []Row, at []int) error {
	var any bool
	if err := tx.QueryRow(ctx, `select exists (select from message_states where waiting)`).Scan(&any); err != nil || !any {
		return err
	}
	var channels, messages []pgtype.UUID
	for _, i := range at {
		if rows[i].Kind == event.Message {
			channels, messages = append(channels, known(rows[i].Channel.UUID)), append(messages, known(rows[i].ID.UUID))
		}
	}
	if err := blankDeleted(ctx, tx, channels, messages); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `update message_states s set waiting = false from unnest($1::uuid[], $2::uuid[]) as r (c, m)
		where s.waiting and s.channel_id = c and s.message_id = m`, channels, messages)
	return err
}
