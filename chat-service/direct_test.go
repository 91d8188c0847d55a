package chatservice_test

import (
	"testing"

	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/notice"
)

func TestDirect_open(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, eve := w.signup("ann"), w.signup("bob"), w.signup("eve")
	next := w.notices(bob)
	var c struct {
		summary
		Peer struct {
			UserID   chat.UserID `json:"user_id"`
			Username string      `json:"username"`
		} `json:"peer"`
	}
	a := w.do("POST", "/v1/dms", ann, object{"user_id": bob.ID})
	a.into(t, 201, &c)
	if c.Kind != "direct" || c.MemberCount != 2 || c.Peer.UserID != bob.ID || c.Peer.Username != "bob" || a.header.Get("Location") != path(c.ID) {
		t.Errorf("created %s", a.body)
	}
	if n := next(); n.Kind != notice.ChannelAdded || *n.ChannelID != c.ID || *n.By != ann.ID {
		t.Errorf("notice = %+v", n)
	}
	first := c.ID
	w.do("POST", "/v1/dms", bob, object{"user_id": ann.ID}).into(t, 200, &c)
	if c.ID != first || c.Peer.UserID != ann.ID {
		t.Errorf("opened by the other user: %+v", c)
	}
	w.do("POST", "/v1/dms", ann, object{"user_id": ann.ID}).want(t, 422, "invalid_request")
	w.do("POST", "/v1/dms", ann, object{"user_id": chat.NewUserID()}).want(t, 404, "not_found")
	w.get(path(c.ID), eve.Token).want(t, 404, "not_found")
	for _, r := range []request{
		{method: "POST", path: path(c.ID) + "/leave"},
		{method: "PATCH", path: path(c.ID), body: object{"name": "us"}},
		{method: "DELETE", path: path(c.ID)},
		{method: "POST", path: path(c.ID) + "/members", body: object{"user_id": eve.ID}},
		{method: "PATCH", path: path(c.ID) + "/members/" + bob.ID.String(), body: object{"role": "admin"}},
		{method: "DELETE", path: path(c.ID) + "/members/" + bob.ID.String()},
		{method: "DELETE", path: path(c.ID) + "/members/" + ann.ID.String()},
	} {
		r.token = ann.Token
		w.send(r).want(t, 403, "forbidden")
	}
}

func TestDirect_blocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, eve := w.signup("ann"), w.signup("bob"), w.signup("eve")
	var c summary
	w.do("POST", "/v1/dms", ann, object{"user_id": bob.ID}).into(t, 201, &c)
	w.do("POST", path(c.ID)+"/messages", ann, object{"body": "hi"}).must(t, 201)
	w.do("POST", "/v1/contacts/"+ann.ID.String()+"/block", bob, nil).must(t, 204)
	for _, u := range []user{ann, bob} { // in both directions
		w.do("POST", path(c.ID)+"/messages", u, object{"body": "hi"}).want(t, 403, "forbidden")
	}
	w.do("POST", "/v1/dms", ann, object{"user_id": bob.ID}).want(t, 403, "forbidden")
	w.do("POST", "/v1/contacts/"+eve.ID.String()+"/block", ann, nil).must(t, 204)
	w.do("POST", "/v1/dms", eve, object{"user_id": ann.ID}).want(t, 403, "forbidden")
	w.get(path(c.ID)+"/messages", ann.Token).must(t, 200) // earlier messages stay readable
	w.do("DELETE", "/v1/contacts/"+ann.ID.String()+"/block", bob, nil).must(t, 204)
	w.do("POST", path(c.ID)+"/messages", ann, object{"body": "hi"}).must(t, 201)
}

// TestDirect_concurrentOpen checks that two users have only one direct channel, even if both open
// it at the same time.
func TestDirect_concurrentOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	made := 0
	var requests []request
	for range 4 {
		requests = append(requests,
			request{method: "POST", path: "/v1/dms", token: ann.Token, body: object{"user_id": bob.ID}},
			request{method: "POST", path: "/v1/dms", token: bob.Token, body: object{"user_id": ann.ID}})
	}
	for _, status := range w.together(requests...) {
		if status == 201 {
			made++
		}
	}
	if n := w.Count("select count(*) from channels where kind = 'direct'"); n != 1 || made != 1 {
		t.Errorf("%d direct channels, created %d times", n, made)
	}
}
