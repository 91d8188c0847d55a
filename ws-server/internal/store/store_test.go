package store_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/internal/platform/database"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
	"parley.chat/shared-migrations/schematest"
	"parley.chat/ws-server/internal/store"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// world is a Store with a gateway's privileges, on a database that the test fills as its owner.
type world struct {
	*store.Store
	t     *testing.T
	pool  *pgxpool.Pool
	close func() error // ends the Store's connections
}

func newWorld(t *testing.T) *world {
	t.Helper()
	pg := schematest.Open(t)
	db, err := database.Open(pg.URL, database.Options{Role: "parley_ws"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &world{Store: store.New(db), t: t, pool: pg.Pool(t), close: db.Close}
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.pool.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) user() chat.UserID {
	w.t.Helper()
	id := chat.NewUserID()
	name := "u" + strings.ReplaceAll(id.String(), "-", "")
	w.exec(`insert into users (id, username, email, password_hash) values ($1, $2, $3, 'x')`, id.UUID, name, name+"@example.test")
	return id
}

func (w *world) channel(kind chat.ChannelKind, members ...chat.UserID) chat.ChannelID {
	w.t.Helper()
	id := chat.NewChannelID()
	w.exec(`insert into channels (id, kind, name) values ($1, $2, $3)`, id.UUID, string(kind), "c-"+id.String())
	for _, m := range members {
		w.join(id, m, chat.Member)
	}
	return id
}

func (w *world) join(c chat.ChannelID, u chat.UserID, role chat.Role) {
	w.t.Helper()
	w.exec(`insert into channel_members (channel_id, user_id, role) values ($1, $2, $3)`, c.UUID, u.UUID, string(role))
}

func (w *world) block(user, other chat.UserID) {
	w.t.Helper()
	w.exec(`insert into contacts (user_id, contact_id, state) values ($1, $2, 'blocked')`, user.UUID, other.UUID)
}

// event stores an event sent at the given minute.
func (w *world) event(c chat.ChannelID, seq int64, kind event.Kind, sender chat.UserID, minute int) chat.EventID {
	w.t.Helper()
	id := chat.NewEventID()
	w.exec(`insert into messages (channel_id, seq, id, kind, sender_id, body, sent_at) values ($1, $2, $3, $4, $5, $6, $7)`,
		c.UUID, seq, id.UUID, string(kind), sender.UUID, fmt.Sprint("text ", seq), minuteOf(minute))
	return id
}

func minuteOf(n int) time.Time { return time.Date(2026, 1, 2, 3, n, 0, 0, time.UTC) }

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// Access and Membership must agree, because a gateway uses the result of either one.
func TestAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.user(), w.user()
	plain := w.channel(chat.Public, bob)
	deleted := w.channel(chat.Public, ann)
	w.exec(`update channels set deleted_at = now() where id = $1`, deleted.UUID)
	late := w.channel(chat.Private, bob)
	w.exec(`insert into channel_members (channel_id, user_id, joined_seq) values ($1, $2, 41)`, late.UUID, ann.UUID)
	arriving := w.channel(chat.Private, ann, bob)
	w.exec(`insert into outbox (kind, channel_id, subject_id) values ('member_joined', $1, $2)`, arriving.UUID, ann.UUID)
	w.exec(`insert into outbox (kind, channel_id, subject_id) values ('member_left', $1, $2)`, late.UUID, ann.UUID)
	quiet := w.channel(chat.Private, ann)
	w.exec(`update channels set mention_all = 'admins' where id = $1`, quiet.UUID)
	owned := w.channel(chat.Private)
	w.join(owned, ann, chat.Owner)
	w.exec(`update channels set mention_all = 'admins' where id = $1`, owned.UUID)
	direct := must(w.OpenDirect(t.Context(), ann, bob))(t)
	group := chat.NewGroupID()
	w.exec(`insert into groups (id, name) values ($1, 'g')`, group.UUID)
	inGroup := w.channel(chat.Public)
	w.exec(`update channels set group_id = $1 where id = $2`, group.UUID, inGroup.UUID)
	w.exec(`insert into group_members (group_id, user_id) values ($1, $2)`, group.UUID, bob.UUID)

	type test struct {
		name    string
		user    chat.UserID
		channel chat.ChannelID
		want    store.Access
		refused apierr.Code // the error from Membership, if the user is not a member
	}
	tests := []test{
		{"a stranger sees a public channel", ann, plain, store.Access{Announced: true, Visible: true}, apierr.Forbidden},
		{"a stranger sees an unlisted channel", ann, w.channel(chat.Unlisted, bob), store.Access{Announced: true, Visible: true}, apierr.Forbidden},
		{"a stranger does not see a private channel", ann, w.channel(chat.Private, bob), store.Access{Announced: true}, apierr.NotFound},
		{"there is no such channel", ann, chat.NewChannelID(), store.Access{}, apierr.NotFound},
		{"a deleted channel has no members", ann, deleted, store.Access{}, apierr.NotFound},
		{"a member", bob, plain, store.Access{Role: chat.Member, Announced: true, Visible: true, CallsAll: true}, ""},
		{"a member who joined late", ann, late, store.Access{Role: chat.Member, Announced: true, CallsAll: true, JoinedSeq: 41}, ""},
		{"a member whose event is in the outbox", ann, arriving, store.Access{Role: chat.Member, CallsAll: true}, ""},
		{"another member of that channel", bob, arriving, store.Access{Role: chat.Member, Announced: true, CallsAll: true}, ""},
		{"a member where only admins mention all", ann, quiet, store.Access{Role: chat.Member, Announced: true}, ""},
		{"the owner where only admins mention all", ann, owned, store.Access{Role: chat.Owner, Announced: true, CallsAll: true}, ""},
		{"one user of a direct channel", ann, direct, store.Access{Role: chat.Member, Peer: bob, Announced: true, CallsAll: true}, ""},
		{"the other user of a direct channel", bob, direct, store.Access{Role: chat.Member, Peer: ann, Announced: true, CallsAll: true}, ""},
		{"a member of the group sees its channels", bob, inGroup, store.Access{Announced: true, Visible: true}, apierr.Forbidden},
		{"other users do not", ann, inGroup, store.Access{Announced: true}, apierr.NotFound},
	}
	var keys []chat.MemberKey
	for _, test := range tests {
		keys = append(keys, chat.MemberKey{Channel: test.channel, User: test.user})
	}
	found := must(w.Access(t.Context(), keys))(t)
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if found[i] != test.want {
				t.Errorf("access %+v, want %+v", found[i], test.want)
			}
			m, err := w.Membership(t.Context(), test.user, test.channel)
			if test.refused != "" {
				if apierr.CodeOf(err) != test.refused {
					t.Errorf("membership: %v, want %s", err, test.refused)
				}
				return
			}
			want := test.want
			want.Visible = false // Membership reports only on members
			if got := m.Access(); err != nil || got != want || m.ChannelID != test.channel {
				t.Errorf("membership %+v, %v; want %+v", got, err, want)
			}
		})
	}
}

func TestMemberships_areInTheOrderOfUsersNewestFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, eve := w.user(), w.user(), w.user()
	var channels []chat.ChannelID
	for i := range 3 {
		c := w.channel(chat.Public)
		w.exec(`insert into channel_members (channel_id, user_id, joined_at, last_delivered_seq, last_read_seq) values ($1, $2, $3, 9, 7)`, c.UUID, ann.UUID, minuteOf(i))
		channels = append(channels, c)
	}
	w.exec(`update channels set deleted_at = now() where id = $1`, channels[1].UUID)
	direct := must(w.OpenDirect(t.Context(), ann, bob))(t)
	w.exec(`update channel_members set joined_at = $1`+` where channel_id = $2`, minuteOf(50), direct.UUID)

	lists := must(w.Memberships(t.Context(), []chat.UserID{bob, eve, ann}))(t)
	if len(lists) != 3 || len(lists[0]) != 1 || len(lists[1]) != 0 {
		t.Fatalf("got %d lists: %+v", len(lists), lists)
	}
	if got := lists[0][0]; got.ChannelID != direct || got.PeerID == nil || *got.PeerID != ann || got.Kind != chat.Direct {
		t.Errorf("bob's membership %+v, want the direct channel with ann", got)
	}
	var got []chat.ChannelID
	for _, m := range lists[2] {
		got = append(got, m.ChannelID)
	}
	if want := []chat.ChannelID{direct, channels[2], channels[0]}; !slices.Equal(got, want) {
		t.Errorf("ann's channels %v, want %v", got, want)
	}
	if m := lists[2][1]; m.LastDeliveredSeq != 9 || m.LastReadSeq != 7 || m.Name != "c-"+channels[2].String() || m.PeerID != nil {
		t.Errorf("membership %+v, want receipts 9 and 7", m)
	}
	one := must(w.Membership(t.Context(), ann, channels[2]))(t)
	if one != lists[2][1] {
		t.Errorf("Membership returns %+v, Memberships %+v", one, lists[2][1])
	}
}

func TestOpenDirect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, eve := w.user(), w.user(), w.user()
	w.block(eve, ann)
	first := must(w.OpenDirect(t.Context(), ann, bob))(t)
	if again := must(w.OpenDirect(t.Context(), bob, ann))(t); again != first {
		t.Errorf("the other user got channel %s, not %s", again, first)
	}
	for name, test := range map[string]struct {
		to   chat.UserID
		want apierr.Code
	}{
		"with oneself":                {ann, apierr.BadFrame},
		"with a user who has blocked": {eve, apierr.Forbidden},
		"with nobody":                 {chat.NewUserID(), apierr.NotFound},
	} {
		if _, err := w.OpenDirect(t.Context(), ann, test.to); apierr.CodeOf(err) != test.want {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
}

func TestBlocks_countInBothDirections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, eve, dan := w.user(), w.user(), w.user(), w.user()
	w.block(ann, bob)
	w.block(eve, ann)
	w.exec(`insert into contacts (user_id, contact_id, state) values ($1, $2, 'accepted')`, ann.UUID, dan.UUID)
	got := must(w.Blocks(t.Context(), []chat.UserID{dan, ann, bob}))(t)
	byID := func(a, b chat.UserID) int { return strings.Compare(a.String(), b.String()) }
	want := []chat.UserID{bob, eve}
	slices.SortFunc(want, byID)
	slices.SortFunc(got[1], byID)
	if len(got[0]) != 0 || !slices.Equal(got[1], want) || !slices.Equal(got[2], []chat.UserID{ann}) {
		t.Errorf("dan %v, ann %v, bob %v; want none, bob and eve, ann", got[0], got[1], got[2])
	}
}

func TestCommon(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.user(), w.user()
	both := w.channel(chat.Private, ann, bob)
	w.channel(chat.Private, ann)
	w.channel(chat.Private, bob)
	if got := must(w.Common(t.Context(), ann, bob))(t); !slices.Equal(got, []chat.ChannelID{both}) {
		t.Errorf("common channels %v, want %s", got, both)
	}
}

func TestRange_returnsStoredEventsInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// If PostgreSQL does not use the index, it returns the rows in the order in which they were
	// stored.
	w.exec(`do $$ begin execute format('alter database %I set enable_indexscan = off', current_database()); end $$`)
	c, other, ann := chat.NewChannelID(), chat.NewChannelID(), chat.NewUserID()
	for _, seq := range []int64{5, 2, 3, 1, 7} {
		w.event(c, seq, event.Message, ann, int(seq))
	}
	w.event(other, 4, event.Message, ann, 0)
	var got []int64
	for _, e := range must(w.Range(t.Context(), c, 2, 5))(t) {
		if e.ChannelID != c || e.SenderID != ann || e.Body != fmt.Sprint("text ", e.Seq) || !e.SentAt.Equal(minuteOf(int(e.Seq))) {
			t.Errorf("event %+v", e)
		}
		got = append(got, e.Seq)
	}
	if want := []int64{2, 3, 5}; !slices.Equal(got, want) {
		t.Errorf("seqs %v, want %v", got, want)
	}
	for channel, want := range map[chat.ChannelID]int64{c: 7, other: 4, chat.NewChannelID(): 0} {
		if got := must(w.MaxSeq(t.Context(), channel))(t); got != want {
			t.Errorf("highest seq %d, want %d", got, want)
		}
	}
}

func TestRange_reportsAnUnreadableRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := chat.NewChannelID()
	w.event(c, 1, event.Message, chat.NewUserID(), 0)
	w.exec(`update messages set data = '[]'`)
	if _, err := w.Range(t.Context(), c, 1, 1); err == nil || !strings.Contains(err.Error(), c.String()+"/1") {
		t.Errorf("%v, want an error that names the row", err)
	}
}

func TestMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, ann := chat.NewChannelID(), chat.NewUserID()
	id := w.event(c, 3, event.Message, ann, 4)
	edit := w.event(c, 4, event.Edit, ann, 5)
	got := must(w.Message(t.Context(), c, id))(t)
	if got.Seq != 3 || got.Kind != event.Message || got.SenderID != ann || !got.SentAt.Equal(minuteOf(4)) {
		t.Errorf("%+v", got)
	}
	for name, key := range map[string]struct {
		channel chat.ChannelID
		id      chat.EventID
	}{
		"an edit is not a message": {c, edit}, "no such event": {c, chat.NewEventID()}, "in another channel": {chat.NewChannelID(), id},
	} {
		if _, err := w.Message(t.Context(), key.channel, key.id); apierr.CodeOf(err) != apierr.NotFound {
			t.Errorf("%s: %v, want not_found", name, err)
		}
	}
}

func TestDeleted_isTrueOnceTheDeletionIsStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, edited, deleted := chat.NewChannelID(), chat.NewEventID(), chat.NewEventID()
	w.exec(`insert into message_states (channel_id, message_id, edit_seq) values ($1, $2, 5)`, c.UUID, edited.UUID)
	w.exec(`insert into message_states (channel_id, message_id, delete_seq) values ($1, $2, 6)`, c.UUID, deleted.UUID)
	for id, want := range map[chat.EventID]bool{edited: false, deleted: true, chat.NewEventID(): false} {
		if got := must(w.Deleted(t.Context(), c, id))(t); got != want {
			t.Errorf("deleted: %v, want %v", got, want)
		}
	}
	if must(w.Deleted(t.Context(), chat.NewChannelID(), deleted))(t) {
		t.Error("the message counts as deleted in another channel")
	}
}

func TestReactions_countEachEmojiOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, m, ann, bob := chat.NewChannelID(), chat.NewEventID(), chat.NewUserID(), chat.NewUserID()
	add := func(message chat.EventID, emoji string, user chat.UserID, removed bool) {
		w.exec(`insert into message_reactions (channel_id, message_id, emoji, user_id, seq, removed, reacted_at) values ($1, $2, $3, $4, 1, $5, now())`,
			c.UUID, message.UUID, emoji, user.UUID, removed)
	}
	add(m, "both", ann, false)
	add(m, "both", bob, true)
	add(m, "removed", ann, true)
	add(m, "his", bob, false)
	add(chat.NewEventID(), "elsewhere", ann, false)
	got := map[string]store.Reaction{}
	list := must(w.Reactions(t.Context(), c, m, ann))(t)
	for _, r := range list {
		got[r.Emoji] = r
	}
	want := map[string]store.Reaction{
		"both": {Emoji: "both", Active: true, Own: true}, "removed": {Emoji: "removed", Own: true}, "his": {Emoji: "his", Active: true},
	}
	if len(list) != len(want) || !maps.Equal(got, want) {
		t.Errorf("got %+v, want %+v", list, want)
	}
}

func TestCountMembers_stopsAtTheLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	two := w.channel(chat.Public, w.user(), w.user())
	five := w.channel(chat.Public, w.user(), w.user(), w.user(), w.user(), w.user())
	got := must(w.CountMembers(t.Context(), []chat.ChannelID{five, chat.NewChannelID(), two}, 3))(t)
	if want := []int{3, 0, 2}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestReceipts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.user(), w.user()
	c := w.channel(chat.Public, ann, bob)
	other := w.channel(chat.Public, ann)
	w.exec(`update channel_members set last_delivered_seq = 9, last_read_seq = 4 where channel_id = $1 and user_id = $2`, c.UUID, bob.UUID)
	w.exec(`update channel_members set last_delivered_seq = 2 where channel_id = $1`, other.UUID)
	all := must(w.Receipts(t.Context(), c))(t)
	if want := (map[chat.UserID]receiptlog.Receipt{ann: {}, bob: {Delivered: 9, Read: 4}}); !maps.Equal(all, want) {
		t.Errorf("receipts of the channel %v, want %v", all, want)
	}
	got := must(w.ReceiptsOf(t.Context(), []chat.MemberKey{{Channel: other, User: bob}, {Channel: c, User: bob}, {Channel: other, User: ann}}))(t)
	if want := []receiptlog.Receipt{{}, {Delivered: 9, Read: 4}, {Delivered: 2}}; !slices.Equal(got, want) {
		t.Errorf("receipts %v, want %v", got, want)
	}
}

func TestNewest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, other, empty, ann := chat.NewChannelID(), chat.NewChannelID(), chat.NewChannelID(), chat.NewUserID()
	w.event(c, 1, event.Message, ann, 1)
	w.event(c, 2, event.Message, ann, 2)
	w.event(c, 3, event.Edit, ann, 3)
	w.event(other, 1, event.MemberJoined, ann, 7)
	times := must(w.NewestAt(t.Context(), []chat.ChannelID{other, empty, c}))(t)
	if !times[0].Equal(minuteOf(7)) || !times[1].IsZero() || !times[2].Equal(minuteOf(3)) {
		t.Errorf("newest events at %v", times)
	}
	if times := must(w.NewestAt(t.Context(), nil))(t); len(times) != 0 {
		t.Errorf("times %v without channels", times)
	}
	for upTo, want := range map[int64]int64{10: 2, 2: 2, 1: 1, 0: 0} {
		if got := must(w.NewestMessage(t.Context(), c, upTo))(t); got.Seq != want {
			t.Errorf("the newest message up to %d is %d, want %d", upTo, got.Seq, want)
		}
	}
	if got := must(w.NewestMessage(t.Context(), other, 10))(t); got.Seq != 0 {
		t.Errorf("the newest message is %+v, want none", got)
	}
}

func TestErased_returnsNewAndUnfinishedDeletions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if users, newest, err := w.Erased(t.Context(), time.Time{}); err != nil || len(users) != 0 || !newest.IsZero() {
		t.Errorf("without deletions: %v, %v, %v", users, newest, err)
	}
	add := func(minute int, scrubbed bool) chat.UserID {
		u := w.user()
		w.exec(`insert into erasures (user_id, erased_at, scrubbed_at) values ($1, $2, case when $3 then now() end)`, u.UUID, minuteOf(minute), scrubbed)
		return u
	}
	unfinished := add(1, false)
	add(2, true)
	recent := add(3, true)
	both := add(4, false)
	users, newest, err := w.Erased(t.Context(), minuteOf(2))
	if err != nil {
		t.Fatal(err)
	}
	if !newest.Equal(minuteOf(4)) {
		t.Errorf("the newest deletion is at %v, want %v", newest, minuteOf(4))
	}
	if len(users) != 3 || !slices.Contains(users, unfinished) || !slices.Contains(users, recent) || !slices.Contains(users, both) {
		t.Errorf("deleted accounts %v, want %v, each once", users, []chat.UserID{unfinished, recent, both})
	}
}

func TestTokenKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if keys, err := w.TokenKeys(t.Context()); err == nil {
		t.Errorf("no error without keys, but %v", keys)
	}
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.exec(`insert into token_keys (kid, public_key) values ('k1', $1)`, []byte(public))
	keys := must(w.TokenKeys(t.Context()))(t)
	if len(keys) != 1 || !public.Equal(keys["k1"]) {
		t.Errorf("keys %v", keys)
	}
}

// Clients get `unavailable`, without details about the database, and retry.
func TestStore_isUnavailableWithoutPostgreSQL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	c, u, e := chat.NewChannelID(), chat.NewUserID(), chat.NewEventID()
	for name, call := range map[string]func(ctx context.Context) error{
		"Access": func(ctx context.Context) error {
			_, err := w.Access(ctx, []chat.MemberKey{{Channel: c, User: u}})
			return err
		},
		"Blocks":      func(ctx context.Context) error { _, err := w.Blocks(ctx, []chat.UserID{u}); return err },
		"Common":      func(ctx context.Context) error { _, err := w.Common(ctx, u, u); return err },
		"Memberships": func(ctx context.Context) error { _, err := w.Memberships(ctx, []chat.UserID{u}); return err },
		"Membership":  func(ctx context.Context) error { _, err := w.Membership(ctx, u, c); return err },
		"OpenDirect":  func(ctx context.Context) error { _, err := w.OpenDirect(ctx, u, chat.NewUserID()); return err },
		"Message":     func(ctx context.Context) error { _, err := w.Message(ctx, c, e); return err },
		"Deleted":     func(ctx context.Context) error { _, err := w.Deleted(ctx, c, e); return err },
		"Reactions":   func(ctx context.Context) error { _, err := w.Reactions(ctx, c, e, u); return err },
		"NewestAt":    func(ctx context.Context) error { _, err := w.NewestAt(ctx, []chat.ChannelID{c}); return err },
	} {
		if err := call(t.Context()); apierr.CodeOf(err) != apierr.Unavailable {
			t.Errorf("%s: %v, want unavailable", name, err)
		}
	}
	for name, call := range map[string]func(ctx context.Context) error{
		"Range":        func(ctx context.Context) error { _, err := w.Range(ctx, c, 1, 2); return err },
		"MaxSeq":       func(ctx context.Context) error { _, err := w.MaxSeq(ctx, c); return err },
		"CountMembers": func(ctx context.Context) error { _, err := w.CountMembers(ctx, []chat.ChannelID{c}, 1); return err },
		"Receipts":     func(ctx context.Context) error { _, err := w.Receipts(ctx, c); return err },
		"ReceiptsOf": func(ctx context.Context) error {
			_, err := w.ReceiptsOf(ctx, []chat.MemberKey{{Channel: c, User: u}})
			return err
		},
		"NewestMessage": func(ctx context.Context) error { _, err := w.NewestMessage(ctx, c, 1); return err },
		"Erased":        func(ctx context.Context) error { _, _, err := w.Erased(ctx, time.Time{}); return err },
		"TokenKeys":     func(ctx context.Context) error { _, err := w.TokenKeys(ctx); return err },
	} {
		if err := call(t.Context()); err == nil {
			t.Errorf("%s succeeds without a database", name)
		}
	}
}
