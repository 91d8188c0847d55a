package chatservice_test

import (
	"testing"

	"parley.chat/shared-contracts/chat"
)

// TestArchive checks that a channel of any kind is archived when its last member leaves or deletes
// their account. After that, nobody can join it or read its history.
func TestArchive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, eve := w.signup("ann"), w.signup("bob"), w.signup("eve")
	var group struct{ ID string }
	w.do("POST", "/v1/groups", ann, object{"name": "crew"}).into(t, 201, &group)
	for _, u := range []user{bob, eve} {
		w.do("POST", "/v1/groups/"+group.ID+"/members", ann, object{"user_id": u.ID}).must(t, 200)
	}
	gone := map[string]chat.ChannelID{}
	for _, kind := range []string{"public", "unlisted", "private"} {
		c := w.create(bob, kind, kind)
		w.do("POST", path(c.ID)+"/messages", bob, object{"body": "a secret"}).must(t, 201)
		w.do("POST", path(c.ID)+"/leave", bob, nil).must(t, 204)
		gone[kind] = c.ID
	}
	var c summary
	w.do("POST", "/v1/channels", ann, object{"name": "deck", "kind": "public", "group_id": group.ID}).into(t, 201, &c)
	w.do("POST", path(c.ID)+"/leave", ann, nil).must(t, 204)
	gone["group"] = c.ID
	gone["account"] = w.create(bob, "account", "public").ID
	w.do("DELETE", "/v1/me", bob, object{"password": goodPassword}).must(t, 204)

	for kind, id := range gone {
		w.do("POST", path(id)+"/join", eve, nil).want(t, 404, "not_found")
		w.do("GET", path(id)+"/messages", eve, nil).want(t, 404, "not_found")
		if n := w.Count("select count(*) from channels where id = $1 and archived_at is not null", id.String()); n != 1 {
			t.Errorf("%s: not archived", kind)
		}
	}
	var page struct{ Items []summary }
	for _, list := range []string{"/v1/channels", "/v1/groups/" + group.ID + "/channels"} {
		w.do("GET", list, eve, nil).into(t, 200, &page)
		if len(page.Items) != 0 {
			t.Errorf("%s lists %v", list, page.Items)
		}
	}
	w.create(eve, "public", "public") // the name can be used again
}
