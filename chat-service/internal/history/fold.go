package history

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/text"

	"parley.chat/chat-service/internal/api"
)

// folding is messages and what was done to them, by what PostgreSQL has of it and what it has not yet. It
// comes to the same in whatever order, and however often, it learns of a change.
type folding struct {
	events []frame.Event
	fate   map[chat.EventID]*fate
	nobody map[chat.UserID]bool // senders whose account is deleted
}

// fate is what became of one message.
type fate struct {
	editSeq   int64 // of the edit that holds, the newest; 0 for none
	editedAt  chat.Time
	body      string
	mentions  []chat.UserID
	deleteSeq int64 // of the first deletion; 0 for none
	deletedAt chat.Time
	reactions map[reaction]standing
}

type reaction struct {
	emoji string
	user  chat.UserID
}

// standing is the last word of a user on an emoji.
type standing struct {
	seq     int64
	removed bool
}

func newFolding(events []frame.Event) *folding {
	f := &folding{fate: make(map[chat.EventID]*fate, len(events)), nobody: map[chat.UserID]bool{}}
	f.set(events)
	return f
}

// set replaces the messages. Of those that were among them before it is known what became of them.
func (f *folding) set(events []frame.Event) {
	f.events = events
	fates := make([]fate, len(events))
	for i := range events {
		if f.fate[events[i].ID] == nil {
			f.fate[events[i].ID] = &fates[i]
		}
	}
}

func (t *fate) edit(seq int64, at chat.Time, body string, mentions []chat.UserID) {
	if seq > t.editSeq {
		t.editSeq, t.editedAt, t.body, t.mentions = seq, at, body, mentions
	}
}

func (t *fate) remove(seq int64, at chat.Time) {
	if t.deleteSeq == 0 || seq < t.deleteSeq {
		t.deleteSeq, t.deletedAt = seq, at
	}
}

// react takes in a reaction. Earlier releases stored an emoji in several forms, and other texts too.
func (t *fate) react(r reaction, s standing) {
	if emoji, ok := text.Emoji(r.emoji); ok {
		r.emoji = emoji
	}
	if t.reactions == nil {
		t.reactions = map[reaction]standing{}
	}
	if s.seq > t.reactions[r].seq {
		t.reactions[r] = s
	}
}

// items takes in what of the tail concerns the messages.
func (f *folding) items(items []event.Item) error {
	for _, it := range items {
		if it.Kind != event.Edit && it.Kind != event.Delete && it.Kind != event.Reaction {
			continue
		}
		e, err := frame.DecodeEvent(it.Frame)
		if err != nil {
			return fmt.Errorf("item %d: %w", it.Seq, err)
		}
		if e.MessageID == nil {
			continue
		}
		t := f.fate[*e.MessageID]
		switch {
		case t == nil:
		case it.Kind == event.Edit:
			t.edit(e.Seq, e.SentAt, e.Body, e.Mentions)
		case it.Kind == event.Delete:
			t.remove(e.Seq, e.SentAt)
		default:
			t.react(reaction{e.Emoji, e.SenderID}, standing{e.Seq, e.Remove})
		}
	}
	return nil
}

// change is a row of message_states, of message_reactions, or a deleted account.
type change struct {
	MessageID *chat.EventID   `bun:"message_id,type:uuid"`
	Seq       int64           `bun:"seq"`
	At        *time.Time      `bun:"at"`
	Body      *string         `bun:"body"`
	Mentions  json.RawMessage `bun:"mentions,type:jsonb"`
	DeleteSeq *int64          `bun:"delete_seq"`
	DeletedAt *time.Time      `bun:"deleted_at"`
	Emoji     *string         `bun:"emoji"`
	UserID    *chat.UserID    `bun:"user_id,type:uuid"`
	Removed   bool            `bun:"removed"`
}

// stored takes in what PostgreSQL knows of the messages, in one read: their states, their reactions, and
// which of their senders have deleted their accounts.
func (s *Service) stored(ctx context.Context, channel chat.ChannelID, f *folding) error {
	ids := make([]chat.EventID, len(f.events))
	var senders []chat.UserID
	for i := range f.events {
		ids[i] = f.events[i].ID
		if !slices.Contains(senders, f.events[i].SenderID) {
			senders = append(senders, f.events[i].SenderID)
		}
	}
	var changes []change
	err := s.cfg.DB.NewRaw(`select message_id, edit_seq as seq, edited_at as at, body, mentions, delete_seq, deleted_at,
			null::text as emoji, null::uuid as user_id, false as removed
		from message_states where channel_id = ? and message_id in (?)
		union all
		select message_id, seq, null, null, null, null, null, emoji, user_id, removed
		from message_reactions where channel_id = ? and message_id in (?)
		union all
		select null, 0, null, null, null, null, null, null, id, false from users where id in (?) and deleted_at is not null`,
		channel, bun.List(ids), channel, bun.List(ids), bun.List(senders)).Scan(ctx, &changes)
	if err != nil {
		return fmt.Errorf("read what became of %d messages of channel %s: %w", len(ids), channel, err)
	}
	for i := range changes {
		if err := f.change(&changes[i]); err != nil {
			return fmt.Errorf("message %s: %w", changes[i].MessageID, err)
		}
	}
	return nil
}

func (f *folding) change(c *change) error {
	if c.MessageID == nil {
		f.nobody[*c.UserID] = true
		return nil
	}
	t := f.fate[*c.MessageID]
	switch {
	case t == nil:
	case c.Emoji != nil:
		t.react(reaction{*c.Emoji, *c.UserID}, standing{c.Seq, c.Removed})
	default:
		return t.state(c.Seq, c.At, c.Body, c.Mentions, c.DeleteSeq, c.DeletedAt)
	}
	return nil
}

// take takes in what a row of a page says.
func (f *folding) take(e *frame.Event, b *became) error {
	if b.senderGone {
		f.nobody[e.SenderID] = true
	}
	t := f.fate[e.ID]
	for i, seq := range b.seqs {
		t.react(reaction{b.emojis[i], chat.UserID{UUID: b.users[i]}}, standing{seq, b.removed[i]})
	}
	if b.editSeq == nil { // no row of message_states
		return nil
	}
	return t.state(*b.editSeq, b.editedAt, b.body, b.mentions, b.deleteSeq, b.deletedAt)
}

// state takes in a row of message_states.
func (t *fate) state(editSeq int64, editedAt *time.Time, body *string, mentioned json.RawMessage, deleteSeq *int64, deletedAt *time.Time) error {
	if deleteSeq != nil {
		t.remove(*deleteSeq, chat.At(*deletedAt))
	}
	if editSeq > 0 && body != nil {
		var mentions []chat.UserID
		if len(mentioned) > 0 {
			if err := json.Unmarshal(mentioned, &mentions); err != nil {
				return fmt.Errorf("mentions: %w", err)
			}
		}
		t.edit(editSeq, chat.At(*editedAt), *body, mentions)
	}
	return nil
}

// messages returns the messages as they are now, for a reader.
func (f *folding) messages(reader chat.UserID) []api.Message {
	list := make([]api.Message, len(f.events))
	for i := range f.events {
		list[i] = messageOf(&f.events[i], f.fate[f.events[i].ID], reader)
		if f.nobody[list[i].SenderID] {
			list[i].SenderName, list[i].SenderDeleted = "", true
		}
	}
	return list
}

func messageOf(e *frame.Event, t *fate, reader chat.UserID) api.Message {
	m := api.Message{
		ID: e.ID, ChannelID: e.ChannelID, Seq: e.Seq, ClientID: e.ClientID, SenderID: e.SenderID, SenderName: e.SenderName,
		Body: e.Body, ReplyTo: e.ReplyTo, Mentions: e.Mentions, SentAt: e.SentAt,
	}
	switch {
	case t.deleteSeq > 0: // absorbs whatever else was done to it
		m.Body, m.Mentions, m.DeletedAt = "", nil, &t.deletedAt
	case t.editSeq > 0:
		m.Body, m.Mentions, m.EditedAt = t.body, t.mentions, &t.editedAt
		fallthrough
	default:
		m.Reactions = t.standing(reader)
	}
	if m.Mentions == nil {
		m.Mentions = []chat.UserID{}
	}
	if m.Reactions == nil {
		m.Reactions = []api.Reaction{}
	}
	return m
}

// Bounds of the reactions that a page lists of each message.
const (
	maxEmojis      = 50
	maxEmojisUsers = 20 // of each emoji; the count is of all
)

// standing returns the reactions that were not taken back: the emojis in the order in which they came, and so the
// users of each. The reader is among the users of what they have put on the message themselves. It takes time in
// proportion to the reactions, but for sorting them.
func (t *fate) standing(reader chat.UserID) []api.Reaction {
	type vote struct {
		reaction
		seq int64
	}
	votes := make([]vote, 0, len(t.reactions))
	for r, s := range t.reactions {
		if !s.removed {
			votes = append(votes, vote{r, s.seq})
		}
	}
	slices.SortFunc(votes, func(a, b vote) int { return cmp.Compare(a.seq, b.seq) })
	var list []api.Reaction
	at := map[string]int{}
	for _, v := range votes {
		i, known := at[v.emoji]
		if !known {
			if len(list) == maxEmojis {
				continue
			}
			i = len(list)
			at[v.emoji] = i
			list = append(list, api.Reaction{Emoji: v.emoji})
		}
		r := &list[i]
		r.Count++
		switch {
		case len(r.UserIDs) < maxEmojisUsers:
			r.UserIDs = append(r.UserIDs, v.user)
		case v.user == reader:
			r.UserIDs[maxEmojisUsers-1] = reader
		}
	}
	return list
}
