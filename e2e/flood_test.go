package e2e_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"parley.chat/internal/devkit/testkit/wstest"
)

// TestFlood_invitationsAreLimited lets a stranger try to add a user to 1,050 channels. The stranger
// is refused after a few invitations, and the user still receives events of their own channels.
func TestFlood_invitationsAreLimited(t *testing.T) {
	w := newWorldWith(t, map[string]string{"ADD_WITHOUT_INVITATION": "known"})
	ann, bob, eve := w.signup("ann"), w.signup("bob"), w.signup("eve")
	own := ann.createChannel("own", "unlisted")
	bob.join(own)
	outcomes := map[int]int{}
	for i := range 1050 {
		status, body := w.request("POST", w.chat.base+"/v1/channels", eve.Token, map[string]string{"name": fmt.Sprint("trap ", i), "kind": "private"})
		if status == 201 {
			var made struct{ ID string }
			if err := json.Unmarshal(body, &made); err != nil {
				t.Fatal(err)
			}
			status, body = w.request("POST", w.chat.base+"/v1/channels/"+made.ID+"/members", eve.Token, map[string]string{"user_id": ann.ID.String()})
		}
		if status != 202 && status != 409 && status != 429 {
			t.Errorf("channel %d: %d %s", i, status, body)
		}
		outcomes[status]++
	}
	if n := outcomes[202]; n != 5 {
		t.Errorf("%d invitations, want at most 5 from one user", n)
	}
	if n := outcomes[429]; n < 900 {
		t.Errorf("only %d of 1,050 were refused by a limit", n)
	}
	a, b := ann.connect(w.ws[0]), bob.connect(w.ws[1])
	b.Say(t, own, "are you there?")
	a.Await(t, "the message in the user's own channel", func(f wstest.Frame) bool { return f.Type == "message" && f.ChannelID == own })
}
