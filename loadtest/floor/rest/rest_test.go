package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/labstack/echo/v4"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-migrations/schematest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// world is the server, with a database that the test fills.
type world struct {
	t    *testing.T
	pool *pgxpool.Pool
	*server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	pool := schematest.Open(t).Pool(t)
	return &world{t: t, pool: pool, server: &server{db: pool, heads: map[chat.ChannelID]int64{}}}
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.pool.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) user(name string) chat.UserID {
	w.t.Helper()
	id := chat.NewUserID()
	w.exec(`insert into users (id, username, email, password_hash) values ($1, $2, $2, 'x')`, id.UUID, name)
	return id
}

// channel returns a new channel with one member, who joined at one seq and has read up to another.
func (w *world) channel(name string, member chat.UserID, joined, read int64) chat.ChannelID {
	w.t.Helper()
	id := chat.NewChannelID()
	w.exec(`insert into channels (id, kind, name) values ($1, 'public', $2)`, id.UUID, name)
	w.exec(`insert into channel_members (channel_id, user_id, joined_seq, last_delivered_seq, last_read_seq) values ($1, $2, $3, $4, $4)`, id.UUID, member.UUID, joined, read)
	return id
}

// message stores a message; data may be "".
func (w *world) message(c chat.ChannelID, seq int64, sender chat.UserID, data string) uuid.UUID {
	w.t.Helper()
	id := chat.NewEventID().UUID
	w.exec(`insert into messages (channel_id, seq, id, kind, sender_id, body, data, sent_at) values ($1, $2, $3, 'message', $4, $5, nullif($6, '')::jsonb, now())`,
		c.UUID, seq, id, sender.UUID, fmt.Sprint("text ", seq), data)
	return id
}

// get calls a handler and decodes its response.
func get[T any](t *testing.T, handler echo.HandlerFunc, user chat.UserID, id string) (page[T], error) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	req.Header.Set("X-User", user.String())
	rec := httptest.NewRecorder()
	c := echo.New().NewContext(req, rec)
	c.SetParamNames("id")
	c.SetParamValues(id)
	var p page[T]
	if err := handler(c); err != nil {
		return p, err
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil || rec.Code != http.StatusOK {
		t.Fatalf("%d %s: %v", rec.Code, rec.Body, err)
	}
	return p, nil
}

func position(t *testing.T, cursor *string) string {
	t.Helper()
	if cursor == nil {
		return ""
	}
	b, err := base64.RawURLEncoding.DecodeString(*cursor)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestMessages_isTheNewestPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.user("ann")
	c := w.channel("c", ann, 0, 0)
	for seq := range int64(limit + 3) {
		w.message(c, seq+1, ann, "")
	}
	p, err := get[message](t, w.messages, ann, c.String())
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Items) != limit || p.Items[0].Seq != 4 || p.Items[limit-1].Seq != limit+3 {
		t.Errorf("%d items from %d", len(p.Items), p.Items[0].Seq)
	}
	if got, want := position(t, p.NextCursor), `{"listMessages":{"b":4}}`; got != want {
		t.Errorf("the next page is at %s, want %s", got, want)
	}
	w.exec(`delete from messages where seq <= 3`)
	if p, err := get[message](t, w.messages, ann, c.String()); err != nil || len(p.Items) != limit || p.NextCursor != nil {
		t.Errorf("a page that is all: %d items, cursor %q, %v", len(p.Items), position(t, p.NextCursor), err)
	}
	if _, err := get[message](t, w.messages, ann, "no id"); err == nil {
		t.Error("no error for a bad id")
	}
}

// A message is shown with the later events that changed it applied.
func TestMessages_showTheCurrentState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.user("ann"), w.user("bob")
	c := w.channel("c", ann, 0, 0)
	plain := w.message(c, 1, ann, `{"sender_name": "Ann", "mentions": ["m"], "reply_to": "r"}`)
	edited := w.message(c, 2, ann, `{"mentions": ["m"]}`)
	w.exec(`insert into message_states (channel_id, message_id, edit_seq, edited_at, body, mentions) values ($1, $2, 9, now(), 'edited', '["n"]')`, c.UUID, edited)
	deleted := w.message(c, 3, ann, `{"mentions": ["m"]}`)
	w.exec(`insert into message_states (channel_id, message_id, delete_seq, deleted_at) values ($1, $2, 9, now())`, c.UUID, deleted)
	for i, r := range []struct {
		message uuid.UUID
		emoji   string
		user    chat.UserID
		removed bool
	}{{plain, "late", bob, false}, {plain, "gone", ann, true}, {plain, "late", ann, false}, {plain, "one", ann, false}, {deleted, "late", bob, false}} {
		w.exec(`insert into message_reactions (channel_id, message_id, emoji, user_id, seq, removed, reacted_at) values ($1, $2, $3, $4, $5, $6, now())`,
			c.UUID, r.message, r.emoji, r.user.UUID, 20-i, r.removed)
	}
	byBob := w.message(c, 4, bob, `{"sender_name": "Bob"}`)
	w.exec(`update users set deleted_at = now() where id = $1`, bob.UUID)

	p, err := get[message](t, w.messages, ann, c.String())
	if err != nil || len(p.Items) != 4 {
		t.Fatalf("%d items, %v", len(p.Items), err)
	}
	m := p.Items[0]
	if m.ID != plain || m.Body != "text 1" || m.SenderName != "Ann" || !slices.Equal(m.Mentions, []string{"m"}) || m.ReplyTo == nil || *m.ReplyTo != "r" || m.EditedAt != nil || m.DeletedAt != nil {
		t.Errorf("plain: %+v", m)
	}
	var reactions []string
	for _, r := range m.Reactions {
		reactions = append(reactions, fmt.Sprint(r.Emoji, r.Count, r.UserIDs))
	}
	if want := []string{fmt.Sprint("one", 1, []chat.UserID{ann}), fmt.Sprint("late", 2, []chat.UserID{ann, bob})}; !slices.Equal(reactions, want) {
		t.Errorf("reactions %v, want %v", reactions, want)
	}
	if m = p.Items[1]; m.Body != "edited" || !slices.Equal(m.Mentions, []string{"n"}) || m.EditedAt == nil {
		t.Errorf("edited: %+v", m)
	}
	if m = p.Items[2]; m.Body != "" || len(m.Mentions) != 0 || m.Mentions == nil || len(m.Reactions) != 0 || m.Reactions == nil || m.DeletedAt == nil {
		t.Errorf("deleted: %+v", m)
	}
	if m = p.Items[3]; m.ID != byBob || m.SenderName != "" || m.Body != "text 4" {
		t.Errorf("of a deleted account: %+v", m)
	}
}

func TestChannels_countWhatIsUnread(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.user("ann"), w.user("bob")
	mentions := fmt.Sprintf(`{"mentions": ["%s"]}`, ann)
	read := w.channel("a read", ann, 0, 2)
	part := w.channel("B partly read", ann, 0, 1)
	late := w.channel("c joined late", ann, 2, 0)
	gone := w.channel("d deleted", ann, 0, 0)
	w.exec(`update channels set deleted_at = now() where id = $1`, gone.UUID)
	w.channel("e of others", bob, 0, 0)
	for _, c := range []chat.ChannelID{read, part, late} {
		w.message(c, 1, bob, mentions)
		w.message(c, 2, bob, "")
		w.message(c, 3, bob, mentions)
		w.message(c, 4, ann, "") // a user's own message is never unread
	}
	w.exec(`update channel_members set last_delivered_seq = 4, last_read_seq = 4 where channel_id = $1`, read.UUID)
	if err := w.learnHeads(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err := get[channel](t, w.channels, ann, "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range p.Items {
		got = append(got, fmt.Sprintf("%s: %d of %d unread, %d mentions", c.Name, c.Unread, c.LastSeq, c.UnreadMentions))
	}
	if want := []string{"a read: 0 of 4 unread, 0 mentions", "B partly read: 2 of 4 unread, 1 mentions", "c joined late: 1 of 4 unread, 1 mentions"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if p.NextCursor != nil {
		t.Errorf("there is a next page at %s", position(t, p.NextCursor))
	}
}

func TestChannels_isTheFirstPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.user("ann")
	for i := range limit + 1 {
		w.channel(fmt.Sprintf("Room %03d", i), ann, 0, 0)
	}
	p, err := get[channel](t, w.channels, ann, "")
	if err != nil {
		t.Fatal(err)
	}
	last := p.Items[len(p.Items)-1]
	if len(p.Items) != limit || last.Name != "Room 049" {
		t.Errorf("%d items up to %q", len(p.Items), last.Name)
	}
	if got, want := position(t, p.NextCursor), `{"listChannels":{"n":"room 049","i":"`+last.ID.String()+`"}}`; got != want {
		t.Errorf("the next page is at %s, want %s", got, want)
	}
}

func TestHandlers_failWithoutPostgreSQL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pool.Close()
	_, messages := get[message](t, w.messages, chat.NewUserID(), chat.NewChannelID().String())
	_, channels := get[channel](t, w.channels, chat.NewUserID(), "")
	for name, err := range map[string]error{"history": messages, "list channels": channels, "heads": w.learnHeads(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
