package chatservice_test

import (
	"strings"
	"testing"

	"parley.chat/shared-contracts/event"
	"parley.chat/shared-contracts/frame"
)

// TestEvents_oldVersions checks that a member cannot read versions that were replaced before they
// joined. Earlier members, the sender and admins can. The result must not depend on which versions
// are stored.
func TestEvents_oldVersions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, cyd, dan := w.signup("ann"), w.signup("bob"), w.signup("cyd"), w.signup("dan")
	c := w.create(ann, "general", "public")
	w.join(bob, c.ID)
	w.Settled()
	appendEvent := w.gateway()
	do := func(e frame.Event) frame.Event {
		e.ChannelID, e.SenderID = c.ID, bob.ID
		return appendEvent(e)
	}
	first := do(frame.Event{Type: event.Message, SenderName: "bob", Body: "first"})
	edits := []frame.Event{first}
	for _, text := range []string{"second", "third"} {
		edits = append(edits, do(frame.Event{Type: event.Edit, MessageID: &first.ID, Body: text}))
	}
	w.join(cyd, c.ID)
	w.join(dan, c.ID)
	w.Exec("update channel_members set role = 'admin' where user_id = $1", dan.ID.String())
	w.Settled()
	edits = append(edits, do(frame.Event{Type: event.Edit, MessageID: &first.ID, Body: "fourth"}))
	for _, stored := range []int{0, 2, len(edits)} {
		for _, e := range edits[:stored] {
			w.persist(e)
		}
		for who, want := range map[user]string{
			ann: "first,second,third,fourth", bob: "first,second,third,fourth", cyd: ",,third,fourth", dan: "first,second,third,fourth",
		} {
			var page struct{ Items []frame.Event }
			w.do("GET", path(c.ID)+"/events", who, nil).into(t, 200, &page)
			var bodies []string
			for _, e := range page.Items {
				if e.Type == event.Message || e.Type == event.Edit {
					bodies = append(bodies, e.Body)
				}
			}
			if got := strings.Join(bodies, ","); got != want {
				t.Errorf("%d stored: %s reads %q, want %q", stored, who.Name, got, want)
			}
		}
	}
}
