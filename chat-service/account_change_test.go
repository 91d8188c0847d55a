package chatservice_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	chatservice "parley.chat/chat-service"
	"parley.chat/shared-contracts/chat"
)

func (w *world) delete(path, tok string, body any) answer {
	w.t.Helper()
	return w.send(request{method: http.MethodDelete, path: path, token: tok, body: body})
}

func (w *world) login(name, pass string) answer {
	w.t.Helper()
	return w.post("/v1/login", "", object{"login": name, "password": pass, "session": "bearer"})
}

const otherPassword = "battery staple horse"

func TestPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	var in loginAnswer
	w.login("ann", goodPassword).into(t, 200, &in)
	other := w.userOf(in)
	change := func(old, fresh string) answer {
		return w.post("/v1/me/password", ann.Token, object{"password": old, "new_password": fresh})
	}
	if p := change("wrong horse", otherPassword).want(t, 401, "invalid_credentials"); p.Errors[0].Field != "password" {
		t.Errorf("errors = %+v", p.Errors)
	}
	for _, weak := range []string{"short", "Password123", "ann@example.com"} {
		if p := change(goodPassword, weak).want(t, 422, "invalid_request"); p.Errors[0].Field != "new_password" {
			t.Errorf("%s: errors = %+v", weak, p.Errors)
		}
	}
	if a := change(goodPassword, otherPassword); a.status != 204 {
		t.Fatalf("change = %d %s", a.status, a.body)
	}
	if a := w.get("/v1/me", ann.Token); a.status != 200 {
		t.Errorf("the session that changed it has ended: %d %s", a.status, a.body)
	}
	w.get("/v1/me", other.Token).want(t, 401, "unauthenticated")
	w.post("/v1/refresh", "", object{"refresh_token": other.Refresh}).want(t, 401, "unauthenticated")
	if a := w.get("/v1/me", bob.Token); a.status != 200 {
		t.Errorf("somebody else is logged out: %d", a.status)
	}
	w.login("ann", goodPassword).want(t, 401, "invalid_credentials")
	w.login("ann", otherPassword).into(t, 200, &in)
	w.settled()
}

// TestPassword_guessesAreLimited: a stolen session is no oracle.
func TestPassword_guessesAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("ann")
	for range 10 {
		w.post("/v1/me/password", ann.Token, object{"password": "wrong horse", "new_password": otherPassword}).want(t, 401, "invalid_credentials")
	}
	w.post("/v1/me/password", ann.Token, object{"password": goodPassword, "new_password": otherPassword}).want(t, 429, "rate_limited")
	w.delete("/v1/me", ann.Token, object{"password": goodPassword}).want(t, 429, "rate_limited")
}

// TestPassword_loginAtTheSameTime: whatever the order, no session of the old password outlives the change.
func TestPassword_loginAtTheSameTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *chatservice.Config) { c.LoginFailures.Count = 1000 })
	ann := w.signup("ann")
	var wg sync.WaitGroup
	logins := make([]answer, 16)
	for i := range logins {
		wg.Go(func() { logins[i] = w.login("ann", goodPassword) })
	}
	var change answer
	wg.Go(func() {
		change = w.post("/v1/me/password", ann.Token, object{"password": goodPassword, "new_password": otherPassword})
	})
	wg.Wait()
	if change.status != 204 {
		t.Fatalf("change = %d %s", change.status, change.body)
	}
	if n := w.count("select count(*) from sessions where user_id = $1 and revoked_at is null", ann.ID.String()); n != 1 {
		t.Errorf("%d sessions live on, want that of the change", n)
	}
	for _, a := range logins {
		if a.status != 200 && a.status != 401 {
			t.Errorf("login = %d %s", a.status, a.body)
		}
	}
}

func TestDeleteMe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, eve := w.signup("ann"), w.signup("bob"), w.signup("eve")
	alone, shared := w.create(ann, "alone", "private"), w.create(ann, "shared", "public")
	w.join(bob, shared.ID)
	w.join(eve, shared.ID)
	w.exec("update channel_members set role = 'admin' where user_id = $1", eve.ID.String())
	w.exec("insert into contacts (user_id, contact_id, state) values ($1, $2, 'accepted'), ($2, $1, 'accepted')", ann.ID.String(), bob.ID.String())
	var team struct{ ID string }
	w.post("/v1/groups", ann.Token, object{"name": "team"}).into(t, 201, &team)
	var m struct{ Role string }
	w.post("/v1/groups/"+team.ID+"/members", ann.Token, object{"user_id": bob.ID}).into(t, 200, &m)
	w.delete("/v1/me", ann.Token, object{"password": "wrong horse"}).want(t, 401, "invalid_credentials")
	w.delete("/v1/me", ann.Token, nil).want(t, 415, "unsupported_media_type")
	if a := w.delete("/v1/me", ann.Token, object{"password": goodPassword}); a.status != 204 {
		t.Fatalf("delete = %d %s", a.status, a.body)
	}

	w.get("/v1/me", ann.Token).want(t, 401, "unauthenticated")
	w.post("/v1/refresh", "", object{"refresh_token": ann.Refresh}).want(t, 401, "unauthenticated")
	w.login("ann", goodPassword).want(t, 401, "invalid_credentials")
	var gone struct {
		Username string
		Deleted  bool
	}
	w.get("/v1/users/"+ann.ID.String(), bob.Token).into(t, 200, &gone)
	if !gone.Deleted || gone.Username != "" {
		t.Errorf("profile = %+v", gone)
	}
	if n := w.count("select count(*) from users where concat(username, email, display_name, bio, password_hash) ilike '%ann%'"); n != 0 {
		t.Error("the row still tells who it was")
	}
	if n := w.count("select count(*) from channel_members where user_id = $1", ann.ID.String()); n != 0 {
		t.Errorf("%d memberships are left", n)
	}
	if n := w.count("select count(*) from contacts"); n != 0 {
		t.Errorf("%d contacts are left", n)
	}
	// The channel goes to its admin, though bob came first; gateways learn by the outbox.
	var s summary
	w.get("/v1/channels/"+shared.ID.String(), eve.Token).into(t, 200, &s)
	if s.Role != "owner" || s.MemberCount != 2 {
		t.Errorf("shared = %+v", s)
	}
	var g struct {
		Role        string
		MemberCount int `json:"member_count"`
	}
	w.get("/v1/groups/"+team.ID, bob.Token).into(t, 200, &g)
	if g.Role != "owner" || g.MemberCount != 1 {
		t.Errorf("team = %+v", g)
	}
	w.settled()
	if story := w.story(shared.ID); !strings.Contains(story, "member_left, ") || !strings.HasSuffix(story, "channel_updated") {
		t.Errorf("story = %s", story)
	}
	if story := w.story(alone.ID); !strings.HasSuffix(story, "member_left") {
		t.Errorf("story of the other = %s", story)
	}
	// The address is free.
	w.post("/v1/signup", "", object{"username": "anna", "email": "ann@example.com", "password": goodPassword}).must(t, 201)
}

// TestDeleteMe_joinAtTheSameTime: nobody is left in a channel without an account.
func TestDeleteMe_joinAtTheSameTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	owner := w.signup("owner")
	for i := range 8 {
		u := w.signup(fmt.Sprint("user", i))
		c := w.create(owner, fmt.Sprint("channel ", i), "public")
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				_, _ = w.try(request{method: "POST", path: "/v1/channels/" + c.ID.String() + "/join", token: u.Token})
			})
		}
		wg.Go(func() { w.delete("/v1/me", u.Token, object{"password": goodPassword}) })
		wg.Wait()
	}
	if n := w.count("select count(*) from channel_members m join users u on u.id = m.user_id where u.deleted_at is not null"); n != 0 {
		t.Errorf("%d members have no account", n)
	}
	w.settled()
}

func TestUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("Ann")
	for _, name := range []string{"anna", "annika", "bob", "a_b", "ax_"} {
		w.signup(name)
	}
	if a := w.send(request{method: "PATCH", path: "/v1/me", token: ann.Token, body: object{"display_name": "Bobby 100%", "bio": "hi"}}); a.status != 200 {
		t.Fatalf("patch = %d %s", a.status, a.body)
	}
	w.exec("update users set deleted_at = now() where username = 'annika'")
	type page struct {
		Items []struct {
			ID          chat.UserID `json:"id"`
			Username    string      `json:"username"`
			DisplayName string      `json:"display_name"`
		} `json:"items"`
		Next *string `json:"next_cursor"`
	}
	for query, want := range map[string]string{
		"ann": "Ann anna", "ANNA": "anna", "bob": "Ann bob", "a_": "a_b", "%25": "", "100": "", "Bobby%20100%25": "Ann", "zzz": "", "%5C": "",
	} {
		var names []string
		for cursor := ""; ; {
			var p page
			w.get("/v1/users?limit=1&query="+query+"&cursor="+cursor, ann.Token).into(t, 200, &p)
			for _, u := range p.Items {
				names = append(names, u.Username)
			}
			if p.Next == nil {
				break
			}
			cursor = *p.Next
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("users %s = %q, want %q", query, got, want)
		}
	}
	for _, query := range []string{"", "?query=", "?query=a&cursor=x", "?query=a%00", "?query=%ff", "?query=a&limit=0", "?query=a&limit=1&limit=2"} {
		w.get("/v1/users"+query, ann.Token).want(t, 422, "invalid_request")
	}
	w.get("/v1/users/"+chat.NewUserID().String(), ann.Token).want(t, 404, "not_found")
	var profile struct{ Username, Bio, Email string }
	w.get("/v1/users/"+ann.ID.String(), ann.Token).into(t, 200, &profile)
	if profile.Username != "Ann" || profile.Bio != "hi" || profile.Email != "" {
		t.Errorf("profile = %+v", profile)
	}
}
