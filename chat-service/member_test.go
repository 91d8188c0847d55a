package chatservice_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/event"
)

type member struct {
	UserID   chat.UserID `json:"user_id"`
	Username string      `json:"username"`
	Role     string      `json:"role"`
}

type memberPage struct {
	Items []member `json:"items"`
	Next  *string  `json:"next_cursor"`
}

func (w *world) do(method, path string, by user, body any) answer {
	w.T.Helper()
	return w.send(request{method: method, path: path, token: by.Token, body: body})
}

// must fails the test unless the response has the given status.
func (a answer) must(t testing.TB, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d %s, want %d", a.status, a.body, status)
	}
	return a
}

func path(id fmt.Stringer) string { return "/v1/channels/" + id.String() }

// add adds a member with a role.
func (w *world) add(by user, channel chat.ChannelID, other user, role string) {
	w.T.Helper()
	w.do("POST", path(channel)+"/members", by, object{"user_id": other.ID, "role": role}).must(w.T, 200)
}

// roles returns the members of a channel with their roles, in short form.
func (w *world) roles(by user, channel chat.ChannelID) string {
	w.T.Helper()
	var page memberPage
	w.get(path(channel)+"/members?limit=200", by.Token).into(w.T, 200, &page)
	var list []string
	for _, m := range page.Items {
		list = append(list, m.Username+" "+m.Role)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func TestMembers_addToPrivateChannel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, cyd, dan := w.signup("ann"), w.signup("bob"), w.signup("cyd"), w.signup("dan")
	c := w.create(ann, "secret", "private")
	members := path(c.ID) + "/members"
	w.do("POST", members, bob, object{"user_id": bob.ID}).want(t, 404, "not_found")
	w.do("POST", members, ann, object{"user_id": chat.NewUserID()}).want(t, 404, "not_found")
	w.add(ann, c.ID, bob, "admin")
	w.add(bob, c.ID, cyd, "member")
	w.do("POST", members, bob, object{"user_id": dan.ID, "role": "admin"}).want(t, 403, "forbidden")
	w.do("POST", members, cyd, object{"user_id": dan.ID}).want(t, 403, "forbidden")
	// Adding an existing member does not change their role.
	var m member
	w.do("POST", members, ann, object{"user_id": cyd.ID, "role": "owner"}).into(t, 200, &m)
	if m.Role != "member" || m.Username != "cyd" {
		t.Errorf("added twice: %+v", m)
	}
	// A user cannot be added by somebody they have blocked.
	w.do("POST", "/v1/contacts/"+bob.ID.String()+"/block", dan, nil).must(t, 204)
	w.do("POST", members, bob, object{"user_id": dan.ID}).want(t, 403, "forbidden")
	w.add(ann, c.ID, dan, "member")
	if got := w.roles(ann, c.ID); got != "ann owner, bob admin, cyd member, dan member" {
		t.Errorf("members: %s", got)
	}
	w.Settled()
	if got := w.EventLog(c.ID); got != "1 member_joined ann, 2 member_joined bob, 3 member_joined cyd, 4 member_joined dan" {
		t.Errorf("events: %s", got)
	}
	if e := w.Events(c.ID)[2]; e.SenderID != bob.ID || *e.UserID != cyd.ID {
		t.Errorf("event = %+v, want the join of cyd by bob", e)
	}
}

func TestMembers_removeAndRoles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, cyd, dan := w.signup("ann"), w.signup("bob"), w.signup("cyd"), w.signup("dan")
	c := w.create(ann, "general", "public")
	for u, role := range map[user]string{bob: "admin", cyd: "admin", dan: "member"} {
		w.add(ann, c.ID, u, role)
	}
	at := func(u user) string { return path(c.ID) + "/members/" + u.ID.String() }
	w.do("DELETE", at(cyd), bob, nil).want(t, 403, "forbidden")
	w.do("DELETE", at(ann), bob, nil).want(t, 403, "forbidden")
	w.do("DELETE", at(bob), dan, nil).want(t, 403, "forbidden")
	w.do("PATCH", at(dan), bob, object{"role": "admin"}).want(t, 403, "forbidden")
	w.do("PATCH", at(ann), ann, object{"role": "member"}).want(t, 409, "conflict")
	w.do("DELETE", at(user{ID: chat.NewUserID()}), ann, nil).want(t, 404, "not_found")
	w.do("PATCH", at(user{ID: chat.NewUserID()}), ann, object{"role": "admin"}).want(t, 404, "not_found")
	w.do("DELETE", at(dan), bob, nil).must(t, 204)
	w.do("DELETE", at(dan), bob, nil).want(t, 404, "not_found")
	w.get(path(c.ID), dan.Token).want(t, 403, "forbidden")
	var m member
	w.do("PATCH", at(bob), ann, object{"role": "owner"}).into(t, 200, &m)
	if m.Role != "owner" {
		t.Errorf("after the promotion: %+v", m)
	}
	w.do("PATCH", at(ann), ann, object{"role": "admin"}).must(t, 200)
	w.do("DELETE", at(cyd), bob, nil).must(t, 204)
	w.do("DELETE", at(bob), bob, nil).must(t, 204) // a member who removes themselves leaves
	if got := w.roles(ann, c.ID); got != "ann owner" {
		t.Errorf("members: %s", got)
	}
	if n := w.Count("select member_count from channels where id = $1", c.ID.String()); n != 1 {
		t.Errorf("member_count = %d", n)
	}
	w.Settled()
	var kinds []string
	for _, e := range w.Events(c.ID) {
		kinds = append(kinds, string(e.Type)+" "+e.Username)
	}
	if got := strings.Join(kinds[4:], ", "); got != "member_left dan, channel_updated , channel_updated , member_left cyd, member_left bob, channel_updated " {
		t.Errorf("events: %s", got)
	}
}

func TestMembers_pages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("ann")
	c := w.create(ann, "general", "public")
	w.Exec(`with u as (insert into users (id, username, email, password_hash)
		select gen_random_uuid(), 'user-' || n, n || '@example.org', '' from generate_series(1, 250) n returning id)
		insert into channel_members (channel_id, user_id) select $1, id from u`, c.ID.String())
	seen := map[chat.UserID]bool{}
	for next := ""; ; {
		var page memberPage
		w.get(path(c.ID)+"/members?limit=100"+next, ann.Token).into(t, 200, &page)
		for _, m := range page.Items {
			seen[m.UserID] = true
		}
		if page.Next == nil {
			break
		}
		next = "&cursor=" + *page.Next
	}
	var s summary
	w.get(path(c.ID), ann.Token).into(t, 200, &s)
	if len(seen) != 251 || s.MemberCount != 251 {
		t.Errorf("%d members on all pages, member_count %d, want 251", len(seen), s.MemberCount)
	}
}

// TestMembers_lastOwners checks that one owner remains when two owners demote each other at the
// same time.
func TestMembers_lastOwners(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	w.slow("channel_members")
	for i := range 4 {
		c := w.create(ann, fmt.Sprint("room ", i), "public")
		w.add(ann, c.ID, bob, "owner")
		got := w.together(
			request{method: "PATCH", path: path(c.ID) + "/members/" + ann.ID.String(), token: bob.Token, body: object{"role": "member"}},
			request{method: "PATCH", path: path(c.ID) + "/members/" + bob.ID.String(), token: ann.Token, body: object{"role": "member"}},
		)
		if n := w.Count("select count(*) from channel_members where channel_id = $1 and role = 'owner'", c.ID.String()); n != 1 {
			t.Fatalf("round %d: %d owners after %v", i, n, got)
		}
	}
}

// together sends requests concurrently and returns their statuses in the order of the requests.
func (w *world) together(requests ...request) []int {
	w.T.Helper()
	statuses := make([]int, len(requests))
	var wg sync.WaitGroup
	for i, r := range requests {
		wg.Go(func() {
			a, err := w.try(r)
			if err != nil || a.status >= 500 {
				w.T.Errorf("%s %s = %d %s, %v", r.method, r.path, a.status, a.body, err)
			}
			statuses[i] = a.status
		})
	}
	wg.Wait()
	return statuses
}

// TestMembers_concurrentChanges checks that the events agree with the membership rows after
// concurrent joins and removals.
func TestMembers_concurrentChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	c := w.create(ann, "general", "public")
	for range 15 {
		w.together(
			request{method: "POST", path: path(c.ID) + "/members", token: ann.Token, body: object{"user_id": bob.ID}},
			request{method: "DELETE", path: path(c.ID) + "/members/" + bob.ID.String(), token: ann.Token},
			request{method: "POST", path: path(c.ID) + "/leave", token: bob.Token},
			request{method: "DELETE", path: path(c.ID) + "/members/" + bob.ID.String(), token: bob.Token},
		)
	}
	w.Settled()
	in := false
	for _, e := range w.Events(c.ID)[1:] {
		if joined := e.Type == event.MemberJoined; joined == in {
			t.Fatalf("event %d: %s, was a member before: %v", e.Seq, e.Type, in)
		}
		in = !in
	}
	if n := w.Count("select count(*) from channel_members where user_id = $1", bob.ID.String()); (n == 1) != in {
		t.Errorf("%d rows, but according to the events a member: %v", n, in)
	}
	if n := w.Count("select member_count from channels where id = $1", c.ID.String()); n != 1+w.Count("select count(*) from channel_members where user_id = $1", bob.ID.String()) {
		t.Errorf("member_count = %d", n)
	}
}

func TestChannel_update(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	c := w.create(ann, "general", "public")
	w.create(ann, "taken", "public")
	w.join(bob, c.ID)
	w.do("PATCH", path(c.ID), bob, object{"name": "mine"}).want(t, 403, "forbidden")
	w.do("PATCH", path(c.ID), ann, object{"name": "TAKEN"}).want(t, 409, "name_taken")
	if p := w.do("PATCH", path(c.ID), ann, object{"name": " "}).want(t, 422, "invalid_request"); p.Errors[0].Field != "name" {
		t.Errorf("errors: %+v", p.Errors)
	}
	w.do("PATCH", path(c.ID), ann, object{"name": "general"}).must(t, 200) // no change, so no event
	var s summary
	w.do("PATCH", path(c.ID), ann, object{"name": "Tea", "description": nil}).into(t, 200, &s)
	if s.Name != "Tea" {
		t.Errorf("changed: %+v", s)
	}
	w.Settled()
	events := w.Events(c.ID)
	last := events[len(events)-1]
	if len(events) != 3 || last.Type != event.ChannelUpdated || !strings.Contains(string(last.Channel), `"name":"Tea"`) {
		t.Errorf("%d events, the last one is %+v", len(events), last)
	}
}

func TestChannel_delete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	c := w.create(ann, "general", "public")
	w.add(ann, c.ID, bob, "admin")
	w.Settled()
	next := w.notices(bob)
	w.do("DELETE", path(c.ID), bob, nil).want(t, 403, "forbidden")
	w.do("DELETE", path(c.ID), ann, nil).must(t, http.StatusNoContent)
	for _, u := range []user{ann, bob} {
		w.get(path(c.ID), u.Token).want(t, 404, "not_found")
		w.get(path(c.ID)+"/messages", u.Token).want(t, 404, "not_found")
		w.do("POST", path(c.ID)+"/join", u, nil).want(t, 404, "not_found")
	}
	w.create(bob, "general", "public") // the name can be used again
	if n := next(); n.Kind != "channel_removed" || *n.ChannelID != c.ID || *n.By != ann.ID {
		t.Errorf("notice = %+v", n)
	}
	w.Settled()
	events := w.Events(c.ID)
	if last := events[len(events)-1]; len(events) != 3 || !strings.Contains(string(last.Channel), `"deleted_at"`) {
		t.Errorf("%d events, the last one is %s", len(events), last.Channel)
	}
}
