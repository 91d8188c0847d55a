package roster_test

import (
	"errors"
	"testing"

	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/chattest"
	"parley.chat/chat-service/internal/roster"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// TestSet checks that the pages contain every member of the channel or group once, and nobody else,
// and that a cursor is valid only for the list that issued it.
func TestSet(t *testing.T) {
	t.Parallel()
	w := chattest.Open(t, "ann", "bob", "cyd", "dan")
	group := w.Group("bob", "cyd", "dan")
	channel := w.Channel(chat.Public, "room", "ann owner", "bob member", "cyd admin")
	w.Channel(chat.Public, "another room", "dan owner")
	var cursors []*string
	for name, tt := range map[string]struct {
		set   roster.Set
		roles map[string]chat.Role
		other string
	}{
		"channel": {roster.OfChannel(channel), map[string]chat.Role{"ann": chat.Owner, "bob": chat.Member, "cyd": chat.Admin}, "dan"},
		"group":   {roster.OfGroup(group), map[string]chat.Role{"bob": chat.Member, "cyd": chat.Member, "dan": chat.Member}, "ann"},
	} {
		first, err := tt.set.Page(t.Context(), w.DB, nil, 2)
		if err != nil || len(first.Items) != 2 || first.NextCursor == nil {
			t.Fatalf("%s: the first page is %+v, %v; want 2 members and a cursor", name, first, err)
		}
		last, err := tt.set.Page(t.Context(), w.DB, first.NextCursor, 2)
		if err != nil || len(last.Items) != 1 || last.NextCursor != nil {
			t.Fatalf("%s: the last page is %+v, %v; want 1 member and no cursor", name, last, err)
		}
		cursors = append(cursors, first.NextCursor)
		listed := map[string]chat.Role{}
		for _, m := range append(first.Items, last.Items...) {
			listed[m.Username] = m.Role
			if got, err := tt.set.Get(t.Context(), w.DB, m.UserID); err != nil || got != m || m.UserID != w.ID(m.Username) || m.JoinedAt.Time.IsZero() {
				t.Errorf("%s: Get returns %+v, %v; the page %+v", name, got, err, m)
			}
		}
		for user, role := range tt.roles {
			if listed[user] != role {
				t.Errorf("%s: %s is listed as %q, want %q", name, user, listed[user], role)
			}
		}
		if _, err := tt.set.Get(t.Context(), w.DB, w.ID(tt.other)); !errors.Is(err, roster.ErrNone) {
			t.Errorf("%s: a user who is not a member: %v", name, err)
		}
	}
	for _, set := range []roster.Set{roster.OfChannel(channel), roster.OfGroup(group)} {
		refused := 0
		for _, c := range cursors {
			if _, err := set.Page(t.Context(), w.DB, c, 2); err != nil {
				refused++
			}
		}
		if refused != 1 {
			t.Errorf("%d of the two cursors are refused, want that of the other list", refused)
		}
	}
}
