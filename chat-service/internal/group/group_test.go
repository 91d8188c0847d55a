package group

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/uptrace/bun"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/chattest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// fixture is a Service without its HTTP API, with users.
type fixture struct {
	*Service
	*chattest.World
}

func newFixture(t testing.TB, users ...string) *fixture {
	t.Helper()
	w := chattest.Open(t, users...)
	return &fixture{New(w.DB, func() {}, false), w}
}

// state returns a group's members in short form, "ann owner, bob member", or "deleted".
func (f *fixture) state(group chat.GroupID) string {
	f.T.Helper()
	return f.Text(`select case when g.deleted_at is not null then 'deleted ' else '' end || coalesce((
			select string_agg(u.username || ' ' || m.role, ', ' order by m.joined_at) from group_members m join users u on u.id = m.user_id where m.group_id = g.id), '')
		from groups g where g.id = $1`, group.String())
}

// notices returns the notices about a group in the outbox, in short form: "removed bob".
func (f *fixture) notices(group chat.GroupID) string {
	f.T.Helper()
	return f.Text(`select string_agg((o.payload->>'change') || ' ' || u.username, ', ' order by o.id, u.username)
		from outbox o, jsonb_array_elements_text(o.payload->'user_ids') k (id) join users u on u.id = k.id::uuid
		where o.kind = 'group_changed' and o.subject_id = $1`, group.String())
}

// TestExpel_successor checks who owns a group after a member has left it.
func TestExpel_successor(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ann", "bob", "cyd", "dan")
	for name, tt := range map[string]struct {
		members []string // ann leaves
		want    string
	}{
		"an admin succeeds an earlier member":          {[]string{"ann owner", "bob member", "cyd admin"}, "bob member, cyd owner"},
		"the earliest admin succeeds":                  {[]string{"dan member", "ann owner", "cyd admin", "bob admin"}, "dan member, cyd owner, bob admin"},
		"without admins, the earliest member succeeds": {[]string{"cyd member", "ann owner", "bob member"}, "cyd owner, bob member"},
		"another owner stays":                          {[]string{"ann owner", "bob admin", "cyd owner"}, "bob admin, cyd owner"},
		"the last member deletes the group":            {[]string{"ann owner"}, "deleted "},
	} {
		group := f.Group(tt.members...)
		if err := f.expel(t.Context(), group, f.Claims("ann"), f.ID("ann")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := f.state(group); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
		if got := f.notices(group); got != "removed ann" {
			t.Errorf("%s: notices %q, want one for ann", name, got)
		}
	}
}

// TestExpel_lastOwnersConcurrently checks that a group with members has an owner and a group
// without members is deleted, even if two owners leave at the same time.
func TestExpel_lastOwnersConcurrently(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ann", "bob", "cyd")
	gate := f.Gate("outbox") // a member is removed before the notice is inserted, and the next owner found after it
	for i := range 2 {
		members, want := []string{"ann owner", "bob owner"}, "deleted "
		if i%2 == 0 {
			members, want = append(members, "cyd member"), "cyd owner"
		}
		group := f.Group(members...)
		gate.Close()
		var wg sync.WaitGroup
		for _, name := range []string{"ann", "bob"} {
			wg.Go(func() {
				if err := f.expel(t.Context(), group, f.Claims(name), f.ID(name)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		f.AwaitLocks(2) // one of them at the gate, the other there too or at the lock of the group
		gate.Open()
		wg.Wait()
		if got := f.state(group); got != want {
			t.Fatalf("round %d: %q, want %q", i, got, want)
		}
	}
}

// TestInsertMember_again checks that adding a member again neither changes their role nor notifies
// anybody.
func TestInsertMember_again(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ann", "bob")
	group := f.Group("ann owner")
	for _, role := range []chat.Role{chat.Admin, chat.Member} {
		m, invited, err := f.add(t.Context(), group, f.Claims("ann"), f.ID("bob"), role)
		if err != nil || invited != nil || m.Role != chat.Admin {
			t.Errorf("add as %s: %+v, %v, %v; want the first role", role, m, invited, err)
		}
	}
	if got := f.state(group) + "; " + f.notices(group); got != "ann owner, bob admin; added bob" {
		t.Errorf("members and notices: %s", got)
	}
}

// TestHidden checks that to a non-member, a group looks as if it did not exist, whether or not the
// user named in the request exists.
func TestHidden(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ann", "bob", "eve")
	group, deleted := f.Group("ann owner"), f.Group("eve owner")
	f.Exec("update groups set deleted_at = now() where id = $1", deleted.String())
	eve := f.Claims("eve")
	for name, id := range map[string]chat.GroupID{"another group": group, "a deleted group": deleted, "an unknown group": chat.NewGroupID()} {
		for what, do := range map[string]func() error{
			"get":             func() error { _, err := f.get(t.Context(), id, eve.UserID); return err },
			"add a user":      func() error { _, _, err := f.add(t.Context(), id, eve, f.ID("bob"), chat.Member); return err },
			"add nobody":      func() error { _, _, err := f.add(t.Context(), id, eve, chat.NewUserID(), chat.Member); return err },
			"remove a member": func() error { return f.expel(t.Context(), id, eve, f.ID("ann")) },
			"delete":          func() error { return f.remove(t.Context(), id, eve) },
		} {
			if err := do(); apierr.CodeOf(err) != apierr.NotFound || !strings.Contains(err.Error(), errNoGroup().Error()) {
				t.Errorf("%s: %s: %v, want %v", name, what, err, errNoGroup())
			}
		}
	}
}

// TestLeaveAll checks that a deleted account leaves all groups and their channels, and that no
// event contains the user's name.
func TestLeaveAll(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ann", "bob")
	shared, alone, other := f.Group("ann owner", "bob member"), f.Group("ann owner"), f.Group("bob owner")
	f.ChannelIn(&shared, chat.Public, "room", "ann owner")
	f.In(func(ctx context.Context, tx bun.Tx) error { return LeaveAll(ctx, tx, f.ID("ann")) })
	for group, want := range map[chat.GroupID]string{shared: "bob owner", alone: "deleted ", other: "bob owner"} {
		if got := f.state(group); got != want {
			t.Errorf("group %q, want %q", got, want)
		}
	}
	if got := f.Count("select count(*) from channel_members"); got != 0 {
		t.Errorf("%d memberships of channels are left", got)
	}
	if got := f.Text("select string_agg(payload->>'username', ',') from outbox where kind = 'member_left'"); got != "" {
		t.Errorf("an event names the user: %q", got)
	}
	if got := f.Count("select count(*) from outbox where kind = 'member_left'"); got != 1 {
		t.Errorf("%d events, want one", got)
	}
}
