package chatservice_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"parley.chat/chat-service/internal/account"
	"parley.chat/internal/devkit/testkit"
)

// The kinds of channels, and patterns for the requests that a change affects.
var (
	channelKinds = []string{"public", "unlisted", "private", "groups public", "groups private"}
	aboutRoles   = regexp.MustCompile(`\{(public|unlisted|private|groups public|groups private|group)\}`)
	aboutBlocks  = regexp.MustCompile(`\{direct\}|/v1/dms`)
)

// status returns the expected status of a request for a user of the matrix.
func (e endpoint) status(t *testing.T, who string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.Fields(e.want)[slices.Index(everybody, who)])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestMatrix_changes demotes, removes or blocks a user with a session. The next request must
// already get the response for the new role, because each request reads the role in its own
// transaction. So the test never waits.
func TestMatrix_changes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	who := map[string]user{}
	for _, name := range slices.Concat(everybody, []string{"outsider", "victim"}) {
		who[name] = w.signup("the-" + name)
	}
	owner := who["owner"]
	for _, peer := range []string{"member", "blocked"} {
		w.do("POST", "/v1/dms", owner, object{"user_id": who[peer].ID}).must(t, 201)
	}
	everywhere := func(ids map[string]string, do func(path string)) {
		for _, kind := range channelKinds {
			do("/v1/channels/" + ids[kind] + "/members/")
		}
		do("/v1/groups/" + ids["group"] + "/members/")
	}
	for _, change := range []struct {
		name, from, to string // columns of the matrix: the user who sends the request, and the user whose responses they must get after the change
		about          *regexp.Regexp
		make           func(u user, ids map[string]string) (undo func())
	}{
		{"demoted", "admin", "member", aboutRoles, func(u user, ids map[string]string) func() {
			everywhere(ids, func(path string) { w.do("PATCH", path+u.ID.String(), owner, object{"role": "member"}).must(t, 200) })
			return func() {}
		}},
		{"removed", "member", "stranger", aboutRoles, func(u user, ids map[string]string) func() {
			everywhere(ids, func(path string) { w.do("DELETE", path+u.ID.String(), owner, nil).must(t, 204) })
			return func() {}
		}},
		{"blocked", "member", "blocked", aboutBlocks, func(u user, _ map[string]string) func() {
			block := "/v1/contacts/" + u.ID.String() + "/block"
			w.do("POST", block, owner, nil).must(t, 204)
			return func() { w.do("DELETE", block, owner, nil).must(t, 204) }
		}},
	} {
		asked := 0
		for _, e := range matrix {
			if e.isOpen || !change.about.MatchString(e.ask+fmt.Sprint(e.body)) || e.body["user_id"] == "{unknown}" {
				continue
			}
			u := who[change.from]
			ids := w.stage(who, change.from)
			w.do("GET", "/v1/channels/"+ids["public"], u, nil).must(t, 200)
			undo := change.make(u, ids)
			w.ask(e, change.name, u.Token, ids, e.status(t, change.to))
			undo()
			asked++
		}
		if asked < 10 {
			t.Errorf("%s: only %d requests were sent", change.name, asked)
		}
	}
}

// TestMatrix_suspended checks that no endpoint accepts the token of a suspended user after their
// session has ended.
func TestMatrix_suspended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	who := map[string]user{}
	for _, name := range slices.Concat(everybody, []string{"outsider", "victim"}) {
		who[name] = w.signup("the-" + name)
	}
	for _, peer := range []string{"member", "blocked"} {
		w.do("POST", "/v1/dms", who["owner"], object{"user_id": who[peer].ID}).must(t, 201)
	}
	ids := w.stage(who, "owner")
	if _, err := account.Suspend(t.Context(), w.DB, who["owner"].Name, "spam"); err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, testkit.Timeout, func() error {
		if a := w.get("/v1/me", who["owner"].Token); a.status != 401 {
			return fmt.Errorf("the access token of a suspended user: %d %s", a.status, a.body)
		}
		return nil
	})
	for _, e := range matrix {
		if !e.isOpen {
			w.ask(e, "suspended", who["owner"].Token, ids, 401)
		}
	}
}
