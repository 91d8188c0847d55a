package channel

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/uptrace/bun"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/internal/platform/database"
	"parley.chat/internal/platform/names"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-migrations/schematest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const partitions = 16

// fixture is a Service without its HTTP API, with a real PostgreSQL and a real Redis.
type fixture struct {
	*Service
	t     testing.TB
	pool  *pgxpool.Pool // connected as superuser
	redis *redistest.Server
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	pg, r := schematest.Open(t), redistest.NewServer(t)
	db, err := database.Open(pg.URL, database.Options{Role: "parley_chat", MaxConns: 20, Inline: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	rdb := r.Client(t)
	s, err := New(Config{
		DB: db, Log: eventlog.New(rdb, partitions), Receipts: receiptlog.New(rdb, partitions), Limits: ratelimit.New(rdb, ratelimit.Config{Partitions: partitions}), Poke: func() {},
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{s, t, pg.Pool(t), r}
}

// user inserts a user and returns the claims of their token.
func (f *fixture) user(name string) token.Claims {
	f.t.Helper()
	id := chat.NewUserID()
	f.exec("insert into users (id, username, email, password_hash) values ($1, $2::text, $2::text || '@example.com', '')", id.String(), name)
	return token.Claims{UserID: id, Username: name}
}

// group inserts a group with members.
func (f *fixture) group(members ...token.Claims) chat.GroupID {
	f.t.Helper()
	id := chat.NewGroupID()
	f.exec("insert into groups (id, name) values ($1, 'team')", id.String())
	for _, m := range members {
		f.exec("insert into group_members (group_id, user_id, role) values ($1, $2, 'member')", id.String(), m.UserID.String())
	}
	return id
}

// channel inserts a channel of a group, which may be nil. members are "name role", in the order in
// which they joined.
func (f *fixture) channel(kind chat.ChannelKind, name string, group *chat.GroupID, members ...string) chat.ChannelID {
	f.t.Helper()
	id := chat.NewChannelID()
	var in *string
	if group != nil {
		in = new(group.String())
	}
	f.exec("insert into channels (id, kind, name, lookalike, group_id) values ($1, $2, $3, $4, $5)", id.String(), string(kind), name, names.Key(name), in)
	for i, m := range members {
		user, role, _ := strings.Cut(m, " ")
		f.exec(`insert into channel_members (channel_id, user_id, role, joined_at)
			select $1, id, $3, now() - interval '1 day' + $4 * interval '1 minute' from users where username = $2`, id.String(), user, role, i)
	}
	return id
}

func (f *fixture) exec(sql string, args ...any) {
	f.t.Helper()
	if _, err := f.pool.Exec(f.t.Context(), sql, args...); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
}

// text returns the single text that a query selects, "" for null.
func (f *fixture) text(sql string, args ...any) string {
	f.t.Helper()
	var got *string
	if err := f.pool.QueryRow(f.t.Context(), sql, args...).Scan(&got); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
	if got == nil {
		return ""
	}
	return *got
}

// members returns a channel's members in short form: "ann owner, bob member".
func (f *fixture) members(channel chat.ChannelID) string {
	f.t.Helper()
	return f.text(`select string_agg(u.username || ' ' || m.role, ', ' order by m.joined_at, u.username)
		from channel_members m join users u on u.id = m.user_id where m.channel_id = $1`, channel.String())
}

// outbox returns the rows of a channel that have not been published, in short form: the kind, the
// name of the subject, and the name in the payload.
func (f *fixture) outbox(channel chat.ChannelID) string {
	f.t.Helper()
	return f.text(`select string_agg(concat_ws(' ', o.kind, u.username, '"' || (o.payload->>'username') || '"', o.payload->'member'->>'role'), ', ' order by o.id)
		from outbox o left join users u on u.id = coalesce(o.subject_id, (o.payload->'member'->>'user_id')::uuid) where o.channel_id = $1`, channel.String())
}

// in runs a transaction.
func (f *fixture) in(do func(context.Context, bun.Tx) error) {
	f.t.Helper()
	if err := f.cfg.DB.RunInTx(f.t.Context(), nil, do); err != nil {
		f.t.Fatal(err)
	}
}

func wantCode(t testing.TB, what string, err error, code apierr.Code) {
	t.Helper()
	if err == nil || apierr.CodeOf(err) != code {
		t.Errorf("%s: error %v, want code %s", what, err, code)
	}
}

// TestAdmit checks the error that a non-member gets. The error must not reveal that a channel
// exists if the user cannot join it.
func TestAdmit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ann, bob, eve := f.user("ann"), f.user("bob"), f.user("eve")
	group := f.group(bob)
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
		id := f.channel(tt.kind, name, tt.group, "ann owner")
		for _, find := range []func(token.Claims) error{
			func(by token.Claims) error { _, err := Admit(t.Context(), f.cfg.DB, id, by.UserID); return err },
			func(by token.Claims) error {
				_, err := AdmitReader(t.Context(), f.cfg.DB, f.cfg.Log, id, by.UserID)
				return err
			},
		} {
			if err := find(ann); err != nil {
				t.Errorf("%s: a member: %v", name, err)
			}
			wantCode(t, name+": a member of the group", find(bob), tt.bob)
			wantCode(t, name+": another user", find(eve), tt.eve)
		}
		f.exec("update channels set deleted_at = now() where id = $1", id.String())
		_, err := Admit(t.Context(), f.cfg.DB, id, ann.UserID)
		wantCode(t, name+": a member of the deleted channel", err, apierr.NotFound)
		_, err = AdmitReader(t.Context(), f.cfg.DB, f.cfg.Log, id, ann.UserID)
		wantCode(t, name+": a reader of the deleted channel", err, apierr.NotFound)
	}
	_, err := Admit(t.Context(), f.cfg.DB, chat.NewChannelID(), ann.UserID)
	wantCode(t, "unknown channel", err, apierr.NotFound)
}

// TestAdmit_arriving checks that a member counts as arriving until their own member_joined event,
// and no other, has left the outbox.
func TestAdmit_arriving(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.user("ann")
	bob := f.user("bob")
	first, second := f.channel(chat.Public, "first", nil, "ann owner"), f.channel(chat.Public, "second", nil, "ann owner", "bob member")
	arriving := func(channel chat.ChannelID) bool {
		t.Helper()
		access, err := Admit(t.Context(), f.cfg.DB, channel, bob.UserID)
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
	f.exec("delete from outbox")
	f.exec("insert into outbox (kind, channel_id, subject_id, payload) select 'member_joined', $1, id, '{}' from users where username = 'ann'", first.String())
	if arriving(first) {
		t.Error("the event of another member counts")
	}
}

// TestAdmitReader_mark checks that the returned watermark belongs to the channel's partition.
func TestAdmitReader_mark(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ann := f.user("ann")
	id := f.channel(chat.Private, "room", nil, "ann owner")
	mark := func() string {
		t.Helper()
		m, err := AdmitReader(t.Context(), f.cfg.DB, f.cfg.Log, id, ann.UserID)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(m.MS, "-", m.Seq)
	}
	if got := mark(); got != "0-0" {
		t.Errorf("mark %s of a partition without a watermark, want 0-0", got)
	}
	for p := range partitions {
		f.exec("insert into sync_watermarks (partition, entry_ms, entry_seq) values ($1, $2, $3)", p, 1000+p, p)
	}
	p := f.cfg.Log.Partition(id.UUID)
	if want := fmt.Sprint(1000+p, "-", p); mark() != want {
		t.Errorf("mark %s, want %s of partition %d", mark(), want, p)
	}
}
