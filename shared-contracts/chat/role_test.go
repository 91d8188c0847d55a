package chat_test

import (
	"strings"
	"testing"

	"parley.chat/shared-contracts/chat"
)

var roles = []chat.Role{"", chat.Member, chat.Admin, chat.Owner, "emperor"}

// TestRole_May contains the table of all permissions.
func TestRole_May(t *testing.T) {
	for action, allowed := range map[chat.Action]string{
		chat.Read:          "member admin owner",
		chat.Post:          "member admin owner",
		chat.Leave:         "member admin owner",
		chat.Invite:        "admin owner",
		chat.Describe:      "admin owner",
		chat.Moderate:      "admin owner",
		chat.AddChannels:   "admin owner",
		chat.RemoveMembers: "admin owner",
		chat.Close:         "owner",
		chat.ChangeRoles:   "owner",
		"conquer":          "",
	} {
		for _, role := range roles {
			want := role != "" && strings.Contains(" "+allowed+" ", " "+string(role)+" ")
			if got := role.May(action); got != want {
				t.Errorf("%q.May(%s) = %v, want %v", role, action, got, want)
			}
			for _, kind := range []chat.ChannelKind{chat.Public, chat.Unlisted, chat.Private} {
				if got := role.MayIn(kind, action); got != want {
					t.Errorf("%q.MayIn(%s, %s) = %v, want %v", role, kind, action, got, want)
				}
			}
			wantDirect := want && (action == chat.Read || action == chat.Post)
			if got := role.MayIn(chat.Direct, action); got != wantDirect {
				t.Errorf("%q.MayIn(direct, %s) = %v, want %v", role, action, got, wantDirect)
			}
		}
	}
}

func TestRole_MayRemove(t *testing.T) {
	may := map[[2]chat.Role]bool{
		{chat.Owner, chat.Owner}: true, {chat.Owner, chat.Admin}: true, {chat.Owner, chat.Member}: true,
		{chat.Admin, chat.Member}: true,
		{chat.Owner, ""}:          true, {chat.Admin, ""}: true, // harmless: the other user is not a member
		{chat.Owner, "emperor"}: true, {chat.Admin, "emperor"}: true,
	}
	for _, by := range roles {
		for _, other := range roles {
			if got := by.MayRemove(other); got != may[[2]chat.Role{by, other}] {
				t.Errorf("%q.MayRemove(%q) = %v", by, other, got)
			}
		}
	}
}

func TestRole_MayGrant(t *testing.T) {
	for _, by := range roles {
		for _, from := range roles {
			for _, to := range roles {
				want := by == chat.Owner && from.Valid() && to.Valid()
				if got := by.MayGrant(from, to); got != want {
					t.Errorf("%q.MayGrant(%q, %q) = %v, want %v", by, from, to, got, want)
				}
			}
		}
	}
}
