package changes_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/eventlog"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-contracts/rediskey"
	"parley.chat/ws-server/internal/changes"
	"parley.chat/ws-server/internal/hub"
	"parley.chat/ws-server/internal/store"
)

const partitions = 4

// rows is a store with a few rows.
type rows struct {
	messages  map[chat.EventID]store.Message
	deleted   map[chat.EventID]bool
	reactions []store.Reaction
	err       error // returned instead of rows
}

func (s *rows) Message(_ context.Context, _ chat.ChannelID, id chat.EventID) (store.Message, error) {
	m, ok := s.messages[id]
	if s.err == nil && !ok {
		return m, apierr.New(apierr.NotFound, "no such message")
	}
	return m, s.err
}

func (s *rows) Deleted(_ context.Context, _ chat.ChannelID, id chat.EventID) (bool, error) {
	return s.deleted[id], s.err
}

func (s *rows) Reactions(context.Context, chat.ChannelID, chat.EventID, chat.UserID) ([]store.Reaction, error) {
	return s.reactions, s.err
}

// world is a channel with a tail in Redis and rows.
type world struct {
	changes.Rules
	t       *testing.T
	rdb     redis.UniversalClient
	rows    *rows
	channel chat.ChannelID
	seq     int64
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, rdb: redistest.NewServer(t).Client(t), channel: chat.NewChannelID()}
	w.rows = &rows{messages: map[chat.EventID]store.Message{}, deleted: map[chat.EventID]bool{}}
	w.Rules = changes.Rules{Hub: hub.New(hub.Config{}), Log: eventlog.New(w.rdb, partitions), Store: w.rows, EditWindow: time.Hour}
	return w
}

// inTail adds an event to the tail and returns its id.
func (w *world) inTail(e frame.Event) chat.EventID {
	w.t.Helper()
	w.seq++
	e.ChannelID, e.Seq, e.ID = w.channel, w.seq, chat.NewEventID()
	if e.ClientID = new(chat.NewClientID()); e.SentAt.IsZero() {
		e.SentAt = chat.Now()
	}
	b, err := e.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	item := event.Item{Epoch: "1-a", Seq: e.Seq, EntryID: fmt.Sprint(time.Now().UnixMilli(), "-", e.Seq), Kind: e.Type, Sender: e.SenderID, Frame: b}
	if err := w.rdb.RPush(w.t.Context(), rediskey.Tail(w.Log.Partition(w.channel.UUID), w.channel), item.Encode()).Err(); err != nil {
		w.t.Fatal(err)
	}
	return e.ID
}

// inRows adds a message to the rows and returns its id.
func (w *world) inRows(sender chat.UserID) chat.EventID {
	id := chat.NewEventID()
	w.rows.messages[id] = store.Message{Seq: 1, SenderID: sender, SentAt: time.Now()}
	return id
}

// check returns the code of the error for an event, "" for none.
func (w *world) check(e frame.Event, role chat.Role) apierr.Code {
	w.t.Helper()
	e.ChannelID = w.channel
	err := w.Check(w.t.Context(), &e, func(chat.ChannelID) (chat.Role, error) { return role, nil })
	if err == nil {
		return ""
	}
	return apierr.CodeOf(err)
}

// TestCheck checks who may change which message, wherever the message and its deletion are.
func TestCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := chat.NewUserID(), chat.NewUserID()
	stored, erased := w.inRows(ann), w.inRows(ann)
	w.rows.deleted[erased] = true
	deletedLater := w.inRows(ann)
	old := w.inTail(frame.Event{Type: event.Message, SenderID: ann, Body: "old", SentAt: chat.At(time.Now().Add(-2 * time.Hour))})
	fresh := w.inTail(frame.Event{Type: event.Message, SenderID: ann, Body: "fresh"})
	gone := w.inTail(frame.Event{Type: event.Message, SenderID: ann, Body: "gone"})
	w.inTail(frame.Event{Type: event.Delete, SenderID: ann, MessageID: &gone})
	w.inTail(frame.Event{Type: event.Delete, SenderID: ann, MessageID: &deletedLater})
	edit := w.inTail(frame.Event{Type: event.Edit, SenderID: ann, MessageID: &fresh, Body: "an edit is not a message"})
	unknown := chat.NewEventID()
	for name, ids := range map[string]map[chat.EventID][4]apierr.Code{ // codes for an edit, a deletion, a reaction and a reply
		"the sender": {
			fresh: {}, stored: {}, old: {apierr.Forbidden},
			gone: {apierr.Conflict}, erased: {apierr.Conflict}, deletedLater: {apierr.Conflict},
			edit:    {apierr.NotFound, apierr.NotFound, apierr.NotFound, apierr.InvalidBody},
			unknown: {apierr.NotFound, apierr.NotFound, apierr.NotFound, apierr.InvalidBody},
		},
		"an admin":       {fresh: {apierr.Forbidden}, stored: {apierr.Forbidden}, gone: {apierr.Forbidden}},
		"another member": {fresh: {apierr.Forbidden, apierr.Forbidden}, stored: {apierr.Forbidden, apierr.Forbidden}},
	} {
		sender, role := bob, chat.Member
		switch name {
		case "the sender":
			sender = ann
		case "an admin":
			role = chat.Admin
		}
		for id, want := range ids {
			got := [4]apierr.Code{
				w.check(frame.Event{Type: event.Edit, SenderID: sender, MessageID: &id, Body: "x"}, role),
				w.check(frame.Event{Type: event.Delete, SenderID: sender, MessageID: &id}, role),
				w.check(frame.Event{Type: event.Reaction, SenderID: sender, MessageID: &id, Emoji: "👍"}, role),
				w.check(frame.Event{Type: event.Message, SenderID: sender, ReplyTo: &id, Body: "x"}, role),
			}
			if got != want {
				t.Errorf("%s, message %s: %q, want %q", name, id, got, want)
			}
		}
	}
	w.EditWindow = 0
	if got := w.check(frame.Event{Type: event.Edit, SenderID: ann, MessageID: &old, Body: "x"}, chat.Member); got != "" {
		t.Errorf("without an edit window, the edit of an old message: %q", got)
	}
}

// TestCheck_withoutPostgreSQL checks that messages in the tail can still be changed, and that the
// answer for any other message is one that the client retries.
func TestCheck_withoutPostgreSQL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := chat.NewUserID()
	fresh, stored := w.inTail(frame.Event{Type: event.Message, SenderID: ann, Body: "x"}), w.inRows(ann)
	w.rows.err = apierr.New(apierr.Unavailable, "down")
	for id, want := range map[chat.EventID]apierr.Code{fresh: "", stored: apierr.Unavailable} {
		for _, e := range []frame.Event{
			{Type: event.Edit, SenderID: ann, MessageID: &id, Body: "x"},
			{Type: event.Delete, SenderID: ann, MessageID: &id},
			{Type: event.Reaction, SenderID: ann, MessageID: &id, Emoji: "👍"},
			{Type: event.Message, SenderID: ann, ReplyTo: &id, Body: "x"},
		} {
			if got := w.check(e, chat.Member); got != want {
				t.Errorf("%s: %q, want %q", e.Type, got, want)
			}
		}
	}
}

// TestCheck_reactionLimits checks that the reactions in the rows and in the tail are counted
// together, and that a further reaction with a counted emoji is always possible.
func TestCheck_reactionLimits(t *testing.T) {
	t.Parallel()
	emoji := func(n int) string { return string(rune('🐀' + n)) }
	for name, tt := range map[string]struct {
		own   bool // the reactions are those of the user, not of others
		limit int
	}{
		"different emojis of all users": {false, 50},
		"different emojis of one user":  {true, 20},
	} {
		w := newWorld(t)
		ann, bob := chat.NewUserID(), chat.NewUserID()
		id := w.inTail(frame.Event{Type: event.Message, SenderID: ann, Body: "x"})
		react := func(n int) apierr.Code {
			return w.check(frame.Event{Type: event.Reaction, SenderID: ann, MessageID: &id, Emoji: emoji(n)}, chat.Member)
		}
		by := bob
		if tt.own {
			by = ann
		}
		for n := range tt.limit - 1 {
			if n%2 == 0 {
				w.rows.reactions = append(w.rows.reactions, store.Reaction{Emoji: emoji(n), Active: true, Own: tt.own})
			}
			if n%2 == 1 || n == 0 { // the first is counted once although both have it
				w.inTail(frame.Event{Type: event.Reaction, SenderID: by, MessageID: &id, Emoji: emoji(n)})
			}
		}
		if got := react(tt.limit); got != "" {
			t.Errorf("%s: the last one below the limit: %q", name, got)
		}
		w.inTail(frame.Event{Type: event.Reaction, SenderID: by, MessageID: &id, Emoji: emoji(tt.limit)})
		if got := react(tt.limit + 1); got != apierr.Conflict {
			t.Errorf("%s: one above the limit: %q, want %q", name, got, apierr.Conflict)
		}
		if got := [2]apierr.Code{react(0), react(1)}; got != [2]apierr.Code{} {
			t.Errorf("%s: emojis that are there already: %q", name, got)
		}
	}
}
