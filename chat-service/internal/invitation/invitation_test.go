package invitation

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/uptrace/bun"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/platform/database"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-migrations/schematest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// fixture is a database with users.
type fixture struct {
	t     testing.TB
	db    *bun.DB
	pool  *pgxpool.Pool // connected as superuser
	users map[string]chat.UserID
}

func newFixture(t testing.TB, users ...string) *fixture {
	t.Helper()
	pg := schematest.Open(t)
	db, err := database.Open(pg.URL, database.Options{Role: "parley_chat", Inline: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	f := &fixture{t, db, pg.Pool(t), map[string]chat.UserID{}}
	for _, name := range users {
		f.users[name] = chat.NewUserID()
		f.exec("insert into users (id, username, email, password_hash) values ($1, $2::text, $2::text || '@example.com', '')", f.users[name].String(), name)
	}
	return f
}

func (f *fixture) exec(sql string, args ...any) {
	f.t.Helper()
	if _, err := f.pool.Exec(f.t.Context(), sql, args...); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
}

// channel inserts a channel with members.
func (f *fixture) channel(kind chat.ChannelKind, members ...string) chat.ChannelID {
	f.t.Helper()
	id := chat.NewChannelID()
	f.exec("insert into channels (id, kind, name) values ($1, $2, $3)", id.String(), string(kind), id.String())
	for _, m := range members {
		f.exec("insert into channel_members (channel_id, user_id) values ($1, $2)", id.String(), f.users[m].String())
	}
	return id
}

// invite invites a user into a channel.
func (f *fixture) invite(channel chat.ChannelID, by, user string) (inv Invitation, err error) {
	f.t.Helper()
	err = f.db.RunInTx(f.t.Context(), nil, func(ctx context.Context, tx bun.Tx) (err error) {
		inv, err = Add(ctx, tx, Invitation{ChannelID: &channel, UserID: f.users[user], InvitedBy: f.users[by], Role: chat.Member})
		return err
	})
	return inv, err
}

// notices returns and removes the notices in the outbox, in short form: "bob added, eve removed".
func (f *fixture) notices() string {
	f.t.Helper()
	var got *string
	err := f.pool.QueryRow(f.t.Context(), `with gone as (delete from outbox where kind = 'invited' returning id, subject_id, payload)
		select string_agg(u.username || ' ' || (g.payload->>'change'), ', ' order by u.username, g.id) from gone g join users u on u.id = g.subject_id`).Scan(&got)
	if err != nil {
		f.t.Fatal(err)
	}
	if got == nil {
		return ""
	}
	return *got
}

// TestAcquainted checks when two users count as knowing each other. Each case has its own users.
func TestAcquainted(t *testing.T) {
	t.Parallel()
	contact := func(mine, theirs string) func(*fixture) {
		return func(f *fixture) {
			for state, of := range map[string][2]string{mine: {"ann", "bob"}, theirs: {"bob", "ann"}} {
				if state = strings.TrimSpace(state); state != "" {
					f.exec("insert into contacts (user_id, contact_id, state) values ($1, $2, $3)", f.users[of[0]].String(), f.users[of[1]].String(), state)
				}
			}
		}
	}
	shared := func(kind chat.ChannelKind) func(*fixture) {
		return func(f *fixture) { f.channel(kind, "ann", "bob") }
	}
	for name, tt := range map[string]struct {
		make func(*fixture)
		want bool
	}{
		"nothing":                {func(*fixture) {}, false},
		"contacts":               {contact("accepted", "requested"), true},
		"a request by one":       {contact("requested", ""), false},
		"a request by the other": {contact("", "requested"), false},
		"blocked by one":         {contact("blocked", "accepted"), false},
		"blocked by the other":   {contact("accepted", "blocked"), false},
		"a private channel":      {shared(chat.Private), true},
		"a public channel":       {shared(chat.Public), false},
		"an unlisted channel":    {shared(chat.Unlisted), false},
		"two private channels":   {func(f *fixture) { f.channel(chat.Private, "ann"); f.channel(chat.Private, "bob") }, false},
		"a deleted channel": {func(f *fixture) {
			f.channel(chat.Private, "ann", "bob")
			f.exec("update channels set deleted_at = now()")
		}, false},
		"a direct channel": {func(f *fixture) {
			f.exec("select open_direct_channel($1, $2)", f.users["ann"].String(), f.users["bob"].String())
		}, false},
		"a channel with a third": {func(f *fixture) { f.channel(chat.Private, "ann", "eve"); f.channel(chat.Private, "bob", "eve") }, false},
		"a group": {func(f *fixture) {
			f.exec("with g as (insert into groups (id, name) values (gen_random_uuid(), 'team') returning id) insert into group_members (group_id, user_id, role) select g.id, u.id, 'member' from g, users u where u.username in ('ann', 'bob')")
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "ann", "bob", "eve")
			tt.make(f)
			for _, pair := range [][2]string{{"ann", "bob"}, {"bob", "ann"}} {
				if got, err := Acquainted(t.Context(), f.db, f.users[pair[0]], f.users[pair[1]]); err != nil || got != tt.want {
					t.Errorf("Acquainted(%s, %s) = %v, %v; want %v", pair[0], pair[1], got, err, tt.want)
				}
			}
		})
	}
}

// TestAdd_again checks when a user can be invited into the same channel again.
func TestAdd_again(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ann", "bob", "eve")
	room := f.channel(chat.Private, "ann")
	first, err := f.invite(room, "ann", "bob")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := f.invite(room, "eve", "bob"); err != nil || again.ID != first.ID || again.InvitedBy != f.users["ann"] {
		t.Errorf("while the invitation is open: %+v, %v; want the open one", again, err)
	}
	if got := f.notices(); got != "bob added" {
		t.Errorf("notices: %s, want one", got)
	}
	f.exec("update invitations set declined_at = now() - interval '29 days'")
	if _, err := f.invite(room, "ann", "bob"); apierr.CodeOf(err) != apierr.Conflict {
		t.Errorf("29 days after it was declined: %v, want a conflict", err)
	}
	if _, err := f.invite(f.channel(chat.Private, "ann"), "ann", "bob"); err != nil {
		t.Errorf("into another channel: %v", err)
	}
	f.exec("update invitations set declined_at = now() - interval '31 days' where declined_at is not null")
	if again, err := f.invite(room, "ann", "bob"); err != nil || again.ID == first.ID {
		t.Errorf("31 days after it was declined: %+v, %v; want a new one", again, err)
	}
}

// TestAdd_limits checks the limits on open invitations to one user. Declined invitations do not
// count.
func TestAdd_limits(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ann", "bob", "eve", "dan")
	fill := func(by string, n int) {
		t.Helper()
		f.exec(`with c as (insert into channels (kind, name) select 'private', 'room' from generate_series(1, $3) returning id)
			insert into invitations (id, channel_id, user_id, invited_by, role) select gen_random_uuid(), id, $1, $2, 'member' from c`,
			f.users["bob"].String(), f.users[by].String(), n)
	}
	refused := func(by string) bool {
		t.Helper()
		_, err := f.invite(f.channel(chat.Private, by), by, "bob")
		if err != nil && apierr.CodeOf(err) != apierr.Conflict {
			t.Fatal(err)
		}
		return err != nil
	}
	fill("ann", maxOpenByUser-1)
	if refused("ann") {
		t.Error("the last invitation within the limit of an inviter was refused")
	}
	if !refused("ann") || refused("eve") {
		t.Error("the limit of an inviter must be exact and concern nobody else")
	}
	f.exec("update invitations set declined_at = now() where invited_by = $1", f.users["ann"].String())
	if refused("ann") {
		t.Error("declined invitations count")
	}
	fill("dan", maxOpen-3) // two are open: one from ann and one from eve
	if refused("eve") {
		t.Error("the last invitation within the limit of a user was refused")
	}
	if !refused("eve") {
		t.Error("a user has more open invitations than the limit")
	}
}

// TestEnd checks which invitations end when a user enters a channel or deletes their account, and
// that each invited user is notified.
func TestEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ann", "bob", "eve")
	room, other := f.channel(chat.Private, "ann"), f.channel(chat.Private, "ann")
	must := func(_ Invitation, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(f.invite(room, "ann", "bob"))
	must(f.invite(room, "ann", "eve"))
	must(f.invite(other, "ann", "bob"))
	must(f.invite(f.channel(chat.Private, "eve"), "eve", "bob"))
	f.notices()
	in := func(do func(context.Context, bun.Tx) error) string {
		t.Helper()
		if err := f.db.RunInTx(t.Context(), nil, do); err != nil {
			t.Fatal(err)
		}
		return f.notices()
	}
	if got := in(func(ctx context.Context, tx bun.Tx) error {
		return FromChannel(ctx, tx, room, f.users["bob"], f.users["bob"])
	}); got != "bob removed" {
		t.Errorf("bob entered the channel: %q", got)
	}
	if got := in(func(ctx context.Context, tx bun.Tx) error {
		return FromGroup(ctx, tx, chat.NewGroupID(), f.users["bob"], f.users["bob"])
	}); got != "" {
		t.Errorf("bob entered a group: %q", got)
	}
	// The end of two of eve's invitations is announced: one that she got and one that she sent.
	if got := in(func(ctx context.Context, tx bun.Tx) error { return EndAll(ctx, tx, f.users["eve"]) }); got != "bob removed, eve removed" {
		t.Errorf("eve deleted her account: %q", got)
	}
	var left string
	if err := f.pool.QueryRow(t.Context(), "select string_agg(channel_id::text, ', ') from invitations").Scan(&left); err != nil || left != other.String() {
		t.Errorf("left: %s, %v; want that into the other channel", left, err)
	}
}
