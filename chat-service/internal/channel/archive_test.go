package channel

import (
	"errors"
	"testing"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

// TestRestore checks which users can become the owner of which archived channels, and that a
// refused restore changes nothing.
func TestRestore(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "ann", "bob", "gone")
	f.Exec("update users set deleted_at = now() where username = 'gone'")
	archived := func(name string, group *chat.GroupID) chat.ChannelID {
		t.Helper()
		id := f.ChannelIn(group, chat.Public, name, "ann owner")
		f.Exec("delete from channel_members where channel_id = $1", id.String())
		return id
	}
	group := f.Group("ann")
	open, inGroup, deleted := archived("open", nil), archived("crew", &group), archived("deleted", nil)
	f.Exec("update channels set deleted_at = now() where id = $1", deleted.String())
	active := f.Channel(chat.Public, "lobby", "bob owner")
	f.Messages(open, 7)

	for name, tt := range map[string]struct {
		channel     chat.ChannelID
		owner, name string
		check       func(error) bool
	}{
		"unknown user":           {open, "nobody", "", func(err error) bool { return err != nil }},
		"deleted user":           {open, "gone", "", func(err error) bool { return err != nil }},
		"active channel":         {active, "ann", "", func(err error) bool { return errors.Is(err, ErrNotArchived) }},
		"deleted channel":        {deleted, "ann", "", func(err error) bool { return errors.Is(err, ErrNotArchived) }},
		"unknown channel":        {chat.NewChannelID(), "ann", "", func(err error) bool { return errors.Is(err, ErrNotArchived) }},
		"user outside the group": {inGroup, "bob", "", func(err error) bool { return apierr.CodeOf(err) == apierr.Forbidden }},
		"name in use":            {open, "ann", "LOBBY", func(err error) bool { return apierr.CodeOf(err) == apierr.NameTaken }},
		"lookalike of a name":    {open, "ann", "l0bby", func(err error) bool { return apierr.CodeOf(err) == apierr.NameTaken }},
	} {
		if err := Restore(t.Context(), f.DB, tt.channel, tt.owner, tt.name); !tt.check(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	list, err := ListArchived(t.Context(), f.DB)
	if err != nil || len(list) != 2 || list[0].Name != "crew" || list[1].Name != "open" {
		t.Errorf("archived = %+v, %v; want crew, then open", list, err)
	}
	if got := f.members(active); got != "bob owner" {
		t.Errorf("members of the active channel: %s", got)
	}

	if err := Restore(t.Context(), f.DB, open, "BOB", "reopened"); err != nil {
		t.Fatal(err)
	}
	if err := Restore(t.Context(), f.DB, inGroup, "ann", ""); err != nil {
		t.Fatal(err)
	}
	if got := f.members(open) + "; " + f.outbox(open); got != `bob owner; member_joined bob "bob"` {
		t.Errorf("members and outbox of the restored channel: %s", got)
	}
	if got := f.Text("select name || ' ' || joined_seq from channels c join channel_members m on m.channel_id = c.id where c.id = $1", open.String()); got != "reopened 7" {
		t.Errorf("name and first unread seq: %s, want reopened 7", got)
	}
	if access, err := Admit(t.Context(), f.DB, open, f.ID("bob")); err != nil || access.Role != chat.Owner {
		t.Errorf("the new owner: %+v, %v", access, err)
	}
	if list, err := ListArchived(t.Context(), f.DB); err != nil || len(list) != 0 {
		t.Errorf("archived = %+v, %v; want none", list, err)
	}
}
