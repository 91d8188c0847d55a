package e2e_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"parley.chat/internal/devkit/testkit/wstest"
)

// TestFlood: a stranger who throws 1,050 channels at a user is refused, or has sent a few invitations, and the
// user's own channels keep arriving.
func TestFlood(t *testing.T) {
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
			t.Errorf("trap %d: %d %s", i, status, body)
		}
		outcomes[status]++
	}
	if n := outcomes[202]; n != 5 {
		t.Errorf("%d invitations, want 5 at most from one user", n)
	}
	if n := outcomes[429]; n < 900 {
		t.Errorf("%d of 1,050 refused by a limit: too few", n)
	}
	a, b := ann.connect(w.ws[0]), bob.connect(w.ws[1])
	b.Say(t, own, "are you there?")
	a.Await(t, "the message in the own channel", func(f wstest.Frame) bool { return f.Type == "message" && f.ChannelID == own })
}
