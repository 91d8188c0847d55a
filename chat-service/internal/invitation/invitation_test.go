package invitation

import (
	"context"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/chattest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// fixture is a database with users.
type fixture struct{ *chattest.World }

func newFixture(t testing.TB, users ...string) *fixture {
	t.Helper()
	return &fixture{chattest.Open(t, users...)}
}

// invite invites a user into a channel.
func (f *fixture) invite(channel chat.ChannelID, by, user string) (inv Invitation, err error) {
	f.T.Helper()
	err = f.DB.RunInTx(f.T.Context(), nil, func(ctx context.Context, tx bun.Tx) (err error) {
		inv, err = Add(ctx, tx, Invitation{ChannelID: &channel, UserID: f.ID(user), InvitedBy: f.ID(by), Role: chat.Member})
		return err
	})
	return inv, err
}

// notices returns and removes the notices in the outbox, in short form: "bob added, eve removed".
func (f *fixture) notices() string {
	f.T.Helper()
	return f.Text(`with gone as (delete from outbox where kind = 'invited' returning id, subject_id, payload)
		select string_agg(u.username || ' ' || (g.payload->>'change'), ', ' order by u.username, g.id) from gone g join users u on u.id = g.subject_id`)
}

// TestAcquainted checks when two users count as knowing each other. Each case has its own users.
func TestAcquainted(t *testing.T) {
	t.Parallel()
	contact := func(mine, theirs string) func(*fixture) {
		return func(f *fixture) {
			for state, of := range map[string][2]string{mine: {"ann", "bob"}, theirs: {"bob", "ann"}} {
				if state = strings.TrimSpace(state); state != "" {
					f.Contact(of[0], of[1], state)
				}
			}
		}
	}
	shared := func(kind chat.ChannelKind) func(*fixture) {
		return func(f *fixture) { f.Channel(kind, "room", "ann", "bob") }
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
		"two private channels":   {func(f *fixture) { f.Channel(chat.Private, "room", "ann"); f.Channel(chat.Private, "room", "bob") }, false},
		"a deleted channel": {func(f *fixture) {
			f.Channel(chat.Private, "room", "ann", "bob")
			f.Exec("update channels set deleted_at = now()")
		}, false},
		"a direct channel": {func(f *fixture) { f.Direct("ann", "bob") }, false},
		"a channel with a third": {func(f *fixture) {
			f.Channel(chat.Private, "room", "ann", "eve")
			f.Channel(chat.Private, "room", "bob", "eve")
		}, false},
		"a group": {func(f *fixture) { f.Group("ann", "bob") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "ann", "bob", "eve")
			tt.make(f)
			for _, pair := range [][2]string{{"ann", "bob"}, {"bob", "ann"}} {
				if got, err := Acquainted(t.Context(), f.DB, f.ID(pair[0]), f.ID(pair[1])); err != nil || got != tt.want {
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
	room := f.Channel(chat.Private, "room", "ann")
	first, err := f.invite(room, "ann", "bob")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := f.invite(room, "eve", "bob"); err != nil || again.ID != first.ID || again.InvitedBy != f.ID("ann") {
		t.Errorf("while the invitation is open: %+v, %v; want the open one", again, err)
	}
	if got := f.notices(); got != "bob added" {
		t.Errorf("notices: %s, want one", got)
	}
	f.Exec("update invitations set declined_at = now() - interval '29 days'")
	if _, err := f.invite(room, "ann", "bob"); apierr.CodeOf(err) != apierr.Conflict {
		t.Errorf("29 days after it was declined: %v, want a conflict", err)
	}
	if _, err := f.invite(f.Channel(chat.Private, "room", "ann"), "ann", "bob"); err != nil {
		t.Errorf("into another channel: %v", err)
	}
	f.Exec("update invitations set declined_at = now() - interval '31 days' where declined_at is not null")
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
		f.Exec(`with c as (insert into channels (kind, name) select 'private', 'room' from generate_series(1, $3) returning id)
			insert into invitations (id, channel_id, user_id, invited_by, role) select gen_random_uuid(), id, $1, $2, 'member' from c`,
			f.ID("bob").String(), f.ID(by).String(), n)
	}
	refused := func(by string) bool {
		t.Helper()
		_, err := f.invite(f.Channel(chat.Private, "room", by), by, "bob")
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
	f.Exec("update invitations set declined_at = now() where invited_by = $1", f.ID("ann").String())
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
	room, other := f.Channel(chat.Private, "room", "ann"), f.Channel(chat.Private, "room", "ann")
	must := func(_ Invitation, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(f.invite(room, "ann", "bob"))
	must(f.invite(room, "ann", "eve"))
	must(f.invite(other, "ann", "bob"))
	must(f.invite(f.Channel(chat.Private, "room", "eve"), "eve", "bob"))
	f.notices()
	in := func(do func(context.Context, bun.Tx) error) string {
		t.Helper()
		f.In(do)
		return f.notices()
	}
	if got := in(func(ctx context.Context, tx bun.Tx) error {
		return FromChannel(ctx, tx, room, f.ID("bob"), f.ID("bob"))
	}); got != "bob removed" {
		t.Errorf("bob entered the channel: %q", got)
	}
	if got := in(func(ctx context.Context, tx bun.Tx) error {
		return FromGroup(ctx, tx, chat.NewGroupID(), f.ID("bob"), f.ID("bob"))
	}); got != "" {
		t.Errorf("bob entered a group: %q", got)
	}
	// The end of two of eve's invitations is announced: one that she got and one that she sent.
	if got := in(func(ctx context.Context, tx bun.Tx) error { return EndAll(ctx, tx, f.ID("eve")) }); got != "bob removed, eve removed" {
		t.Errorf("eve deleted her account: %q", got)
	}
	if left := f.Text("select string_agg(channel_id::text, ', ') from invitations"); left != other.String() {
		t.Errorf("left: %s, want that into the other channel", left)
	}
}
