package chatservice_test

import (
	"fmt"
	"testing"
)

// TestBan checks that a banned user cannot enter a channel in any way until the ban is lifted.
func TestBan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, cyd := w.signup("ann"), w.signup("bob"), w.signup("cyd")
	var group struct{ ID string }
	w.do("POST", "/v1/groups", ann, object{"name": "crew"}).into(t, 201, &group)
	w.do("POST", "/v1/groups/"+group.ID+"/members", ann, object{"user_id": bob.ID}).must(t, 200)
	for _, kind := range []string{"public", "unlisted", "private", "group"} {
		var c summary
		if kind == "group" {
			w.do("POST", "/v1/groups/"+group.ID+"/channels", ann, object{"name": "deck", "kind": "public"}).into(t, 201, &c)
		} else {
			c = w.create(ann, kind, kind)
		}
		w.do("POST", path(c.ID)+"/members", ann, object{"user_id": bob.ID}).must(t, 200)
		w.do("DELETE", path(c.ID)+"/members/"+bob.ID.String()+"?ban=true", ann, nil).must(t, 204)

		want := map[bool]int{false: 403, true: 404}[kind == "private"]
		if a := w.do("POST", path(c.ID)+"/join", bob, nil); a.status != want {
			t.Errorf("%s: join by the banned user: %d %s, want %d", kind, a.status, a.body, want)
		}
		w.do("POST", path(c.ID)+"/members", ann, object{"user_id": bob.ID}).want(t, 409, "conflict")
		if n := w.Count("select count(*) from channel_members where channel_id = $1 and user_id = $2", c.ID.String(), bob.ID.String()); n != 0 {
			t.Errorf("%s: the banned user is a member", kind)
		}
		var bans struct {
			Items []struct {
				UserID   string `json:"user_id"`
				BannedBy string `json:"banned_by"`
			}
		}
		w.do("GET", path(c.ID)+"/bans", ann, nil).into(t, 200, &bans)
		if got := fmt.Sprint(bans.Items); got != fmt.Sprintf("[{%s %s}]", bob.ID, ann.ID) {
			t.Errorf("%s: bans %s", kind, got)
		}
		w.do("DELETE", path(c.ID)+"/bans/"+bob.ID.String(), ann, nil).must(t, 204)
		w.do("POST", path(c.ID)+"/members", ann, object{"user_id": bob.ID}).must(t, 200)
	}
	// A non-member can be banned. A removal without ban=true bans nobody.
	c := w.create(ann, "general", "public")
	w.do("PUT", path(c.ID)+"/bans/"+cyd.ID.String(), ann, nil).must(t, 204)
	w.do("PUT", path(c.ID)+"/bans/"+cyd.ID.String(), ann, nil).must(t, 204)
	w.do("POST", path(c.ID)+"/join", cyd, nil).want(t, 403, "forbidden")
	w.join(bob, c.ID)
	w.do("DELETE", path(c.ID)+"/members/"+bob.ID.String(), ann, nil).must(t, 204)
	w.join(bob, c.ID)
	w.do("DELETE", path(c.ID)+"/members/"+ann.ID.String()+"?ban=true", ann, nil).want(t, 422, "invalid_request")
}
