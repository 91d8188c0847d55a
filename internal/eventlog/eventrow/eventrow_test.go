package eventrow_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/eventlog/eventrow"
	"parley.chat/internal/platform/database"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
	"parley.chat/shared-migrations/schematest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func ref[T any](v T) *T { return &v }

// every returns one event of each kind that a row may hold, and messages with all fields and with
// the minimum.
func every(ch chat.ChannelID) []frame.Event {
	ann, bob := chat.NewUserID(), chat.NewUserID()
	at := chat.At(time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC))
	events := []frame.Event{
		{Type: event.Message, SenderName: "Ann", Body: "<b>\n\t\"x\" \\ \u2028 👍", Mentions: []chat.UserID{bob, ann}, ReplyTo: ref(chat.NewEventID())},
		{Type: event.Message, SenderName: "Ann", Body: "hi", Mentions: []chat.UserID{}},
		{Type: event.Edit, MessageID: ref(chat.NewEventID()), Body: "ho", Mentions: []chat.UserID{bob}},
		{Type: event.Edit, MessageID: ref(chat.NewEventID()), Body: "ho"},
		{Type: event.Delete, MessageID: ref(chat.NewEventID())},
		{Type: event.Reaction, MessageID: ref(chat.NewEventID()), Emoji: "👍"},
		{Type: event.Reaction, MessageID: ref(chat.NewEventID()), Emoji: "👍", Remove: true},
		{Type: event.Reaction, MessageID: ref(chat.NewEventID()), Emoji: "👍", Remove: true, RemovedBy: &bob},
		{Type: event.MemberJoined, UserID: &bob, Username: "bob"},
		{Type: event.MemberLeft, UserID: &ann, Username: "ann"},
		{Type: event.ChannelUpdated, Channel: json.RawMessage(`{"name":"<x>","topic":null,"n":1.50}`)},
		{Type: event.Gap, From: 3, To: 9},
		{Type: event.Failed},
		{Type: event.Lost},
		{Type: event.Noop},
	}
	for i := range events {
		e := &events[i]
		e.ChannelID, e.Seq, e.ID, e.SentAt = ch, int64(i+1), chat.NewEventID(), at
		switch e.Type {
		case event.Message, event.Edit, event.Delete, event.Reaction:
			e.SenderID, e.ClientID = ann, ref(chat.NewClientID())
		case event.MemberJoined, event.MemberLeft, event.ChannelUpdated:
			e.SenderID = ann
		}
	}
	return events
}

// store writes e as sync-service does: absent fields and empty data are NULL.
func store(t *testing.T, db *bun.DB, e frame.Event) {
	t.Helper()
	var client, target, data any
	if e.ClientID != nil {
		client = e.ClientID.UUID
	}
	if e.MessageID != nil {
		target = e.MessageID.UUID
	} else if e.UserID != nil {
		target = e.UserID.UUID
	}
	d := eventrow.Data{
		SenderName: e.SenderName, Username: e.Username, Mentions: e.Mentions, ReplyTo: e.ReplyTo,
		Emoji: e.Emoji, Remove: e.Remove, RemovedBy: e.RemovedBy, Channel: e.Channel, From: e.From, To: e.To,
	}
	if !d.Empty() {
		b, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		data = string(b)
	}
	if _, err := db.ExecContext(t.Context(), `insert into messages (channel_id, seq, id, kind, sender_id, client_id, target, body, data, sent_at)
		values (?, ?, ?, ?, ?, ?, ?, ?, ?::jsonb, ?)`,
		e.ChannelID.UUID, e.Seq, e.ID.UUID, string(e.Type), e.SenderID.UUID, client, target, e.Body, data, e.SentAt.Time); err != nil {
		t.Fatalf("store %s: %v", e.Type, err)
	}
}

func open(t *testing.T) *bun.DB {
	t.Helper()
	db, err := database.Open(schematest.Open(t).URL, database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func read(t *testing.T, db *bun.DB, ch chat.ChannelID) []eventrow.Row {
	t.Helper()
	var rows []eventrow.Row
	if err := db.NewSelect().Model(&rows).Where("channel_id = ?", ch).OrderExpr("seq").Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	return rows
}

// sameJSON compares two JSON texts, because jsonb may reorder keys.
func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// Readers of the history get the same frame that subscribers got.
func TestRow_readsBackAsTheEvent(t *testing.T) {
	t.Parallel()
	db := open(t)
	ch := chat.NewChannelID()
	events := every(ch)
	for _, e := range events {
		store(t, db, e)
	}
	rows := read(t, db, ch)
	if len(rows) != len(events) {
		t.Fatalf("%d rows, want %d", len(rows), len(events))
	}
	for i, want := range events {
		got, err := rows[i].Event()
		if err != nil {
			t.Errorf("%s: %v", want.Type, err)
			continue
		}
		gotFrame, err := got.Encode()
		if err != nil {
			t.Fatal(err)
		}
		wantFrame, err := want.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if want.Type == event.ChannelUpdated {
			if !sameJSON(gotFrame, wantFrame) { // jsonb sorts the keys
				t.Errorf("%s:\n got %s\nwant %s", want.Type, gotFrame, wantFrame)
			}
			continue
		}
		if !bytes.Equal(gotFrame, wantFrame) {
			t.Errorf("%s:\n got %s\nwant %s", want.Type, gotFrame, wantFrame)
		}
		if len(want.Mentions) == 0 { // an empty list is equivalent to an absent one
			want.Mentions = nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", want.Type, got, want)
		}
	}
}

// bun scans NULL and the JSON value null as empty, without an error.
func TestRow_nulls(t *testing.T) {
	t.Parallel()
	db := open(t)
	ch := chat.NewChannelID()
	for i, data := range []string{"null", "'null'::jsonb", "'{}'::jsonb", `'{"newer_field":[1]}'::jsonb`} {
		if _, err := db.ExecContext(t.Context(), `insert into messages (channel_id, seq, id, kind, sender_id, sent_at, data)
			values (?, ?, gen_random_uuid(), 'message', ?, now(), `+data+`)`, ch, i+1, uuid.Nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range read(t, db, ch) {
		e, err := r.Event()
		if err != nil || r.ClientID.Valid || r.Target.Valid || e.ClientID != nil || e.MessageID != nil || e.UserID != nil || !e.SenderID.IsZero() ||
			e.SenderName != "" || e.Mentions != nil || e.ID.IsZero() || e.ChannelID != ch {
			t.Errorf("row %d with data %s: %+v, %v", r.Seq, r.Data, e, err)
		}
	}
}

// bun can encode ids as arguments and in lists.
func TestRow_ids(t *testing.T) {
	t.Parallel()
	db := open(t)
	ch := chat.NewChannelID()
	events := every(ch)[:3]
	for _, e := range events {
		store(t, db, e)
	}
	var rows []eventrow.Row
	if err := db.NewSelect().Model(&rows).Where("id in ?", bun.Tuple([]chat.EventID{events[0].ID, events[2].ID})).OrderExpr("seq").Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2 || rows[0].ID != events[0].ID || rows[1].ID != events[2].ID {
		t.Errorf("%+v", rows)
	}
	var id chat.EventID
	var sender chat.UserID
	if err := db.NewSelect().Model((*eventrow.Row)(nil)).Column("id", "sender_id").Where("channel_id = ? and client_id = ?", ch, events[1].ClientID).Scan(t.Context(), &id, &sender); err != nil || id != events[1].ID || sender != events[1].SenderID {
		t.Errorf("%v, %v, %v", id, sender, err)
	}
}

func TestRow_badData(t *testing.T) {
	t.Parallel()
	for _, data := range []string{`[]`, `{"mentions":"x"}`, `{"reply_to":"x"}`, `{`} {
		r := eventrow.Row{ChannelID: chat.NewChannelID(), Seq: 7, Data: json.RawMessage(data)}
		if e, err := r.Event(); err == nil || !reflect.DeepEqual(e, frame.Event{}) || !strings.Contains(err.Error(), r.ChannelID.String()+"/7") {
			t.Errorf("data %s: %+v, %v; want an error that names the row", data, e, err)
		}
	}
}

// A name reads back unchanged, whatever characters it contains and whatever other data the row has.
func TestRow_names(t *testing.T) {
	t.Parallel()
	for _, data := range []string{
		`{"sender_name": "ann"}`, `{"sender_name": ""}`, `{"sender_name":"ann"}`, `{"sender_name": "a\"b"}`, `{"sender_name": "a\\"}`,
		`{"sender_name": "\u00fc"}`, `{"sender_name": "ünï"}`, `{"sender_name": "ann", "reply_to": null}`, `{"sender_name": "a", "username": "b"}`,
		`{"emoji": "x", "sender_name": "ann"}`, `{"sender_name": "ann", "x": {}}`, `{}`, `null`, ``,
	} {
		row := eventrow.Row{Kind: event.Message, Data: json.RawMessage(data)}
		got, err := row.Event()
		if err != nil {
			t.Errorf("%s: %v", data, err)
			continue
		}
		var want eventrow.Data
		if data != "" {
			if err := json.Unmarshal([]byte(data), &want); err != nil {
				t.Fatal(err)
			}
		}
		if got.SenderName != want.SenderName || got.Username != want.Username || got.Emoji != want.Emoji {
			t.Errorf("%s: %+v, want %+v", data, got, want)
		}
	}
	for _, bad := range []string{"{\"sender_name\": \"a\x01\"}", `{"sender_name": "a"b"}`, `{"sender_name": "`} {
		row := eventrow.Row{Kind: event.Message, Data: json.RawMessage(bad)}
		if _, err := row.Event(); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestData_empty(t *testing.T) {
	t.Parallel()
	if !(&eventrow.Data{}).Empty() || !(&eventrow.Data{Mentions: []chat.UserID{}}).Empty() {
		t.Error("nothing is empty")
	}
	typ := reflect.TypeFor[eventrow.Data]()
	for i := range typ.NumField() {
		var d eventrow.Data
		f := reflect.ValueOf(&d).Elem().Field(i)
		switch f.Kind() {
		case reflect.String:
			f.SetString("x")
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int64:
			f.SetInt(1)
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		case reflect.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
		default:
			t.Fatalf("field %s: a test for %s is missing", typ.Field(i).Name, f.Kind())
		}
		if d.Empty() {
			t.Errorf("with %s it is not empty", typ.Field(i).Name)
		}
	}
}
