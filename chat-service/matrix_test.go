package chatservice_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"parley.chat/internal/token"
	"parley.chat/shared-contracts/chat"
)

// TestMatrix asks every endpoint as everybody.
func TestMatrix(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	owner, member, stranger := w.signup("owner"), w.signup("member"), w.signup("stranger")
	ids := map[string]string{"{unknown}": chat.NewChannelID().String()}
	for _, kind := range []string{"public", "unlisted", "private"} {
		c := w.create(owner, "a "+kind+" one", kind)
		ids["{"+kind+"}"] = c.ID.String()
		w.exec("insert into channel_members (channel_id, user_id) values ($1, $2)", c.ID.String(), member.ID.String())
	}
	callers := map[string]string{
		"nobody": "", "expired": w.mint(owner, -time.Minute), "foreign key": foreign(t, w, owner), "alg none": algNone(t, owner),
		"garbage": "garbage", "stranger": stranger.Token, "member": member.Token, "owner": owner.Token,
	}
	unauthenticated := map[string]int{"nobody": 401, "expired": 401, "foreign key": 401, "alg none": 401, "garbage": 401}
	private := func(strangers, members int) map[string]int {
		all := map[string]int{"stranger": strangers, "member": members, "owner": members}
		for who, status := range unauthenticated {
			all[who] = status
		}
		return all
	}
	public := func(status int) map[string]int {
		all := private(status, status)
		for who := range unauthenticated {
			all[who] = status
		}
		return all
	}
	for _, tt := range []struct {
		endpoint string
		body     any
		want     map[string]int
	}{
		{"GET /.well-known/jwks.json", nil, public(200)},
		{"POST /v1/signup", object{}, public(422)},
		{"POST /v1/login", object{}, public(422)},
		{"POST /v1/refresh", object{}, public(401)},
		{"GET /v1/nothing", nil, public(404)},
		{"GET /nothing", nil, public(404)},
		{"GET /v1/signup", nil, public(405)},
		{"PUT /v1/channels/{private}", object{}, public(405)},
		{"GET /v1/me", nil, private(200, 200)},
		{"PATCH /v1/me", object{}, private(200, 200)},
		{"GET /v1/sessions", nil, private(200, 200)},
		{"DELETE /v1/sessions/{unknown}", nil, private(404, 404)},
		{"DELETE /v1/sessions/x", nil, private(404, 404)},
		{"GET /v1/channels", nil, private(200, 200)},
		{"POST /v1/channels", object{}, private(422, 422)},
		{"GET /v1/channels/{public}", nil, private(403, 200)},
		{"GET /v1/channels/{unlisted}", nil, private(403, 200)},
		{"GET /v1/channels/{private}", nil, private(404, 200)},
		{"GET /v1/channels/{unknown}", nil, private(404, 404)},
		{"GET /v1/channels/x", nil, private(404, 404)},
		{"GET /v1/channels/{public}/messages", nil, private(403, 200)},
		{"GET /v1/channels/{unlisted}/messages", nil, private(403, 200)},
		{"GET /v1/channels/{private}/messages", nil, private(404, 200)},
		{"GET /v1/channels/{unknown}/messages", nil, private(404, 404)},
		{"POST /v1/channels/{private}/join", nil, private(404, 200)},
		{"POST /v1/channels/{unknown}/join", nil, private(404, 404)},
		{"POST /v1/channels/{private}/leave", nil, private(404, 204)},
		{"POST /v1/channels/{unknown}/leave", nil, private(404, 404)},
		{"POST /v1/channels/{unlisted}/leave", nil, private(204, 204)},
		{"POST /v1/channels/{public}/join", nil, private(200, 200)},
	} {
		method, path, _ := strings.Cut(tt.endpoint, " ")
		for placeholder, id := range ids {
			path = strings.ReplaceAll(path, placeholder, id)
		}
		for who, tok := range callers {
			a := w.send(request{method: method, path: path, token: tok, body: tt.body})
			if a.status != tt.want[who] {
				t.Errorf("%s as %s = %d %s, want %d", tt.endpoint, who, a.status, a.body, tt.want[who])
				continue
			}
			if a.status >= 400 {
				a.problem(t)
			}
			if a.status == 401 && a.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s as %s: 401 without WWW-Authenticate", tt.endpoint, who)
			}
			if a.status == 405 && a.header.Get("Allow") == "" {
				t.Errorf("%s: 405 without Allow", tt.endpoint)
			}
			if a.header.Get("X-Request-Id") == "" || a.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: headers %v", tt.endpoint, a.header)
			}
		}
	}
	// Ends the session, so it comes last.
	for who, tok := range callers {
		want := 401
		if tok != "" && unauthenticated[who] == 0 {
			want = 204
		}
		if a := w.send(request{method: http.MethodPost, path: "/v1/logout", token: tok}); a.status != want {
			t.Errorf("logout as %s = %d %s, want %d", who, a.status, a.body, want)
		}
	}
}

// mint signs a token of a user with the service's own key.
func (w *world) mint(u user, left time.Duration) string {
	w.t.Helper()
	keys, err := token.LoadKeys(w.keys)
	if err != nil {
		w.t.Fatal(err)
	}
	raw, _, err := token.NewIssuer(keys, 0).Issue(token.Claims{UserID: u.ID, SessionID: u.Session, Username: u.Name, ExpiresAt: time.Now().Add(left)})
	if err != nil {
		w.t.Fatal(err)
	}
	return raw
}

// foreign signs a token with another key of the same id.
func foreign(t *testing.T, w *world, u user) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(w.keys, "*.pem"))
	if err != nil || len(files) != 1 {
		t.Fatalf("keys = %v, %v", files, err)
	}
	key, err := token.NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	key.ID = strings.TrimSuffix(filepath.Base(files[0]), ".pem")
	raw, _, err := token.NewIssuer(key, 0).Issue(token.Claims{UserID: u.ID, SessionID: u.Session, Username: u.Name})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func algNone(t *testing.T, u user) string {
	t.Helper()
	raw, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{
		"iss": "parley", "aud": "parley", "sub": u.ID.String(), "sid": u.Session.String(), "preferred_username": u.Name,
		"exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestBadBodies: what is no JSON, no object, or too much of it, at every endpoint that reads one.
func TestBadBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("ann")
	for _, endpoint := range []string{"POST /v1/signup", "POST /v1/login", "POST /v1/refresh", "POST /v1/channels", "PATCH /v1/me"} {
		method, path, _ := strings.Cut(endpoint, " ")
		for _, tt := range []struct {
			name, body, contentType string
			status                  int
			code                    string
		}{
			{"not JSON", `{"name":`, "application/json", 400, "bad_frame"},
			{"two values", `{} {}`, "application/json", 400, "bad_frame"},
			{"a list", `[]`, "application/json", 400, "bad_frame"},
			{"null", `null`, "application/json", 400, "bad_frame"},
			{"invalid UTF-8", "{\"name\":\"\xff\"}", "application/json", 400, "bad_frame"},
			{"a form", `name=x`, "application/x-www-form-urlencoded", 415, "unsupported_media_type"},
			{"no type", `{}`, "", 415, "unsupported_media_type"},
			{"text", `{}`, "text/plain", 415, "unsupported_media_type"},
			{"huge", `{"name":"` + strings.Repeat("x", 200<<10) + `"}`, "application/json", 413, "too_large"},
		} {
			a := w.send(request{
				method: method, path: path, token: ann.Token, body: []byte(tt.body), header: map[string]string{"Content-Type": tt.contentType},
			})
			if a.status != tt.status || a.problem(t).Code != tt.code {
				t.Errorf("%s with %s = %d %s, want %d %s", endpoint, tt.name, a.status, a.body, tt.status, tt.code)
			}
		}
	}
	w.post("/v1/login", "", nil).want(t, 415, "unsupported_media_type")
	a := w.send(request{method: "POST", path: "/v1/channels", token: ann.Token, body: []byte(`{"name":"utf8","kind":"public"}`), header: map[string]string{"Content-Type": "application/json; charset=utf-8"}})
	if a.status != 201 {
		t.Errorf("with charset: %d %s", a.status, a.body)
	}
}

// TestHostileFields puts everything that ever broke a server into each field of each request.
func TestHostileFields(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.signup("ann")
	hostile := []any{
		nil, true, 0, -1, 1.5, 1e308, "", " ", "\x00", "a\x00b", "\n", "\u202e", "\ufeff", "\ud7ff", "é", "e\u0301", "👩‍👩‍👧‍👦", "'; drop table users; --",
		"<script>alert(1)</script>", "%s%n", "{{.}}", "../../etc/passwd", "?", "$1", "\\", "\"", strings.Repeat("x", 100_000), strings.Repeat("𝔘", 300),
		[]any{},
		[]any{1},
		object{},
		object{"a": object{}},
		"00000000-0000-0000-0000-000000000000", "urn:uuid:7b0e9a3c-3a5e-4f7e-9d57-0f6a0a2f7f11",
	}
	for endpoint, fields := range map[string]object{
		"POST /v1/signup":   {"username": "fresh-name", "email": "fresh@example.com", "password": goodPassword, "session": "bearer"},
		"POST /v1/login":    {"login": "ann", "password": "wrong horse", "session": "bearer"},
		"POST /v1/refresh":  {"refresh_token": "x"},
		"POST /v1/logout":   {"refresh_token": "x"},
		"POST /v1/channels": {"name": "general", "kind": "private", "description": "x", "group_id": nil},
		"PATCH /v1/me":      {"display_name": "x", "bio": "x", "avatar_url": "https://example.com"},
	} {
		method, path, _ := strings.Cut(endpoint, " ")
		tok := ann.Token
		if endpoint == "POST /v1/logout" {
			tok = ""
		}
		for field := range fields {
			for _, value := range hostile {
				body := object{}
				for k, v := range fields {
					body[k] = v
				}
				body[field] = value
				a := w.send(request{method: method, path: path, token: tok, body: body})
				if a.status >= 500 {
					t.Errorf("%s with %s = %.40q: %d %s", endpoint, field, value, a.status, a.body)
				}
				if a.status < 400 {
					continue
				}
				p := a.problem(t)
				if a.status == 422 && (len(p.Errors) == 0 || p.Errors[0].Field != field) {
					t.Errorf("%s with %s = %.40q: errors = %+v", endpoint, field, value, p.Errors)
				}
			}
		}
	}
	for _, query := range []string{"cursor", "limit", "query", "mine", "before_seq", "after_seq", "around"} {
		for _, path := range []string{"/v1/channels", "/v1/channels/" + w.create(ann, fmt.Sprint("for ", query), "public").ID.String() + "/messages"} {
			for _, value := range []string{"%00", "%ff", "-1", "9223372036854775807", "9223372036854775808", "1e9", "'", "%25", "null", "e30", "%F0%9F", "%zz", ";"} {
				if a := w.get(path+"?"+query+"="+value, ann.Token); a.status >= 500 {
					t.Errorf("%s?%s=%s: %d %s", path, query, value, a.status, a.body)
				}
			}
		}
	}
}

// FuzzBodies: whatever is sent is answered, with no fault of ours, and an error is a problem.
func FuzzBodies(f *testing.F) {
	w := newWorld(f)
	ann := w.signup("ann")
	for _, seed := range []string{
		`{}`, `{"username":"bob","email":"b@example.com","password":"correct horse"}`, `{"login":"ann","password":"x"}`,
		`{"name":"general","kind":"public","description":"x","group_id":null}`, `{"name":"\u0000","kind":1}`, `{"refresh_token":"\ud800"}`,
		`{"display_name":"x","bio":"\n","avatar_url":"http://[::1"}`, `[`, "\xff", `{"name":{"name":[1e999]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, endpoint := range []string{"POST /v1/signup", "POST /v1/login", "POST /v1/refresh", "POST /v1/channels", "PATCH /v1/me"} {
			method, path, _ := strings.Cut(endpoint, " ")
			a, err := w.try(request{method: method, path: path, token: ann.Token, body: body})
			if err != nil || a.status >= 500 {
				t.Fatalf("%s = %d %s, %v", endpoint, a.status, a.body, err)
			}
			if a.status >= 400 {
				a.problem(t)
			}
		}
	})
}
