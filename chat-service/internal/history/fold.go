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

// folding computes the state of messages at a point from the changes that PostgreSQL and the tail
// contain. It ignores edits and reactions after the point. A deletion takes effect at every point,
// because deleted text is never shown again. The result does not depend on the order in which
// changes are added. Adding a change again has no effect.
type folding struct {
	upTo           int64 // the point
	events         []frame.Event
	states         map[chat.EventID]*messageState
	deletedSenders map[chat.UserID]bool // senders whose accounts are deleted
}

// messageState is the accumulated state of one message.
type messageState struct {
	upTo      int64 // edits and reactions with a higher seq are ignored
	ignored   bool  // an edit or reaction was ignored
	editSeq   int64 // of the newest edit, 0 for none
	editedAt  chat.Time
	body      string
	mentions  []chat.UserID
	deleteSeq int64 // of the first deletion, 0 for none
	deletedAt chat.Time
	reactions map[reaction]vote
}

type reaction struct {
	emoji string
	user  chat.UserID
}

// vote is the latest change that a user made to their reaction with one emoji.
type vote struct {
	seq     int64
	removed bool
}

func newFolding(events []frame.Event, upTo int64) *folding {
	f := &folding{upTo: upTo, states: make(map[chat.EventID]*messageState, len(events)), deletedSenders: map[chat.UserID]bool{}}
	f.setEvents(events)
	return f
}

// setEvents sets the messages whose state is wanted. It keeps all changes added so far.
func (f *folding) setEvents(events []frame.Event) {
	f.events = events
	fresh := make([]messageState, len(events))
	for i := range events {
		if f.states[events[i].ID] == nil {
			fresh[i].upTo = f.upTo
			f.states[events[i].ID] = &fresh[i]
		}
	}
}

// counts reports whether an edit or reaction with the given seq takes effect.
func (t *messageState) counts(seq int64) bool {
	t.ignored = t.ignored || seq > t.upTo
	return seq <= t.upTo
}

func (t *messageState) edit(seq int64, at chat.Time, body string, mentions []chat.UserID) {
	if t.counts(seq) && seq > t.editSeq {
		t.editSeq, t.editedAt, t.body, t.mentions = seq, at, body, mentions
	}
}

func (t *messageState) remove(seq int64, at chat.Time) {
	if t.deleteSeq == 0 || seq < t.deleteSeq {
		t.deleteSeq, t.deletedAt = seq, at
	}
}

// react adds a reaction. It normalizes the emoji, because earlier releases stored several forms of
// it. Earlier releases also accepted strings that are not emojis; these stay unchanged.
func (t *messageState) react(r reaction, s vote) {
	if emoji, ok := text.Emoji(r.emoji); ok {
		r.emoji = emoji
	}
	if !t.counts(s.seq) {
		return
	}
	if t.reactions == nil {
		t.reactions = map[reaction]vote{}
	}
	if s.seq > t.reactions[r].seq {
		t.reactions[r] = s
	}
}

// addItems adds the changes that are in the tail.
func (f *folding) addItems(items []event.Item) error {
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
		t := f.states[*e.MessageID]
		switch {
		case t == nil:
		case it.Kind == event.Edit:
			t.edit(e.Seq, e.SentAt, e.Body, e.Mentions)
		case it.Kind == event.Delete:
			t.remove(e.Seq, e.SentAt)
		default:
			t.react(reaction{e.Emoji, e.SenderID}, vote{e.Seq, e.Remove})
		}
	}
	return nil
}

// change is a result row of the queries in addChanges and addEarlier. It describes the edit and
// deletion of a message, or a reaction to it, or contains the id of a user whose account has been
// deleted.
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

// addChanges adds the data that PostgreSQL contains about the messages: their states, their
// reactions, and the senders who have deleted their accounts. It uses a single query.
func (s *Service) addChanges(ctx context.Context, channel chat.ChannelID, f *folding) error {
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
		return fmt.Errorf("read changes of %d messages of channel %s: %w", len(ids), channel, err)
	}
	return f.add(changes)
}

// addEarlier adds the edits and reactions up to the folding's point of those messages that were
// changed after it. The tables that addChanges reads contain only the last edit and the last change
// to each reaction; if these are after the point, the log contains the earlier ones. The query also
// reads deletions, because the text of an edit may have been removed since the rows were read.
func (s *Service) addEarlier(ctx context.Context, channel chat.ChannelID, f *folding) error {
	var ids []chat.EventID
	for id, t := range f.states {
		if t.ignored && t.deleteSeq == 0 {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	var changes []change
	if err := s.selectEarlier(channel, ids, f.upTo).Scan(ctx, &changes); err != nil {
		return fmt.Errorf("read earlier changes of %d messages of channel %s: %w", len(ids), channel, err)
	}
	return f.add(changes)
}

func (s *Service) selectEarlier(channel chat.ChannelID, ids []chat.EventID, upTo int64) *bun.RawQuery {
	return s.cfg.DB.NewRaw(`select message_id, 0::bigint as seq, null::timestamptz as at, null::text as body, null::jsonb as mentions,
			delete_seq, deleted_at, null::text as emoji, null::uuid as user_id, false as removed
		from message_states where channel_id = ? and message_id in (?) and delete_seq is not null
		union all
		select id, e.seq, e.sent_at, e.body, e.mentions, null, null, null, null, false
		from unnest(array[?]::uuid[]) as m (id) cross join lateral (
			select seq, sent_at, body, data -> 'mentions' as mentions from messages
			where channel_id = ? and target = m.id and kind = 'edit' and seq <= ? order by seq desc limit 1) e
		union all
		(select distinct on (target, sender_id, data ->> 'emoji') target, seq, null, null, null, null, null, data ->> 'emoji', sender_id,
			coalesce((data ->> 'remove')::boolean, false)
		from messages where channel_id = ? and target in (?) and kind = 'reaction' and seq <= ?
		order by target, sender_id, data ->> 'emoji', seq desc)`,
		channel, bun.List(ids), bun.List(ids), channel, upTo, channel, bun.List(ids), upTo)
}

func (f *folding) add(changes []change) error {
	for i := range changes {
		if err := f.addChange(&changes[i]); err != nil {
			return fmt.Errorf("message %s: %w", changes[i].MessageID, err)
		}
	}
	return nil
}

func (f *folding) addChange(c *change) error {
	if c.MessageID == nil {
		f.deletedSenders[*c.UserID] = true
		return nil
	}
	t := f.states[*c.MessageID]
	switch {
	case t == nil:
	case c.Emoji != nil:
		t.react(reaction{*c.Emoji, *c.UserID}, vote{c.Seq, c.Removed})
	default:
		return t.addState(c.Seq, c.At, c.Body, c.Mentions, c.DeleteSeq, c.DeletedAt)
	}
	return nil
}

// addStored adds a message's stored state, which the page query has returned.
func (f *folding) addStored(e *frame.Event, b *storedState) error {
	if b.senderDeleted {
		f.deletedSenders[e.SenderID] = true
	}
	t := f.states[e.ID]
	for i, seq := range b.seqs {
		t.react(reaction{b.emojis[i], chat.UserID{UUID: b.users[i]}}, vote{seq, b.removed[i]})
	}
	if b.editSeq == nil { // the message has no row in message_states
		return nil
	}
	return t.addState(*b.editSeq, b.editedAt, b.body, b.mentions, b.deleteSeq, b.deletedAt)
}

// addState adds a row of message_states.
func (t *messageState) addState(editSeq int64, editedAt *time.Time, body *string, mentioned json.RawMessage, deleteSeq *int64, deletedAt *time.Time) error {
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

// version returns the event that contains the text of a message at the folding's point: the message
// itself or its newest edit.
func (f *folding) version(e *frame.Event) frame.Event {
	t := f.states[e.ID]
	if t.editSeq == 0 {
		return *e
	}
	return frame.Event{Type: event.Edit, ChannelID: e.ChannelID, Seq: t.editSeq, SenderID: e.SenderID, MessageID: &e.ID, Body: t.body, Mentions: t.mentions}
}

// removeText removes the text of a message.
func (f *folding) removeText(e *frame.Event) {
	e.RemoveText()
	f.states[e.ID].body, f.states[e.ID].mentions = "", nil
}

// messages returns the messages at the folding's point, as the given reader sees them.
func (f *folding) messages(reader chat.UserID) []api.Message {
	list := make([]api.Message, len(f.events))
	for i := range f.events {
		list[i] = messageOf(&f.events[i], f.states[f.events[i].ID], reader)
		if f.deletedSenders[list[i].SenderID] {
			list[i].SenderName, list[i].SenderDeleted = "", true
		}
	}
	return list
}

func messageOf(e *frame.Event, t *messageState, reader chat.UserID) api.Message {
	m := api.Message{
		ID: e.ID, ChannelID: e.ChannelID, Seq: e.Seq, ClientID: e.ClientID, SenderID: e.SenderID, SenderName: e.SenderName,
		Body: e.Body, ReplyTo: e.ReplyTo, Mentions: e.Mentions, SentAt: e.SentAt,
	}
	switch {
	case t.deleteSeq > 0: // a deletion overrides all other changes
		m.Body, m.Mentions, m.DeletedAt = "", nil, &t.deletedAt
	case t.editSeq > 0:
		m.Body, m.Mentions, m.EditedAt = t.body, t.mentions, &t.editedAt
		fallthrough
	default:
		m.Reactions = t.reactionSummary(reader)
	}
	if m.Mentions == nil {
		m.Mentions = []chat.UserID{}
	}
	if m.Reactions == nil {
		m.Reactions = []api.Reaction{}
	}
	return m
}

// These constants limit the reactions that a page lists for each message.
const (
	maxEmojis      = 50
	maxEmojisUsers = 20 // maximum number of user ids listed per emoji; the emoji's count includes all users
)

// reactionSummary returns the active reactions, grouped by emoji. Emojis are in the order of their
// first reaction, and users in the order of their reactions. A reader who has reacted with an emoji
// is always listed among its users. Apart from sorting, the running time is linear in the number of
// reactions.
func (t *messageState) reactionSummary(reader chat.UserID) []api.Reaction {
	type orderedReaction struct {
		reaction
		seq int64
	}
	active := make([]orderedReaction, 0, len(t.reactions))
	for r, s := range t.reactions {
		if !s.removed {
			active = append(active, orderedReaction{r, s.seq})
		}
	}
	slices.SortFunc(active, func(a, b orderedReaction) int { return cmp.Compare(a.seq, b.seq) })
	var list []api.Reaction
	at := map[string]int{}
	for _, v := range active {
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
