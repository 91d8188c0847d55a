package chatservice_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"parley.chat/shared-contracts/chat"
)

type contact struct {
	UserID   chat.UserID `json:"user_id"`
	Username string      `json:"username"`
	State    string      `json:"state"`
}

// contacts returns a user's contacts in short form.
func (w *world) contacts(u user, query string) string {
	w.T.Helper()
	var page struct{ Items []contact }
	w.get("/v1/contacts?"+query, u.Token).into(w.T, 200, &page)
	var list []string
	for _, c := range page.Items {
		list = append(list, c.Username+" "+c.State)
	}
	return strings.Join(list, ", ")
}

func TestContact_requestAcceptBlock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	ask := func(by, other user) string {
		t.Helper()
		var c contact
		w.do("POST", "/v1/contacts", by, object{"user_id": other.ID}).into(t, 200, &c)
		return c.State
	}
	of := func(u user) string { return "/v1/contacts/" + u.ID.String() }
	see := func(anns, bobs string) {
		t.Helper()
		if a, b := w.contacts(ann, ""), w.contacts(bob, ""); a != anns || b != bobs {
			t.Errorf("ann sees %q, bob %q; want %q, %q", a, b, anns, bobs)
		}
	}
	if s := ask(ann, bob); s != "requested" {
		t.Errorf("state after the first request: %s", s)
	}
	see("bob requested", "ann received")
	ask(ann, bob)
	if s := ask(bob, ann); s != "accepted" {
		t.Errorf("state after the second request: %s", s)
	}
	see("bob accepted", "ann accepted")
	w.do("POST", of(ann)+"/block", bob, nil).must(t, 204)
	see("", "ann blocked")
	if s := ask(ann, bob); s != "requested" { // the blocked user cannot see the block
		t.Errorf("state after a request of the blocked user: %s", s)
	}
	see("bob requested", "ann blocked")
	w.do("POST", "/v1/contacts", bob, object{"user_id": ann.ID}).want(t, 403, "forbidden")
	w.do("DELETE", of(ann), bob, nil).must(t, 204) // does not lift the block
	see("", "ann blocked")
	w.do("DELETE", of(ann)+"/block", bob, nil).must(t, 204)
	w.do("DELETE", of(ann)+"/block", bob, nil).must(t, 204)
	see("", "")
	ask(ann, bob)
	w.do("DELETE", of(ann), bob, nil).must(t, 204) // refuses the request
	see("", "")
	for _, r := range []request{
		{method: "POST", path: "/v1/contacts", body: object{"user_id": chat.NewUserID()}},
		{method: "DELETE", path: of(user{ID: chat.NewUserID()})},
		{method: "POST", path: of(user{ID: chat.NewUserID()}) + "/block"},
	} {
		r.token = ann.Token
		w.send(r).want(t, 404, "not_found")
	}
	w.do("POST", "/v1/contacts", ann, object{"user_id": ann.ID}).want(t, 422, "invalid_request")
	w.do("POST", of(ann)+"/block", ann, nil).want(t, 422, "invalid_request")
}

// TestContact_concurrentRequests checks that two users who send each other requests at the same
// time become contacts.
func TestContact_concurrentRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("ann")
	for i := range 10 {
		other := w.signup(fmt.Sprint("user-", i))
		w.together(
			request{method: "POST", path: "/v1/contacts", token: ann.Token, body: object{"user_id": other.ID}},
			request{method: "POST", path: "/v1/contacts", token: other.Token, body: object{"user_id": ann.ID}},
		)
		if got := w.contacts(other, ""); got != "ann accepted" {
			t.Fatalf("round %d: %s", i, got)
		}
	}
	var got []string
	for next := ""; ; {
		var page struct {
			Items []contact
			Next  *string `json:"next_cursor"`
		}
		w.get("/v1/contacts?state=accepted&limit=3"+next, ann.Token).into(t, 200, &page)
		for _, c := range page.Items {
			got = append(got, c.Username)
		}
		if page.Next == nil {
			break
		}
		next = "&cursor=" + *page.Next
	}
	if len(got) != 10 || !slices.IsSorted(got) {
		t.Errorf("pages: %v", got)
	}
}

func TestContact_states(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("ann")
	who := map[string]user{}
	for _, name := range []string{"asked", "asks", "friend", "foe", "hater", "both"} {
		who[name] = w.signup(name)
	}
	ask := func(by, other user) {
		t.Helper()
		w.do("POST", "/v1/contacts", by, object{"user_id": other.ID}).must(t, 200)
	}
	ask(ann, who["asked"])
	ask(who["asks"], ann)
	ask(ann, who["friend"])
	ask(who["friend"], ann)
	w.do("POST", "/v1/contacts/"+who["foe"].ID.String()+"/block", ann, nil).must(t, 204)
	ask(who["foe"], ann)
	w.do("POST", "/v1/contacts/"+ann.ID.String()+"/block", who["hater"], nil).must(t, 204)
	w.do("POST", "/v1/contacts/"+ann.ID.String()+"/block", who["both"], nil).must(t, 204)
	ask(ann, who["both"])
	for query, want := range map[string]string{
		"":                "asked requested, asks received, both requested, foe blocked, friend accepted",
		"state=requested": "asked requested, both requested",
		"state=received":  "asks received",
		"state=accepted":  "friend accepted",
		"state=blocked":   "foe blocked",
	} {
		if got := w.contacts(ann, query); got != want {
			t.Errorf("%q: %s, want %s", query, got, want)
		}
	}
}
