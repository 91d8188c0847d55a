package chatservice_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	chatservice "parley.chat/chat-service"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/notice"
)

func (w *world) delete(path, tok string, body any) answer {
	w.T.Helper()
	return w.send(request{method: http.MethodDelete, path: path, token: tok, body: body})
}

func (w *world) login(name, pass string) answer {
	w.T.Helper()
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
	notices := w.notices(ann)
	var next loginAnswer
	change(goodPassword, otherPassword).into(t, 200, &next)
	renewed := w.userOf(next)
	if a := w.get("/v1/me", renewed.Token); a.status != 200 || renewed.Session == ann.Session || next.User.ID != ann.ID {
		t.Errorf("the new session: %d %s, %+v", a.status, a.body, renewed)
	}
	// All earlier tokens are invalid, including those of the session that made the change.
	for _, old := range []user{other, ann} {
		w.get("/v1/me", old.Token).want(t, 401, "unauthenticated")
		w.post("/v1/refresh", "", object{"refresh_token": old.Refresh}).want(t, 401, "unauthenticated")
	}
	gone := map[chat.SessionID]bool{}
	for len(gone) < 2 { // the gateways are notified of both sessions
		n := notices()
		if n.Kind != notice.SessionRevoked || n.SessionID == nil || *n.SessionID == renewed.Session {
			t.Fatalf("notice = %+v", n)
		}
		gone[*n.SessionID] = true
	}
	var again loginAnswer
	w.post("/v1/refresh", "", object{"refresh_token": renewed.Refresh}).into(t, 200, &again)
	if a := w.get("/v1/me", bob.Token); a.status != 200 {
		t.Errorf("another user was logged out: %d", a.status)
	}
	w.login("ann", goodPassword).want(t, 401, "invalid_credentials")
	w.login("ann", otherPassword).into(t, 200, &in)
	w.Settled()
}

// TestPassword_cookies checks that a page gets its new session as cookies, and that the body
// contains no tokens.
func TestPassword_cookies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	page := w.browser()
	if a := w.send(request{method: "POST", path: "/v1/signup", client: page, body: object{"username": "ann", "email": "ann@example.com", "password": goodPassword}}); a.status != 201 {
		t.Fatalf("signup = %d %s", a.status, a.body)
	}
	at, _ := url.Parse(w.url + "/v1/refresh")
	cookies := func() map[string]string {
		all := map[string]string{}
		for _, c := range page.Jar.Cookies(at) {
			all[c.Name] = c.Value
		}
		return all
	}
	before := cookies()
	a := w.send(request{method: "POST", path: "/v1/me/password", client: page, body: object{"password": goodPassword, "new_password": otherPassword}})
	if a.status != 200 || strings.Contains(string(a.body), "_token") {
		t.Fatalf("change = %d %s", a.status, a.body)
	}
	after := cookies()
	for name, value := range before {
		if after[name] == value || after[name] == "" {
			t.Errorf("cookie %s was not replaced", name)
		}
	}
	for _, path := range []string{"/v1/me", "/v1/sessions"} {
		if a := w.send(request{method: "GET", path: path, client: page}); a.status != 200 {
			t.Errorf("%s = %d %s", path, a.status, a.body)
		}
	}
	if a := w.send(request{method: "POST", path: "/v1/refresh", client: page}); a.status != 200 {
		t.Errorf("refresh = %d %s", a.status, a.body)
	}
}

// TestPassword_forgetsDevices checks that a password change forgets the devices that logged in with
// the old password.
func TestPassword_forgetsDevices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.signup("ann")
	var in struct {
		loginAnswer
		Device string `json:"device_token"`
	}
	w.login("ann", goodPassword).into(t, 200, &in)
	w.post("/v1/me/password", in.AccessToken, object{"password": goodPassword, "new_password": otherPassword, "device_token": in.Device}).into(t, 200, &in)
	if n := w.Count("select count(*) from devices"); n != 1 || in.Device == "" {
		t.Errorf("%d known devices, want only the device that made the change", n)
	}
}

// TestSessions_bounded checks that the 51st login ends the least recently used session, and that
// the list begins with the caller's own session.
func TestSessions_bounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *chatservice.Config) { c.LoginFailures.Count = 1000 })
	ann, bob := w.signup("ann"), w.signup("bob")
	var phone loginAnswer
	w.login("ann", goodPassword).into(t, 200, &phone)
	for range 48 {
		w.login("ann", goodPassword).into(t, 200, &loginAnswer{})
	}
	w.post("/v1/refresh", "", object{"refresh_token": ann.Refresh}).into(t, 200, &loginAnswer{}) // makes the first session the most recently used one
	if a := w.get("/v1/me", phone.AccessToken); a.status != 200 {
		t.Fatalf("one of the 50 sessions has ended: %d", a.status)
	}
	var wg sync.WaitGroup
	for range 4 { // concurrently
		wg.Go(func() {
			if a, err := w.try(request{method: "POST", path: "/v1/login", body: object{"login": "ann", "password": goodPassword}}); err != nil || a.status != 200 {
				t.Errorf("login = %d %s, %v", a.status, a.body, err)
			}
		})
	}
	wg.Wait()
	w.get("/v1/me", phone.AccessToken).want(t, 401, "unauthenticated")
	w.post("/v1/refresh", "", object{"refresh_token": phone.RefreshToken}).want(t, 401, "unauthenticated")
	var list struct {
		Items []struct {
			ID      chat.SessionID `json:"id"`
			Current bool           `json:"current"`
		} `json:"items"`
	}
	w.get("/v1/sessions", ann.Token).into(t, 200, &list)
	if len(list.Items) != 50 || list.Items[0].ID != ann.Session || !list.Items[0].Current {
		t.Errorf("%d sessions, the first one is %+v", len(list.Items), list.Items[0])
	}
	if n := w.Count("select count(*) from sessions where user_id = $1 and revoked_at is null", ann.ID.String()); n != 50 {
		t.Errorf("%d active sessions, want 50", n)
	}

	if a := w.delete("/v1/sessions", ann.Token, nil); a.status != 204 {
		t.Fatalf("end all others = %d %s", a.status, a.body)
	}
	w.get("/v1/sessions", ann.Token).into(t, 200, &list)
	if len(list.Items) != 1 || list.Items[0].ID != ann.Session {
		t.Errorf("%d sessions are left, want only this one", len(list.Items))
	}
	if a := w.get("/v1/me", bob.Token); a.status != 200 {
		t.Errorf("another user was logged out: %d", a.status)
	}
	w.Settled()
}

// TestPassword_guessesAreLimited checks that a stolen session cannot be used to guess the password.
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

func TestDeleteMe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, eve := w.signup("ann"), w.signup("bob"), w.signup("eve")
	alone, shared := w.create(ann, "alone", "private"), w.create(ann, "shared", "public")
	w.join(bob, shared.ID)
	w.join(eve, shared.ID)
	w.Exec("update channel_members set role = 'admin' where user_id = $1", eve.ID.String())
	w.Exec("insert into contacts (user_id, contact_id, state) values ($1, $2, 'accepted'), ($2, $1, 'accepted')", ann.ID.String(), bob.ID.String())
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
	if n := w.Count("select count(*) from users where concat(username, email, display_name, bio, password_hash) ilike '%ann%'"); n != 0 {
		t.Error("the row still identifies the user")
	}
	if n := w.Count("select count(*) from channel_members where user_id = $1", ann.ID.String()); n != 0 {
		t.Errorf("%d memberships are left", n)
	}
	if n := w.Count("select count(*) from contacts"); n != 0 {
		t.Errorf("%d contacts are left", n)
	}
	// The admin becomes owner, although bob joined earlier. The outbox notifies the gateways.
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
	w.Settled()
	if got := w.EventLog(shared.ID); !strings.Contains(got, "member_left, ") || !strings.HasSuffix(got, "channel_updated") {
		t.Errorf("events of the shared channel: %s", got)
	}
	if got := w.EventLog(alone.ID); !strings.HasSuffix(got, "member_left") {
		t.Errorf("events of the other channel: %s", got)
	}
	// The email address can be used again.
	w.post("/v1/signup", "", object{"username": "anna", "email": "ann@example.com", "password": goodPassword}).must(t, 201)
}

// TestDeleteMe_concurrentJoins checks that a deleted account is not left as a member of a channel
// that it joined at the same time.
func TestDeleteMe_concurrentJoins(t *testing.T) {
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
		wg.Go(func() {
			if a := w.delete("/v1/me", u.Token, object{"password": goodPassword}); a.status != 204 {
				t.Errorf("delete %s: %d %s", u.Name, a.status, a.body)
			}
		})
		wg.Wait()
	}
	if n := w.Count("select count(*) from channel_members m join users u on u.id = m.user_id where u.deleted_at is not null"); n != 0 {
		t.Errorf("%d members whose accounts are deleted", n)
	}
	w.Settled()
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
	w.Exec("update users set deleted_at = now() where username = 'annika'")
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

func TestProfiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob, cid := w.signup("ann"), w.signup("bob"), w.signup("cid")
	w.do("PATCH", "/v1/me", bob, object{"display_name": "Bob Brandt"}).must(t, 200)
	w.delete("/v1/me", cid.Token, object{"password": goodPassword}).must(t, 204)
	var found struct {
		Items []struct {
			ID          chat.UserID
			Username    string
			DisplayName string `json:"display_name"`
			Deleted     bool
		}
	}
	ids := []string{bob.ID.String(), chat.NewUserID().String(), cid.ID.String(), bob.ID.String()}
	w.get("/v1/profiles?ids="+strings.Join(ids, ","), ann.Token).into(t, 200, &found)
	names := map[chat.UserID]string{}
	for _, u := range found.Items {
		names[u.ID] = fmt.Sprint(u.Username, " ", u.DisplayName, " ", u.Deleted)
	}
	if want := map[chat.UserID]string{bob.ID: "bob Bob Brandt false", cid.ID: "  true"}; len(found.Items) != 2 || !maps.Equal(names, want) {
		t.Errorf("profiles = %v, want %v", names, want)
	}
	for _, query := range []string{"", "?ids=", "?ids=x", "?ids=" + ids[0] + ",", "?ids=" + strings.Repeat(ids[0]+",", 100) + ids[0]} {
		w.get("/v1/profiles"+query, ann.Token).want(t, 422, "invalid_request")
	}
}
