package chatservice_test

import (
	"fmt"
	"testing"

	"parley.chat/shared-contracts/chat"

	chatservice "parley.chat/chat-service"
)

// invited is an invitation in the form of the API.
type invited struct {
	ID        string         `json:"id"`
	ChannelID chat.ChannelID `json:"channel_id"`
	GroupID   *string        `json:"group_id"`
	Name      string         `json:"name"`
	By        string         `json:"invited_by_name"`
}

func askStrangers(c *chatservice.Config) { c.AddUninvited = "known" }

func (w *world) invitations(u user) []invited {
	w.T.Helper()
	var page struct{ Items []invited }
	w.do("GET", "/v1/invitations", u, nil).into(w.T, 200, &page)
	return page.Items
}

func (w *world) isMember(channel chat.ChannelID, u user) bool {
	w.T.Helper()
	return w.Count("select count(*) from channel_members where channel_id = $1 and user_id = $2", channel.String(), u.ID.String()) == 1
}

// TestInvitation checks that a stranger is invited while a known user is added directly.
func TestInvitation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, askStrangers)
	ann, bob, cyd := w.signup("ann"), w.signup("bob"), w.signup("cyd")
	c := w.create(ann, "plans", "private")
	add := func(id chat.ChannelID, u user) answer {
		t.Helper()
		return w.do("POST", path(id)+"/members", ann, object{"user_id": u.ID})
	}
	var inv, again invited
	add(c.ID, bob).into(t, 202, &inv)
	add(c.ID, bob).into(t, 202, &again)
	if got := w.invitations(bob); len(got) != 1 || got[0].ID != inv.ID || again.ID != inv.ID || inv.Name != "plans" || inv.By != "ann" || inv.ChannelID != c.ID {
		t.Fatalf("invitations of bob: %+v, want %+v", got, inv)
	}
	if w.isMember(c.ID, bob) {
		t.Error("bob was added without being asked")
	}
	// Only the invited user can accept or decline, and only the sender can withdraw.
	w.do("POST", "/v1/invitations/"+inv.ID+"/accept", cyd, nil).want(t, 404, "not_found")
	w.do("POST", "/v1/invitations/"+inv.ID+"/decline", ann, nil).want(t, 404, "not_found")
	w.do("DELETE", "/v1/invitations/"+inv.ID, bob, nil).want(t, 404, "not_found")
	w.do("POST", "/v1/invitations/"+inv.ID+"/accept", bob, nil).must(t, 204)
	w.do("POST", "/v1/invitations/"+inv.ID+"/accept", bob, nil).want(t, 404, "not_found")
	if !w.isMember(c.ID, bob) || len(w.invitations(bob)) != 0 {
		t.Error("bob has accepted but is not a member")
	}
	w.Settled()
	if got := w.EventLog(c.ID); got != "1 member_joined ann, 2 member_joined bob" {
		t.Errorf("events: %s", got)
	}
	// Users who share a private channel know each other; a public channel does not count.
	d := w.create(ann, "more plans", "private")
	add(d.ID, bob).must(t, 200)
	square := w.create(cyd, "square", "public")
	w.join(ann, square.ID)
	add(d.ID, cyd).into(t, 202, &inv)

	// A declined invitation cannot be repeated, and a withdrawn one cannot be accepted.
	w.do("POST", "/v1/invitations/"+inv.ID+"/decline", cyd, nil).must(t, 204)
	add(d.ID, cyd).want(t, 409, "conflict")
	add(c.ID, cyd).into(t, 202, &inv)
	var sent struct{ Items []invited }
	w.do("GET", "/v1/invitations?sent=true", ann, nil).into(t, 200, &sent)
	if len(sent.Items) != 1 || sent.Items[0].ID != inv.ID {
		t.Errorf("sent: %+v", sent.Items)
	}
	w.do("DELETE", "/v1/invitations/"+inv.ID, ann, nil).must(t, 204)
	w.do("POST", "/v1/invitations/"+inv.ID+"/accept", cyd, nil).want(t, 404, "not_found")

	// An invitation becomes void when its sender may no longer invite, and a ban ends it.
	add(c.ID, cyd).into(t, 202, &inv)
	w.Exec("update channel_members set role = case when user_id = $1 then 'owner' else 'member' end where channel_id = $2", bob.ID.String(), c.ID.String())
	w.do("POST", "/v1/invitations/"+inv.ID+"/accept", cyd, nil).want(t, 404, "not_found")
	w.do("PUT", path(c.ID)+"/bans/"+cyd.ID.String(), bob, nil).must(t, 204)
	if got := w.invitations(cyd); len(got) != 0 {
		t.Errorf("a banned user has the invitations %+v", got)
	}
	// Contacts know each other, so they are added directly.
	w.do("POST", "/v1/contacts", ann, object{"user_id": cyd.ID}).must(t, 200)
	w.do("POST", "/v1/contacts", cyd, object{"user_id": ann.ID}).must(t, 200)
	add(w.create(ann, "third", "private").ID, cyd).must(t, 200)
}

// TestInvitation_group checks invitations to groups. The members of a group know each other.
func TestInvitation_group(t *testing.T) {
	t.Parallel()
	w := newWorld(t, askStrangers)
	ann, bob := w.signup("ann"), w.signup("bob")
	var group struct{ ID string }
	w.do("POST", "/v1/groups", ann, object{"name": "crew"}).into(t, 201, &group)
	var inv invited
	w.do("POST", "/v1/groups/"+group.ID+"/members", ann, object{"user_id": bob.ID, "role": "admin"}).into(t, 202, &inv)
	if inv.GroupID == nil || *inv.GroupID != group.ID || inv.Name != "crew" {
		t.Errorf("%+v", inv)
	}
	w.do("GET", "/v1/groups/"+group.ID, bob, nil).want(t, 404, "not_found")
	w.do("POST", "/v1/invitations/"+inv.ID+"/accept", bob, nil).must(t, 204)
	var got struct{ Role string }
	w.do("GET", "/v1/groups/"+group.ID, bob, nil).into(t, 200, &got)
	if got.Role != "admin" {
		t.Errorf("bob is %s", got.Role)
	}
	var c summary
	w.do("POST", "/v1/groups/"+group.ID+"/channels", ann, object{"name": "deck", "kind": "private"}).into(t, 201, &c)
	w.do("POST", path(c.ID)+"/members", ann, object{"user_id": bob.ID}).must(t, 200)
}

// TestMemberships checks the limits on the number of a user's channels and of open invitations to a
// user.
func TestMemberships(t *testing.T) {
	t.Parallel()
	w := newWorld(t, askStrangers, func(c *chatservice.Config) { c.MaxMemberships = 3 })
	ann, bob, eve := w.signup("ann"), w.signup("bob"), w.signup("eve")
	open := w.create(ann, "open", "public")
	for i := range 3 {
		w.create(bob, fmt.Sprint("own ", i), "private")
	}
	w.do("POST", "/v1/channels", bob, object{"name": "one more", "kind": "private"}).want(t, 403, "forbidden")
	w.do("POST", path(open.ID)+"/join", bob, nil).want(t, 403, "forbidden")
	refused := 0
	for i := range 8 {
		w.Exec("delete from channel_members where user_id = $1", ann.ID.String())
		c := w.create(ann, fmt.Sprint("channel ", i), "private")
		a := w.do("POST", path(c.ID)+"/members", ann, object{"user_id": bob.ID})
		if a.status == 409 {
			refused++
		} else if a.status != 202 {
			t.Errorf("invitation %d: %d %s", i, a.status, a.body)
		}
	}
	if refused != 3 {
		t.Errorf("%d of 8 invitations were refused, want 3", refused)
	}
	w.do("POST", "/v1/contacts", eve, object{"user_id": bob.ID}).must(t, 200)
	w.do("POST", "/v1/contacts", bob, object{"user_id": eve.ID}).must(t, 200)
	c := w.create(eve, "full", "private")
	w.do("POST", path(c.ID)+"/members", eve, object{"user_id": bob.ID}).want(t, 409, "conflict")
}
