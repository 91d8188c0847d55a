package chatservice_test

import (
	"cmp"
	"fmt"
	"strings"
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
	// Only the invited user can accept or decline, and the invited user cannot withdraw.
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

// TestInvitation_ofChannel checks who sees the open invitations to a channel and can withdraw them:
// the sender and everybody who may add members.
func TestInvitation_ofChannel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, askStrangers)
	ann, bob, cyd, dan := w.signup("ann"), w.signup("bob"), w.signup("cyd"), w.signup("dan")
	c := w.create(ann, "plans", "private")
	w.create(ann, "other", "private")
	w.Exec("insert into channel_members (channel_id, user_id, role) values ($1, $2, 'admin'), ($1, $3, 'member')", c.ID.String(), bob.ID.String(), dan.ID.String())
	open := func(by user) []invited {
		t.Helper()
		var page struct{ Items []invited }
		w.do("GET", path(c.ID)+"/invitations", by, nil).into(t, 200, &page)
		return page.Items
	}
	invite := func(u user) (inv invited) {
		t.Helper()
		w.do("POST", path(c.ID)+"/members", ann, object{"user_id": u.ID}).into(t, 202, &inv)
		return inv
	}
	first := invite(cyd)
	invite(w.signup("eve"))
	if got := open(bob); len(got) != 2 || got[1].ID != first.ID || got[1].By != "ann" {
		t.Errorf("an admin sees the invitations %+v", got)
	}
	w.do("DELETE", "/v1/invitations/"+first.ID, dan, nil).want(t, 404, "not_found") // a member without a role
	w.do("DELETE", "/v1/invitations/"+first.ID, bob, nil).must(t, 204)
	w.do("DELETE", "/v1/invitations/"+first.ID, bob, nil).want(t, 404, "not_found")
	if got := w.invitations(cyd); len(got) != 0 {
		t.Errorf("cyd still has %+v", got)
	}
	// A declined invitation is not open, and nobody can withdraw it to invite the user again.
	second := invite(cyd)
	w.do("POST", "/v1/invitations/"+second.ID+"/decline", cyd, nil).must(t, 204)
	if got := open(ann); len(got) != 1 || got[0].ID == second.ID {
		t.Errorf("the owner sees %+v after the invitation was declined", got)
	}
	w.do("DELETE", "/v1/invitations/"+second.ID, bob, nil).want(t, 404, "not_found")
	w.do("DELETE", "/v1/invitations/"+second.ID, ann, nil).want(t, 404, "not_found")
}

// TestCandidates checks that what getCandidates reports about a user is what adding the user does.
func TestCandidates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, askStrangers)
	ann := w.signup("ann")
	c := w.create(ann, "plans", "private")
	var group struct{ ID string }
	w.do("POST", "/v1/groups", ann, object{"name": "crew"}).into(t, 201, &group)
	var deck summary
	w.do("POST", "/v1/groups/"+group.ID+"/channels", ann, object{"name": "deck", "kind": "private"}).into(t, 201, &deck)

	states := func(id chat.ChannelID, users ...user) string {
		t.Helper()
		var ids, got []string
		for _, u := range users {
			ids = append(ids, u.ID.String())
		}
		var found struct {
			Items []struct {
				UserID string `json:"user_id"`
				State  string `json:"state"`
			}
		}
		w.do("GET", path(id)+"/candidates?ids="+strings.Join(ids, ","), ann, nil).into(t, 200, &found)
		byID := map[string]string{}
		for _, item := range found.Items {
			byID[item.UserID] = item.State
		}
		for _, id := range ids {
			got = append(got, cmp.Or(byID[id], "nobody"))
		}
		return strings.Join(got, " ")
	}
	add := func(id chat.ChannelID, u user) answer {
		t.Helper()
		return w.do("POST", path(id)+"/members", ann, object{"user_id": u.ID})
	}
	stranger, friend, banned, asked := w.signup("stranger"), w.signup("friend"), w.signup("banned"), w.signup("asked")
	w.do("POST", "/v1/contacts", ann, object{"user_id": friend.ID}).must(t, 200)
	w.do("POST", "/v1/contacts", friend, object{"user_id": ann.ID}).must(t, 200)
	w.do("PUT", path(c.ID)+"/bans/"+banned.ID.String(), ann, nil).must(t, 204)
	add(c.ID, asked).must(t, 202)
	gone := user{ID: chat.NewUserID()}
	if got := states(c.ID, ann, stranger, friend, banned, asked, gone); got != "member invitable addable banned invited nobody" {
		t.Errorf("states: %s", got)
	}
	if got := states(deck.ID, ann, stranger, friend); got != "member outside_group outside_group" {
		t.Errorf("states in a channel of a group: %s", got)
	}
	add(c.ID, friend).must(t, 200)
	add(c.ID, stranger).must(t, 202)
	// An invited user who becomes a contact is added.
	w.do("POST", "/v1/contacts", ann, object{"user_id": asked.ID}).must(t, 200)
	w.do("POST", "/v1/contacts", asked, object{"user_id": ann.ID}).must(t, 200)
	if got := states(c.ID, asked); got != "addable" {
		t.Errorf("an invited contact is %s", got)
	}
	add(c.ID, asked).must(t, 200)
	add(c.ID, banned).want(t, 409, "conflict")
	add(deck.ID, stranger).want(t, 403, "forbidden")

	// Members of the group are added to its channels without an invitation.
	w.do("POST", "/v1/groups/"+group.ID+"/members", ann, object{"user_id": friend.ID}).must(t, 200)
	if got := states(deck.ID, friend); got != "addable" {
		t.Errorf("a member of the group is %s", got)
	}
	add(deck.ID, friend).must(t, 200)

	// A removed member of a private channel may be a stranger again.
	w.Exec("insert into channel_members (channel_id, user_id) values ($1, $2)", c.ID.String(), stranger.ID.String())
	w.do("DELETE", path(c.ID)+"/members/"+stranger.ID.String(), ann, nil).must(t, 204)
	w.do("DELETE", path(c.ID)+"/members/"+friend.ID.String(), ann, nil).must(t, 204)
	w.Exec("delete from invitations where user_id = $1", stranger.ID.String())
	if got := states(c.ID, stranger, friend); got != "invitable addable" {
		t.Errorf("removed members: %s", got)
	}
}

// TestCandidates_anyone checks a deployment in which nobody is asked.
func TestCandidates_anyone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	c := w.create(ann, "plans", "private")
	var found struct{ Items []struct{ State string } }
	w.do("GET", path(c.ID)+"/candidates?ids="+bob.ID.String(), ann, nil).into(t, 200, &found)
	if len(found.Items) != 1 || found.Items[0].State != "addable" {
		t.Errorf("%+v", found.Items)
	}
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

	// Every admin of the group can withdraw its invitations.
	cyd := w.signup("cyd")
	w.do("POST", "/v1/groups/"+group.ID+"/members", ann, object{"user_id": cyd.ID}).into(t, 202, &inv)
	w.do("DELETE", "/v1/invitations/"+inv.ID, cyd, nil).want(t, 404, "not_found")
	w.do("DELETE", "/v1/invitations/"+inv.ID, bob, nil).must(t, 204)
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
