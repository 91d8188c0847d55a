package chatservice_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/notice"
)

type group struct {
	ID          chat.GroupID `json:"id"`
	Name        string       `json:"name"`
	Role        string       `json:"role"`
	MemberCount int          `json:"member_count"`
}

func (w *world) group(by user, name string, members map[user]string) group {
	w.T.Helper()
	var g group
	w.do("POST", "/v1/groups", by, object{"name": name}).into(w.T, 201, &g)
	for u, role := range members {
		w.do("POST", "/v1/groups/"+g.ID.String()+"/members", by, object{"user_id": u.ID, "role": role}).must(w.T, 200)
	}
	return g
}

// channelIn creates a channel in a group.
func (w *world) channelIn(by user, g group, name, kind string) summary {
	w.T.Helper()
	var s summary
	w.do("POST", "/v1/groups/"+g.ID.String()+"/channels", by, object{"name": name, "kind": kind}).into(w.T, 201, &s)
	return s
}

func TestGroup_lifecycle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, cyd, eve := w.signup("ann"), w.signup("bob"), w.signup("cyd"), w.signup("eve")
	w.Settled()
	next := w.notices(bob)
	a := w.do("POST", "/v1/groups", ann, object{"name": " Team ", "description": "us"})
	var g group
	a.into(t, 201, &g)
	at := "/v1/groups/" + g.ID.String()
	if g.Name != "Team" || g.Role != "owner" || g.MemberCount != 1 || a.header.Get("Location") != at {
		t.Errorf("created %s at %s", a.body, a.header.Get("Location"))
	}
	for _, blank := range []string{"  ", "\u200b\ufeff"} {
		w.do("POST", "/v1/groups", ann, object{"name": blank}).want(t, 422, "invalid_request")
	}
	w.do("GET", at, eve, nil).want(t, 404, "not_found")
	w.do("POST", at+"/members", eve, object{"user_id": eve.ID}).want(t, 404, "not_found")
	w.do("POST", at+"/members", ann, object{"user_id": chat.NewUserID()}).want(t, 404, "not_found")
	w.do("POST", at+"/members", ann, object{"user_id": bob.ID, "role": "admin"}).must(t, 200)
	if n := next(); n.Kind != notice.GroupChanged || n.Change != "added" || *n.GroupID != g.ID {
		t.Errorf("notice = %+v", n)
	}
	w.do("POST", at+"/members", bob, object{"user_id": cyd.ID}).must(t, 200)
	w.do("POST", at+"/members", bob, object{"user_id": eve.ID, "role": "admin"}).want(t, 403, "forbidden")
	w.do("POST", at+"/members", cyd, object{"user_id": eve.ID}).want(t, 403, "forbidden")
	w.do("PATCH", at, cyd, object{"name": "x"}).want(t, 403, "forbidden")
	w.do("PATCH", at, bob, object{"name": "Crew", "description": nil}).into(t, 200, &g)
	if g.Name != "Crew" || g.MemberCount != 3 || g.Role != "admin" {
		t.Errorf("changed: %+v", g)
	}
	if n := next(); n.Change != "updated" {
		t.Errorf("notice = %+v", n)
	}
	w.do("PATCH", at+"/members/"+ann.ID.String(), ann, object{"role": "member"}).want(t, 409, "conflict")
	w.do("PATCH", at+"/members/"+cyd.ID.String(), bob, object{"role": "admin"}).want(t, 403, "forbidden")
	w.do("DELETE", at+"/members/"+ann.ID.String(), bob, nil).want(t, 403, "forbidden")
	w.do("DELETE", at, bob, nil).want(t, 403, "forbidden")
	var page memberPage
	w.get(at+"/members", cyd.Token).into(t, 200, &page)
	if len(page.Items) != 3 {
		t.Errorf("members: %+v", page.Items)
	}
	general := w.channelIn(ann, g, "general", "public")
	w.join(bob, general.ID)
	// When the owner leaves, the longest-standing admin becomes owner of the group and its channel.
	w.do("DELETE", at+"/members/"+ann.ID.String(), ann, nil).must(t, 204)
	w.do("GET", at, bob, nil).into(t, 200, &g)
	if g.Role != "owner" || w.roles(bob, general.ID) != "bob owner" {
		t.Errorf("after the owner left: %+v; %s", g, w.roles(bob, general.ID))
	}
	w.do("DELETE", at, bob, nil).must(t, 204)
	w.do("GET", at, bob, nil).want(t, 404, "not_found")
	w.get(path(general.ID), bob.Token).want(t, 404, "not_found")
}

func TestGroup_lists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	var want []string
	for i := range 5 {
		want = append(want, w.group(ann, fmt.Sprint("Team ", i), nil).Name)
	}
	w.group(bob, "others", nil)
	var got []string
	for next := ""; ; {
		var page struct {
			Items []group
			Next  *string `json:"next_cursor"`
		}
		w.get("/v1/groups?limit=2"+next, ann.Token).into(t, 200, &page)
		for _, g := range page.Items {
			got = append(got, g.Name)
		}
		if page.Next == nil {
			break
		}
		next = "&cursor=" + *page.Next
	}
	if !slices.Equal(got, want) {
		t.Errorf("ann's groups = %v, want %v", got, want)
	}
}

// TestGroup_channels checks who can see and join the channels of a group.
func TestGroup_channels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, eve := w.signup("ann"), w.signup("bob"), w.signup("eve")
	g := w.group(ann, "team", map[user]string{bob: "member"})
	at := "/v1/groups/" + g.ID.String() + "/channels"
	w.do("POST", at, bob, object{"name": "x", "kind": "public"}).want(t, 403, "forbidden")
	w.do("POST", at, eve, object{"name": "x", "kind": "public"}).want(t, 404, "not_found")
	public, unlisted, private := w.channelIn(ann, g, "public", "public"), w.channelIn(ann, g, "unlisted", "unlisted"), w.channelIn(ann, g, "private", "private")
	w.do("POST", at, ann, object{"name": "PRIVATE", "kind": "public"}).want(t, 409, "name_taken")
	names := func(u user, path string) string {
		t.Helper()
		var page struct{ Items []summary }
		w.get(path, u.Token).into(t, 200, &page)
		var list []string
		for _, c := range page.Items {
			list = append(list, c.Name)
		}
		return strings.Join(list, " ")
	}
	w.get(at, eve.Token).want(t, 404, "not_found")
	if got := names(bob, at); got != "public unlisted" {
		t.Errorf("a member sees %s", got)
	}
	if got := names(ann, at); got != "private public unlisted" {
		t.Errorf("the owner sees %s", got)
	}
	if got := names(eve, "/v1/channels"); got != "" {
		t.Errorf("the public list shows %s", got)
	}
	for _, c := range []summary{public, unlisted, private} {
		w.get(path(c.ID), eve.Token).want(t, 404, "not_found")
		w.do("POST", path(c.ID)+"/join", eve, nil).want(t, 404, "not_found")
	}
	w.join(bob, public.ID)
	w.join(bob, unlisted.ID)
	w.do("POST", path(private.ID)+"/join", bob, nil).want(t, 404, "not_found") // private channels need an invitation, even in a group
	w.do("POST", path(private.ID)+"/members", ann, object{"user_id": eve.ID}).want(t, 403, "forbidden")
	w.add(ann, private.ID, bob, "member")
	// A user removed from the group is also removed from its channels.
	w.do("DELETE", "/v1/groups/"+g.ID.String()+"/members/"+bob.ID.String(), ann, nil).must(t, 204)
	for _, c := range []summary{public, unlisted, private} {
		w.get(path(c.ID), bob.Token).want(t, 404, "not_found")
	}
	w.Settled()
	if got := w.EventLog(private.ID); got != "1 member_joined ann, 2 member_joined bob, 3 member_left bob" {
		t.Errorf("events: %s", got)
	}
}

// TestGroup_joinWhileBeingRemoved checks that a user removed from a group is not left in one
// of its channels.
func TestGroup_joinWhileBeingRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	g := w.group(ann, "team", nil)
	c := w.channelIn(ann, g, "general", "public")
	at := "/v1/groups/" + g.ID.String() + "/members"
	for i := range 15 {
		w.do("POST", at, ann, object{"user_id": bob.ID}).must(t, 200)
		got := w.together(
			request{method: "POST", path: path(c.ID) + "/join", token: bob.Token},
			request{method: "POST", path: path(c.ID) + "/members", token: ann.Token, body: object{"user_id": bob.ID}},
			request{method: "DELETE", path: at + "/" + bob.ID.String(), token: ann.Token},
		)
		if n := w.Count("select count(*) from channel_members where user_id = $1", bob.ID.String()); n != 0 {
			t.Fatalf("round %d: after %v the user is still in a channel of the group", i, got)
		}
	}
}

// TestGroup_channelWhileBeingDeleted checks that a deleted group has no channels left.
func TestGroup_channelWhileBeingDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	for i := range 8 {
		g := w.group(ann, "team", map[user]string{bob: "admin"})
		at := "/v1/groups/" + g.ID.String()
		c := w.channelIn(ann, g, "general", "public")
		got := w.together(
			request{method: "POST", path: at + "/channels", token: bob.Token, body: object{"name": "new", "kind": "public"}},
			request{method: "POST", path: path(c.ID) + "/join", token: bob.Token},
			request{method: "DELETE", path: at, token: ann.Token},
		)
		if n := w.Count("select count(*) from channels where group_id = $1 and deleted_at is null", g.ID.String()); n != 0 {
			t.Fatalf("round %d: after %v, %d channels are left", i, got, n)
		}
	}
}
