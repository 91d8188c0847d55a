package channel

import (
	"fmt"
	"log/slog"
	"testing"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/chattest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// fixture is a Service without its HTTP API, with a real PostgreSQL and a real Redis.
type fixture struct {
	*Service
	*chattest.World
}

func newFixture(t testing.TB, users ...string) *fixture {
	t.Helper()
	w := chattest.OpenWithRedis(t, users...)
	s, err := New(Config{
		DB: w.DB, Log: w.Log, Receipts: w.Receipts, Limits: ratelimit.New(w.RDB, ratelimit.Config{Partitions: chattest.Partitions}), Poke: func() {},
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{s, w}
}

// members returns a channel's members in short form: "ann owner, bob member".
func (f *fixture) members(channel chat.ChannelID) string {
	f.T.Helper()
	return f.Text(`select string_agg(u.username || ' ' || m.role, ', ' order by m.joined_at, u.username)
		from channel_members m join users u on u.id = m.user_id where m.channel_id = $1`, channel.String())
}

// outbox returns the rows of a channel that have not been published, in short form: the kind, the
// name of the subject, and the name in the payload.
func (f *fixture) outbox(channel chat.ChannelID) string {
	f.T.Helper()
	return f.Text(`select string_agg(concat_ws(' ', o.kind, u.username, '"' || (o.payload->>'username') || '"', o.payload->'member'->>'role'), ', ' order by o.id)
		from outbox o left join users u on u.id = coalesce(o.subject_id, (o.payload->'member'->>'user_id')::uuid) where o.channel_id = $1`, channel.String())
}

// TestAdmit checks the error that a non-member gets. The error must not reveal that a channel
// exists if the user cannot join it.
func TestAdmit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ann, bob, eve := f.User("ann"), f.User("bob"), f.User("eve")
	group := f.Group("bob")
	const hidden, visible = apierr.NotFound, apierr.Forbidden
	for name, tt := range map[string]struct {
		kind     chat.ChannelKind
		group    *chat.GroupID
		bob, eve apierr.Code // bob is a member of the group, eve is not
	}{
		"public":                {chat.Public, nil, visible, visible},
		"unlisted":              {chat.Unlisted, nil, visible, visible},
		"private":               {chat.Private, nil, hidden, hidden},
		"public in the group":   {chat.Public, &group, visible, hidden},
		"unlisted in the group": {chat.Unlisted, &group, visible, hidden},
		"private in the group":  {chat.Private, &group, hidden, hidden},
	} {
		id := f.ChannelIn(tt.group, tt.kind, name, "ann owner")
		for _, find := range []func(token.Claims) error{
			func(by token.Claims) error { _, err := Admit(t.Context(), f.DB, id, by.UserID); return err },
			func(by token.Claims) error {
				_, err := AdmitReader(t.Context(), f.DB, f.Log, id, by.UserID)
				return err
			},
		} {
			if err := find(ann); err != nil {
				t.Errorf("%s: a member: %v", name, err)
			}
			f.WantCode(name+": a member of the group", find(bob), tt.bob)
			f.WantCode(name+": another user", find(eve), tt.eve)
		}
		f.Exec("update channels set deleted_at = now() where id = $1", id.String())
		_, err := Admit(t.Context(), f.DB, id, ann.UserID)
		f.WantCode(name+": a member of the deleted channel", err, apierr.NotFound)
		_, err = AdmitReader(t.Context(), f.DB, f.Log, id, ann.UserID)
		f.WantCode(name+": a reader of the deleted channel", err, apierr.NotFound)
	}
	_, err := Admit(t.Context(), f.DB, chat.NewChannelID(), ann.UserID)
	f.WantCode("unknown channel", err, apierr.NotFound)
}

// TestAdmit_arriving checks that a member counts as arriving until their own member_joined event,
// and no other, has left the outbox.
func TestAdmit_arriving(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ann")
	bob := f.User("bob")
	first, second := f.Channel(chat.Public, "first", "ann owner"), f.Channel(chat.Public, "second", "ann owner", "bob member")
	arriving := func(channel chat.ChannelID) bool {
		t.Helper()
		access, err := Admit(t.Context(), f.DB, channel, bob.UserID)
		if err != nil {
			t.Fatal(err)
		}
		return access.Arriving
	}
	if err := f.join(t.Context(), first, bob); err != nil {
		t.Fatal(err)
	}
	if !arriving(first) || arriving(second) {
		t.Errorf("arriving = %v and %v, want only the first", arriving(first), arriving(second))
	}
	f.Exec("delete from outbox")
	f.Exec("insert into outbox (kind, channel_id, subject_id, payload) select 'member_joined', $1, id, '{}' from users where username = 'ann'", first.String())
	if arriving(first) {
		t.Error("the event of another member counts")
	}
}

// TestAdmitReader_mark checks that the returned watermark belongs to the channel's partition.
func TestAdmitReader_mark(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ann := f.User("ann")
	id := f.Channel(chat.Private, "room", "ann owner")
	mark := func() string {
		t.Helper()
		m, err := AdmitReader(t.Context(), f.DB, f.Log, id, ann.UserID)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(m.MS, "-", m.Seq)
	}
	if got := mark(); got != "0-0" {
		t.Errorf("mark %s of a partition without a watermark, want 0-0", got)
	}
	for p := range chattest.Partitions {
		f.Exec("insert into sync_watermarks (partition, entry_ms, entry_seq) values ($1, $2, $3)", p, 1000+p, p)
	}
	p := f.Log.Partition(id.UUID)
	if want := fmt.Sprint(1000+p, "-", p); mark() != want {
		t.Errorf("mark %s, want %s of partition %d", mark(), want, p)
	}
}
