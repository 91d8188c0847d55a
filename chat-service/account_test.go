package chatservice_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	chatservice "parley.chat/chat-service"
	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/platform/config"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/notice"
	"parley.chat/shared-contracts/rediskey"
)

func TestSignupLoginRefreshLogout_bearer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("Ann")
	var me struct{ ID, Username, Email string }
	w.get("/v1/me", ann.Token).into(t, http.StatusOK, &me)
	if me.ID != ann.ID.String() || me.Username != "Ann" || me.Email != "Ann@example.com" {
		t.Errorf("me = %+v", me)
	}
	for _, login := range []string{"Ann", "ANN", "ann@EXAMPLE.com"} {
		var in loginAnswer
		a := w.post("/v1/login", "", object{"login": login, "password": goodPassword, "session": "bearer"})
		a.into(t, http.StatusOK, &in)
		if in.User.ID != ann.ID || in.RefreshToken == "" || in.ExpiresIn < 890 || in.ExpiresIn > 900 {
			t.Errorf("login as %s = %s", login, a.body)
		}
		if cookies := a.header.Values("Set-Cookie"); len(cookies) > 0 {
			t.Errorf("a bearer session sets cookies: %v", cookies)
		}
	}
	var next loginAnswer
	w.post("/v1/refresh", "", object{"refresh_token": ann.Refresh}).into(t, http.StatusOK, &next)
	renewed := w.userOf(next)
	if renewed.Session != ann.Session || renewed.Refresh == ann.Refresh || renewed.Refresh == "" {
		t.Errorf("refresh = %+v after %+v", renewed, ann)
	}
	if a := w.post("/v1/logout", renewed.Token, nil); a.status != http.StatusNoContent {
		t.Fatalf("logout = %d %s", a.status, a.body)
	}
	w.get("/v1/me", renewed.Token).want(t, 401, "unauthenticated")
	w.post("/v1/refresh", "", object{"refresh_token": renewed.Refresh}).want(t, 401, "unauthenticated")
}

func TestCookies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	page := w.browser()
	a := w.send(request{method: "POST", path: "/v1/signup", client: page, body: object{"username": "ann", "email": "a@example.com", "password": goodPassword}})
	if a.status != http.StatusCreated || strings.Contains(string(a.body), "_token") {
		t.Fatalf("signup = %d %s, want no token in the body", a.status, a.body)
	}
	for _, cookie := range a.header.Values("Set-Cookie") {
		for _, want := range []string{"HttpOnly", "SameSite=Lax", "Max-Age="} {
			if !strings.Contains(cookie, want) {
				t.Errorf("cookie without %s: %s", want, cookie)
			}
		}
		// httptest listens on 127.0.0.1 over plain HTTP.
		if strings.Contains(cookie, "Secure") {
			t.Errorf("cookie is Secure: %s", cookie)
		}
	}
	if n := len(a.header.Values("Set-Cookie")); n != 3 {
		t.Fatalf("%d cookies, want 3", n)
	}
	if a := w.send(request{method: "GET", path: "/v1/me", client: page}); a.status != 200 {
		t.Fatalf("me = %d %s", a.status, a.body)
	}
	refresh := func() string {
		u, _ := url.Parse(w.url + "/v1/refresh")
		for _, c := range page.Jar.Cookies(u) {
			if c.Name == "refresh_token" {
				return c.Value
			}
		}
		return ""
	}
	before := refresh()
	if a := w.send(request{method: "POST", path: "/v1/refresh", client: page}); a.status != 200 || strings.Contains(string(a.body), "_token") {
		t.Fatalf("refresh = %d %s, want no token in the body", a.status, a.body)
	}
	login := object{"login": "ann", "password": goodPassword, "session": "cookie"}
	if a := w.send(request{method: "POST", path: "/v1/login", client: page, body: login}); a.status != 200 || strings.Contains(string(a.body), "_token") {
		t.Fatalf("login = %d %s, want no token in the body", a.status, a.body)
	}
	if after := refresh(); after == before || after == "" {
		t.Errorf("refresh cookie %q after %q", after, before)
	}
	if a := w.send(request{method: "POST", path: "/v1/logout", client: page}); a.status != 204 {
		t.Fatalf("logout = %d %s", a.status, a.body)
	}
	if refresh() != "" {
		t.Error("the refresh cookie is still set after logout")
	}
	w.send(request{method: "GET", path: "/v1/me", client: page}).want(t, 401, "unauthenticated")
}

func TestCookies_secure(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for _, tt := range []struct {
		name   string
		secure *bool
		proxy  bool
		host   string
		header map[string]string
		want   bool
	}{
		{name: "loopback", host: "127.0.0.1:8080"},
		{name: "localhost", host: "localhost"},
		{name: "another host", host: "chat.example.com", want: true},
		{name: "private network address", host: "192.168.1.5:8080", want: true},
		{name: "https by a trusted proxy", host: "localhost", proxy: true, header: map[string]string{"X-Forwarded-Proto": "https"}, want: true},
		{name: "http by a trusted proxy", host: "localhost", proxy: true, header: map[string]string{"X-Forwarded-Proto": "http", "X-Forwarded-For": "127.0.0.1"}},
		{name: "untrusted proxy", host: "localhost", header: map[string]string{"X-Forwarded-Proto": "http"}, want: true},
		{name: "forced off", secure: &no, host: "chat.example.com"},
		{name: "forced off, over https", secure: &no, host: "chat.example.com", header: map[string]string{"X-Forwarded-Proto": "https"}, want: true},
		{name: "forced on", secure: &yes, host: "localhost", want: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(c *chatservice.Config) {
				c.CookieSecure = tt.secure
				if tt.proxy {
					if err := c.Proxies.UnmarshalText([]byte("127.0.0.1")); err != nil {
						t.Fatal(err)
					}
				}
			})
			req, err := http.NewRequest("POST", w.url+"/v1/signup", strings.NewReader(`{"username":"ann","email":"a@example.com","password":"correct horse"}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Host = tt.host
			req.Header.Set("Content-Type", "application/json")
			for k, v := range tt.header {
				req.Header.Set(k, v)
			}
			resp, err := w.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != 201 || len(resp.Cookies()) != 3 {
				t.Fatalf("signup = %d with %d cookies", resp.StatusCode, len(resp.Cookies()))
			}
			for _, c := range resp.Cookies() {
				if c.Secure != tt.want || strings.HasPrefix(c.Name, "__Host-") != tt.want || tt.want && c.Path != "/" || c.Domain != "" {
					t.Errorf("cookie %s: %v, want Secure and __Host-: %v", c.Name, c, tt.want)
				}
			}
		})
	}
}

func TestOrigin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *chatservice.Config) { c.Origins = []string{"https://app.example.com"} })
	page := w.browser()
	signup := object{"username": "ann", "email": "a@example.com", "password": goodPassword}
	from := func(origin string, r request) answer {
		r.client, r.header = page, map[string]string{"Origin": origin}
		return w.send(r)
	}
	from("https://evil.example.com", request{method: "POST", path: "/v1/signup", body: signup}).want(t, 403, "foreign_origin")
	if a := from(w.url, request{method: "POST", path: "/v1/signup", body: signup}); a.status != 201 {
		t.Fatalf("from our own page: %d %s", a.status, a.body)
	}
	channel := object{"name": "general", "kind": "public"}
	for _, origin := range []string{"https://evil.example.com", "null", "http://app.example.com"} {
		from(origin, request{method: "POST", path: "/v1/channels", body: channel}).want(t, 403, "foreign_origin")
		from(origin, request{method: "POST", path: "/v1/refresh"}).want(t, 403, "foreign_origin")
		from(origin, request{method: "POST", path: "/v1/logout"}).want(t, 403, "foreign_origin")
	}
	w.send(request{method: "POST", path: "/v1/channels", client: page, body: channel, header: map[string]string{"Sec-Fetch-Site": "cross-site"}}).
		want(t, 403, "foreign_origin")
	a := from("https://app.example.com", request{method: "POST", path: "/v1/channels", body: channel})
	if a.status != 201 || a.header.Get("Access-Control-Allow-Origin") != "https://app.example.com" {
		t.Errorf("from an allowed page: %d %s, %v", a.status, a.body, a.header)
	}
	// Programs such as curl send cookies without an Origin header.
	if a := w.send(request{method: "POST", path: "/v1/channels", client: page, body: object{"name": "second", "kind": "public"}}); a.status != 201 {
		t.Errorf("without Origin: %d %s", a.status, a.body)
	}
	// Browsers do not attach bearer tokens automatically, so the origin does not matter.
	bob := w.signup("bob")
	if a := w.send(request{
		method: "POST", path: "/v1/channels", token: bob.Token, body: object{"name": "third", "kind": "public"},
		header: map[string]string{"Origin": "https://evil.example.com"},
	}); a.status != 201 {
		t.Errorf("with a bearer token: %d %s", a.status, a.body)
	}
}

func TestSignup_refuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.signup("taken")
	for _, tt := range []struct {
		name                      string
		username, email, password any
		status                    int
		code, field               string
	}{
		{"username in use", "Taken", "new@example.com", goodPassword, 409, "username_taken", "username"},
		{"email in use", "fresh", "TAKEN@example.com", goodPassword, 409, "email_taken", "email"},
		{"short username", "ab", "x@example.com", goodPassword, 422, "invalid_request", "username"},
		{"username with blank", "a b c", "x@example.com", goodPassword, 422, "invalid_request", "username"},
		{"reserved username", "Everyone", "x@example.com", goodPassword, 422, "invalid_request", "username"},
		{"numeric username", 7, "x@example.com", goodPassword, 422, "invalid_request", "username"},
		{"no username", nil, "x@example.com", goodPassword, 422, "invalid_request", "username"},
		{"email without @", "fresh", "example.com", goodPassword, 422, "invalid_request", "email"},
		{"email with a display name", "fresh", "Ann <a@example.com>", goodPassword, 422, "invalid_request", "email"},
		{"email with NUL", "fresh", "a\x00@example.com", goodPassword, 422, "invalid_request", "email"},
		{"short password", "fresh", "x@example.com", "seven77", 422, "invalid_request", "password"},
		{"long password", "fresh", "x@example.com", strings.Repeat("x1", 101), 422, "invalid_request", "password"},
		{"common password", "fresh", "x@example.com", "Password123", 422, "invalid_request", "password"},
		{"password equal to the username", "fresh-name", "x@example.com", "fresh-name", 422, "invalid_request", "password"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := w.post("/v1/signup", "", object{"username": tt.username, "email": tt.email, "password": tt.password})
			if p := a.want(t, tt.status, tt.code); len(p.Errors) != 1 || p.Errors[0].Field != tt.field {
				t.Errorf("errors = %+v, want one of %s", p.Errors, tt.field)
			}
		})
	}
	if p := w.post("/v1/signup", "", object{}).want(t, 422, "invalid_request"); len(p.Errors) != 3 || p.Errors[0].Code != apierr.FieldRequired {
		t.Errorf("the response to an empty form lists %+v, want 3 required fields", p.Errors)
	}
	for name, code := range map[string]apierr.FieldCode{
		"taken": apierr.FieldTaken, "everyone": apierr.FieldReserved, "a b c": apierr.FieldUsernameCharacters, "ab": apierr.FieldLength,
	} {
		p := w.post("/v1/signup", "", object{"username": name, "email": "x@example.com", "password": goodPassword}).problem(t)
		if len(p.Errors) != 1 || p.Errors[0].Code != code || (code == apierr.FieldLength) != (p.Errors[0].Min != nil && *p.Errors[0].Max == 50) {
			t.Errorf("%s: %+v, want the code %s", name, p.Errors, code)
		}
	}
	w.post("/v1/signup", "", object{"username": "fresh", "email": "x@example.com", "password": goodPassword, "session": "magic"}).
		want(t, 422, "invalid_request")
}

func TestLogin_failuresLookAlike(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.signup("ann")
	answers := map[string]string{}
	for name, login := range map[string]string{"known": "ann", "unknown": "nobody", "unknown email": "no@example.com", "odd": "a\x00b", "long": strings.Repeat("x", 9999)} {
		a := w.post("/v1/login", "", object{"login": login, "password": "wrong horse"})
		p := a.want(t, 401, "invalid_credentials")
		answers[strings.ReplaceAll(string(a.body), p.RequestID, "")] = name
	}
	if len(answers) != 1 {
		t.Errorf("answers differ: %v", answers)
	}
	w.post("/v1/login", "", object{"login": "ann"}).want(t, 422, "invalid_request")
}

// TestLogin_successResetsFailures checks that a successful login resets the count of wrong
// passwords.
func TestLogin_successResetsFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *chatservice.Config) { c.LoginFailuresAll.Count = 1000 })
	w.signup("bob")
	for range 3 {
		for range 9 {
			w.login("bob", "wrong horse").want(t, 401, "invalid_credentials")
		}
		if a := w.login("bob", goodPassword); a.status != 200 {
			t.Fatalf("bob = %d %s", a.status, a.body)
		}
	}
}

func TestLogin_concurrentGuessesAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.signup("ann")
	var mu sync.Mutex
	got := map[int]int{}
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			a, err := w.try(request{method: "POST", path: "/v1/login", body: object{"login": "ann", "password": "wrong horse"}})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			got[a.status]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if got[401] != 10 || got[429] != 30 {
		t.Errorf("statuses = %v, want 401 ten times and 429 thirty times", got)
	}
}

func TestLogin_limitPerAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *chatservice.Config) {
		c.LoginAttempts = config.Rate{Count: 30, Per: time.Hour}
		if err := c.Proxies.UnmarshalText([]byte("127.0.0.0/8, 10.0.0.0/8")); err != nil {
			t.Fatal(err)
		}
	})
	from := func(forwarded string) answer {
		return w.send(request{
			method: "POST", path: "/v1/login", body: object{"login": "nobody-" + forwarded, "password": "wrong horse"},
			header: map[string]string{"X-Forwarded-For": forwarded},
		})
	}
	for i := range 30 {
		// The proxy appends the address that it saw. All addresses before it may have been forged
		// by the client.
		from("192.0.2."+string(rune('0'+i%10))+", 198.51.100.7, 10.1.1.1").want(t, 401, "invalid_credentials")
		if i == 0 {
			from("198.51.100.8").want(t, 401, "invalid_credentials")
		}
	}
	from("198.51.100.7").want(t, 429, "rate_limited")
	from("198.51.100.8").want(t, 401, "invalid_credentials")
	w.post("/v1/login", "", object{"login": "x", "password": "wrong horse"}).want(t, 401, "invalid_credentials")
}

func TestRefresh_reuseEndsTheSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("ann")
	other := w.post("/v1/login", "", object{"login": "ann", "password": goodPassword, "session": "bearer"})
	var elsewhere loginAnswer
	other.into(t, 200, &elsewhere)

	var second, third loginAnswer
	w.post("/v1/refresh", "", object{"refresh_token": ann.Refresh}).into(t, 200, &second)
	w.post("/v1/refresh", "", object{"refresh_token": second.RefreshToken}).into(t, 200, &third)
	w.post("/v1/refresh", "", object{"refresh_token": ann.Refresh}).want(t, 401, "unauthenticated")
	w.post("/v1/refresh", "", object{"refresh_token": third.RefreshToken}).want(t, 401, "unauthenticated")
	w.Settled() // the relay sets the revocation mark
	w.get("/v1/me", third.AccessToken).want(t, 401, "unauthenticated")
	// The user's other session is not affected.
	if a := w.get("/v1/me", elsewhere.AccessToken); a.status != 200 {
		t.Errorf("the other session: %d %s", a.status, a.body)
	}
	w.post("/v1/refresh", "", object{"refresh_token": "nonsense"}).want(t, 401, "unauthenticated")
	w.post("/v1/refresh", "", object{}).want(t, 401, "unauthenticated")
	w.post("/v1/refresh", "", nil).want(t, 401, "unauthenticated")
}

func TestSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	var in loginAnswer
	w.send(request{
		method: "POST", path: "/v1/login", body: object{"login": "ann", "password": goodPassword, "session": "bearer"},
		header: map[string]string{"User-Agent": "phone\xff\u0080"},
	}).into(t, 200, &in)
	phone := w.userOf(in)
	var list struct {
		Items []struct {
			ID        string `json:"id"`
			UserAgent string `json:"user_agent"`
			Address   string `json:"address"`
			Current   bool   `json:"current"`
		} `json:"items"`
	}
	w.get("/v1/sessions", ann.Token).into(t, 200, &list)
	if len(list.Items) != 2 || list.Items[1].ID != phone.Session.String() || list.Items[1].UserAgent != "phone" ||
		list.Items[1].Current || !list.Items[0].Current || list.Items[0].Address != "127.0.0.1" {
		t.Fatalf("sessions = %+v", list.Items)
	}
	path := "/v1/sessions/" + phone.Session.String()
	w.send(request{method: "DELETE", path: path, token: bob.Token}).want(t, 404, "not_found")
	if a := w.get("/v1/me", phone.Token); a.status != 200 {
		t.Fatalf("another user ended the session: %d", a.status)
	}
	topic := rediskey.UserTopic(rediskey.Of(ann.ID.UUID, partitions), ann.ID)
	sub := w.RDB.SSubscribe(t.Context(), topic)
	defer sub.Close()
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // repeating it is not an error
		if a := w.send(request{method: "DELETE", path: path, token: ann.Token}); a.status != 204 {
			t.Fatalf("revoke = %d %s", a.status, a.body)
		}
	}
	w.get("/v1/me", phone.Token).want(t, 401, "unauthenticated")
	if a := w.get("/v1/me", ann.Token); a.status != 200 {
		t.Errorf("the session that made the request: %d", a.status)
	}
	msg, err := sub.ReceiveMessage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n, err := notice.Decode([]byte(msg.Payload))
	if err != nil || n.Kind != notice.SessionRevoked || n.UserID != ann.ID || n.SessionID == nil || *n.SessionID != phone.Session {
		t.Errorf("notice = %s, %v", msg.Payload, err)
	}
}

func TestRefresh_notifiesGateways(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("ann")
	sub := w.RDB.SSubscribe(t.Context(), rediskey.UserTopic(rediskey.Of(ann.ID.UUID, partitions), ann.ID))
	defer sub.Close()
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	var in loginAnswer
	w.post("/v1/refresh", "", object{"refresh_token": ann.Refresh}).into(t, 200, &in)
	msg, err := sub.ReceiveMessage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n, err := notice.Decode([]byte(msg.Payload))
	if err != nil || n.Kind != notice.SessionRenewed || n.SessionID == nil || *n.SessionID != ann.Session ||
		n.ExpiresAt == nil || !n.ExpiresAt.Equal(w.verify(in.AccessToken).ExpiresAt) {
		t.Errorf("notice = %s, %v", msg.Payload, err)
	}
}

func TestLogout_onlyRefreshToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("ann")
	if a := w.post("/v1/logout", "", object{"refresh_token": ann.Refresh}); a.status != 204 {
		t.Fatalf("logout = %d %s", a.status, a.body)
	}
	w.get("/v1/me", ann.Token).want(t, 401, "unauthenticated")
	w.post("/v1/logout", "", nil).want(t, 401, "unauthenticated")
}

func TestMe_patch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("ann")
	patch := func(body any) answer {
		return w.send(request{method: "PATCH", path: "/v1/me", token: ann.Token, body: body})
	}
	var me struct {
		DisplayName string `json:"display_name"`
		Bio         string `json:"bio"`
	}
	patch(object{"display_name": "Ann <b>", "bio": "line\r\nline"}).into(t, 200, &me)
	if me.DisplayName != "Ann <b>" || me.Bio != "line\nline" {
		t.Errorf("me = %+v", me)
	}
	patch(object{"display_name": nil, "bio": ""}).into(t, 200, &me)
	if me.DisplayName != "Ann <b>" || me.Bio != "" {
		t.Errorf("me = %+v", me)
	}
	patch(object{"display_name": " Ann\u3000"}).into(t, 200, &me)
	if me.DisplayName != "Ann" {
		t.Errorf("display_name = %q, want it trimmed", me.DisplayName)
	}
	for _, name := range []string{" ", "\u200b\ufeff", "Bob\u202e", "\u2066Bob"} {
		if p := patch(object{"display_name": name}).want(t, 422, "invalid_request"); p.Errors[0].Field != "display_name" {
			t.Errorf("%q: errors = %+v", name, p.Errors)
		}
	}
	patch(object{"display_name": ""}).into(t, 200, &me)
	if me.DisplayName != "" {
		t.Errorf("display_name = %q, want none", me.DisplayName)
	}
	for field, value := range map[string]any{
		"display_name": strings.Repeat("x", 81), "bio": strings.Repeat("x", 501), "avatar_url": "javascript:alert(1)",
	} {
		if p := patch(object{field: value}).want(t, 422, "invalid_request"); p.Errors[0].Field != field {
			t.Errorf("%s: errors = %+v", field, p.Errors)
		}
	}
	w.Exec("update users set deleted_at = now()")
	w.get("/v1/me", ann.Token).want(t, 401, "unauthenticated")
	w.post("/v1/login", "", object{"login": "ann", "password": goodPassword}).want(t, 401, "invalid_credentials")
	w.post("/v1/refresh", "", object{"refresh_token": ann.Refresh}).want(t, 401, "unauthenticated")
}

func TestKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("ann")
	files, err := filepath.Glob(filepath.Join(w.keys, "*.pem"))
	if err != nil || len(files) != 1 {
		t.Fatalf("keys = %v, %v", files, err)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v", info, err)
	}
	var set struct{ Keys []json.RawMessage }
	w.get("/.well-known/jwks.json", "").into(t, 200, &set)
	if len(set.Keys) != 1 || strings.Contains(string(set.Keys[0]), `"d"`) {
		t.Errorf("key set = %s", set.Keys)
	}
	var stored string
	testkit.Until(t, testkit.Timeout, func() error { // the service may still be starting
		return w.Pool.QueryRow(t.Context(), "select kid from token_keys").Scan(&stored)
	})
	if stored+".pem" != filepath.Base(files[0]) {
		t.Errorf("stored key %s, want the key of %s", stored, files[0])
	}
	if a := w.get("/v1/me", ann.Token); a.status != 200 {
		t.Errorf("me = %d", a.status)
	}
}
