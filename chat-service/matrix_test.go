package chatservice_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/chat"
)

// everybody lists the users of the matrix, in the order of its columns. "blocked" is blocked by the
// owner and has an old direct channel with them. "grouped" is a member of the group only. "member",
// "admin" and "owner" have that role in the group and in the channels.
var everybody = []string{"stranger", "blocked", "grouped", "member", "admin", "owner"}

// endpoint is a row of the matrix: a request, and the expected status for each user in everybody.
// Requests without a valid token must get 401, except on open endpoints.
type endpoint struct {
	ask    string
	body   object
	want   string
	isOpen bool
}

var matrix = []endpoint{
	{"GET /.well-known/jwks.json", nil, "200 200 200 200 200 200", true},
	{"GET /openapi.yaml", nil, "200 200 200 200 200 200", true},
	{"GET /docs", nil, "200 200 200 200 200 200", true},
	{"GET /v1/avatars/x", nil, "404 404 404 404 404 404", true},
	{"POST /v1/signup", object{}, "422 422 422 422 422 422", true},
	{"POST /v1/login", object{}, "422 422 422 422 422 422", true},
	{"POST /v1/refresh", object{}, "401 401 401 401 401 401", true},
	{"GET /v1/nothing", nil, "404 404 404 404 404 404", true},
	{"GET /c/x/y", nil, "404 404 404 404 404 404", true},
	{"GET /assets/nothing.js", nil, "404 404 404 404 404 404", true},
	{"GET /nothing", nil, "404 404 404 404 404 404", true},
	{"GET /v1/signup", nil, "405 405 405 405 405 405", true},
	{"PUT /v1/channels/{private}", object{}, "405 405 405 405 405 405", true},

	{"GET /v1/me", nil, "200 200 200 200 200 200", false},
	{"PATCH /v1/me", object{}, "200 200 200 200 200 200", false},
	{"DELETE /v1/me", object{}, "422 422 422 422 422 422", false},
	{"POST /v1/me/password", object{}, "422 422 422 422 422 422", false},
	{"GET /v1/sessions", nil, "200 200 200 200 200 200", false},
	{"DELETE /v1/sessions", nil, "204 204 204 204 204 204", false},
	{"DELETE /v1/sessions/{unknown}", nil, "404 404 404 404 404 404", false},
	{"DELETE /v1/sessions/x", nil, "404 404 404 404 404 404", false},
	{"GET /v1/users?query=own", nil, "200 200 200 200 200 200", false},
	{"GET /v1/users/{owner}", nil, "200 200 200 200 200 200", false},
	{"GET /v1/users/{unknown}", nil, "404 404 404 404 404 404", false},
	{"GET /v1/profiles?ids={owner},{unknown}", nil, "200 200 200 200 200 200", false},

	{"GET /v1/contacts", nil, "200 200 200 200 200 200", false},
	{"POST /v1/contacts", object{"user_id": "{outsider}"}, "200 200 200 200 200 200", false},
	{"POST /v1/contacts", object{"user_id": "{owner}"}, "200 200 200 200 200 422", false},
	{"POST /v1/contacts", object{"user_id": "{unknown}"}, "404 404 404 404 404 404", false},
	{"DELETE /v1/contacts/{owner}", nil, "204 204 204 204 204 422", false},
	{"POST /v1/contacts/{outsider}/block", nil, "204 204 204 204 204 204", false},
	{"DELETE /v1/contacts/{outsider}/block", nil, "204 204 204 204 204 204", false},
	{"POST /v1/contacts/{unknown}/block", nil, "404 404 404 404 404 404", false},
	{"POST /v1/dms", object{"user_id": "{owner}"}, "201 403 201 200 201 422", false},
	{"POST /v1/dms", object{"user_id": "{unknown}"}, "404 404 404 404 404 404", false},

	{"GET /v1/groups", nil, "200 200 200 200 200 200", false},
	{"POST /v1/groups", object{}, "422 422 422 422 422 422", false},
	{"GET /v1/groups/{group}", nil, "404 404 200 200 200 200", false},
	{"PATCH /v1/groups/{group}", object{"name": "x"}, "404 404 403 403 200 200", false},
	{"DELETE /v1/groups/{group}", nil, "404 404 403 403 403 204", false},
	{"GET /v1/groups/{group}/members", nil, "404 404 200 200 200 200", false},
	{"POST /v1/groups/{group}/members", object{"user_id": "{outsider}"}, "404 404 403 403 200 200", false},
	{"POST /v1/groups/{group}/members", object{"user_id": "{unknown}"}, "404 404 403 403 404 404", false},
	{"POST /v1/groups/{group}/members", object{"user_id": "{outsider}", "role": "admin"}, "404 404 403 403 403 200", false},
	{"PATCH /v1/groups/{group}/members/{victim}", object{"role": "admin"}, "404 404 403 403 403 200", false},
	{"DELETE /v1/groups/{group}/members/{victim}", nil, "404 404 403 403 204 204", false},
	{"DELETE /v1/groups/{group}/members/{unknown}", nil, "404 404 403 403 404 404", false},
	{"GET /v1/groups/{group}/channels", nil, "404 404 200 200 200 200", false},
	{"POST /v1/groups/{group}/channels", object{"name": "x", "kind": "public"}, "404 404 403 403 201 201", false},

	{"GET /v1/invitations", nil, "200 200 200 200 200 200", false},
	{"GET /v1/invitations?sent=true", nil, "200 200 200 200 200 200", false},
	{"POST /v1/invitations/{unknown}/accept", nil, "404 404 404 404 404 404", false},
	{"POST /v1/invitations/{unknown}/decline", nil, "404 404 404 404 404 404", false},
	{"DELETE /v1/invitations/{unknown}", nil, "404 404 404 404 404 404", false},

	{"GET /v1/channels", nil, "200 200 200 200 200 200", false},
	{"POST /v1/channels", object{}, "422 422 422 422 422 422", false},
	{"POST /v1/channels", object{"name": "x", "kind": "private", "group_id": "{group}"}, "404 404 403 403 201 201", false},
	{"GET /v1/channels/{public}", nil, "403 403 403 200 200 200", false},
	{"GET /v1/channels/{unlisted}", nil, "403 403 403 200 200 200", false},
	{"GET /v1/channels/{private}", nil, "404 404 404 200 200 200", false},
	{"GET /v1/channels/{groups public}", nil, "404 404 403 200 200 200", false},
	{"GET /v1/channels/{groups private}", nil, "404 404 404 200 200 200", false},
	{"GET /v1/channels/{direct}", nil, "404 200 404 200 404 200", false},
	{"GET /v1/channels/x", nil, "404 404 404 404 404 404", false},
	{"PATCH /v1/channels/{public}", object{"description": "x"}, "403 403 403 403 200 200", false},
	{"PATCH /v1/channels/{private}", object{"description": "x"}, "404 404 404 403 200 200", false},
	{"PATCH /v1/channels/{direct}", object{"description": "x"}, "404 403 404 403 404 403", false},
	{"DELETE /v1/channels/{public}", nil, "403 403 403 403 403 204", false},
	{"DELETE /v1/channels/{private}", nil, "404 404 404 403 403 204", false},
	{"DELETE /v1/channels/{direct}", nil, "404 403 404 403 404 403", false},
	{"GET /v1/channels/{public}/preview", nil, "200 200 200 200 200 200", false},
	{"GET /v1/channels/{unlisted}/preview", nil, "200 200 200 200 200 200", false},
	{"GET /v1/channels/{private}/preview", nil, "404 404 404 200 200 200", false},
	{"GET /v1/channels/{groups public}/preview", nil, "404 404 200 200 200 200", false},
	{"GET /v1/channels/{groups private}/preview", nil, "404 404 404 200 200 200", false},
	{"GET /v1/channels/{direct}/preview", nil, "404 200 404 200 404 200", false},
	{"POST /v1/channels/{public}/join", nil, "200 200 200 200 200 200", false},
	{"POST /v1/channels/{unlisted}/join", nil, "200 200 200 200 200 200", false},
	{"POST /v1/channels/{private}/join", nil, "404 404 404 200 200 200", false},
	{"POST /v1/channels/{groups public}/join", nil, "404 404 200 200 200 200", false},
	{"POST /v1/channels/{groups private}/join", nil, "404 404 404 200 200 200", false},
	{"POST /v1/channels/{direct}/join", nil, "404 200 404 200 404 200", false},
	{"POST /v1/channels/{public}/leave", nil, "204 204 204 204 204 204", false},
	{"POST /v1/channels/{private}/leave", nil, "404 404 404 204 204 204", false},
	{"POST /v1/channels/{direct}/leave", nil, "404 403 404 403 404 403", false},
	{"GET /v1/channels/{public}/members", nil, "403 403 403 200 200 200", false},
	{"GET /v1/channels/{private}/members", nil, "404 404 404 200 200 200", false},
	{"GET /v1/channels/{direct}/members", nil, "404 200 404 200 404 200", false},
	{"POST /v1/channels/{public}/members", object{"user_id": "{outsider}"}, "403 403 403 403 200 200", false},
	{"POST /v1/channels/{private}/members", object{"user_id": "{outsider}"}, "404 404 404 403 200 200", false},
	{"POST /v1/channels/{private}/members", object{"user_id": "{unknown}"}, "404 404 404 403 404 404", false},
	{"POST /v1/channels/{private}/members", object{"user_id": "{outsider}", "role": "owner"}, "404 404 404 403 403 200", false},
	{"POST /v1/channels/{groups private}/members", object{"user_id": "{outsider}"}, "404 404 404 403 403 403", false},
	{"POST /v1/channels/{direct}/members", object{"user_id": "{outsider}"}, "404 403 404 403 404 403", false},
	{"PATCH /v1/channels/{public}/members/{victim}", object{"role": "admin"}, "403 403 403 403 403 200", false},
	{"PATCH /v1/channels/{private}/members/{victim}", object{"role": "admin"}, "404 404 404 403 403 200", false},
	{"DELETE /v1/channels/{public}/members/{victim}", nil, "403 403 403 403 204 204", false},
	{"DELETE /v1/channels/{private}/members/{victim}", nil, "404 404 404 403 204 204", false},
	{"DELETE /v1/channels/{private}/members/{owner}", nil, "404 404 404 403 403 204", false},
	{"DELETE /v1/channels/{private}/members/{unknown}", nil, "404 404 404 403 404 404", false},
	{"GET /v1/channels/{public}/invitations", nil, "403 403 403 403 200 200", false},
	{"GET /v1/channels/{private}/invitations", nil, "404 404 404 403 200 200", false},
	{"GET /v1/channels/{groups private}/invitations", nil, "404 404 404 403 200 200", false},
	{"GET /v1/channels/{direct}/invitations", nil, "404 403 404 403 404 403", false},
	{"GET /v1/channels/{public}/candidates?ids={outsider},{unknown}", nil, "403 403 403 403 200 200", false},
	{"GET /v1/channels/{private}/candidates?ids={outsider},{unknown}", nil, "404 404 404 403 200 200", false},
	{"GET /v1/channels/{groups private}/candidates?ids={outsider},{unknown}", nil, "404 404 404 403 200 200", false},
	{"GET /v1/channels/{direct}/candidates?ids={outsider},{unknown}", nil, "404 403 404 403 404 403", false},
	{"GET /v1/channels/{public}/bans", nil, "403 403 403 403 200 200", false},
	{"GET /v1/channels/{private}/bans", nil, "404 404 404 403 200 200", false},
	{"GET /v1/channels/{direct}/bans", nil, "404 403 404 403 404 403", false},
	{"PUT /v1/channels/{public}/bans/{victim}", nil, "403 403 403 403 204 204", false},
	{"PUT /v1/channels/{private}/bans/{victim}", nil, "404 404 404 403 204 204", false},
	{"PUT /v1/channels/{private}/bans/{outsider}", nil, "404 404 404 403 204 204", false},
	{"PUT /v1/channels/{private}/bans/{owner}", nil, "404 404 404 403 403 422", false},
	{"PUT /v1/channels/{private}/bans/{unknown}", nil, "404 404 404 403 404 404", false},
	{"DELETE /v1/channels/{public}/bans/{outsider}", nil, "403 403 403 403 204 204", false},
	{"DELETE /v1/channels/{private}/bans/{outsider}", nil, "404 404 404 403 204 204", false},
	{"DELETE /v1/channels/{private}/members/{victim}?ban=true", nil, "404 404 404 403 204 204", false},
	{"GET /v1/channels/{public}/messages", nil, "403 403 403 200 200 200", false},
	{"GET /v1/channels/{private}/messages", nil, "404 404 404 200 200 200", false},
	{"GET /v1/channels/{groups public}/messages", nil, "404 404 403 200 200 200", false},
	{"GET /v1/channels/{direct}/messages", nil, "404 200 404 200 404 200", false},
	{"GET /v1/channels/{public}/messages?as_of_seq=1", nil, "403 403 403 200 200 200", false},
	{"GET /v1/channels/{private}/messages?as_of_seq=1", nil, "404 404 404 200 200 200", false},
	{"GET /v1/channels/{public}/messages?as_of=2026-01-02T03:04:05Z", nil, "403 403 403 200 200 200", false},
	{"GET /v1/channels/{private}/messages?as_of=2026-01-02T03:04:05Z", nil, "404 404 404 200 200 200", false},
	{"POST /v1/channels/{public}/messages", object{"body": "x"}, "403 403 403 201 201 201", false},
	{"POST /v1/channels/{private}/messages", object{"body": "x"}, "404 404 404 201 201 201", false},
	{"POST /v1/channels/{direct}/messages", object{"body": "x"}, "404 403 404 201 404 201", false},
	{"GET /v1/channels/{public}/events", nil, "403 403 403 200 200 200", false},
	{"GET /v1/channels/{private}/events", nil, "404 404 404 200 200 200", false},
	{"GET /v1/channels/{public}/changes?from_seq=0&to_seq=1", nil, "403 403 403 200 200 200", false},
	{"GET /v1/channels/{private}/changes?from_seq=0&to_seq=1", nil, "404 404 404 200 200 200", false},
	{"GET /v1/channels/{groups public}/changes?from_seq=0&to_seq=1", nil, "404 404 403 200 200 200", false},
	{"GET /v1/channels/{direct}/changes?from_seq=0&to_seq=1", nil, "404 200 404 200 404 200", false},
	{"DELETE /v1/channels/{public}/messages/{message}/reactions", nil, "403 403 403 403 200 200", false},
	{"DELETE /v1/channels/{private}/messages/{message}/reactions", nil, "404 404 404 403 200 200", false},
	{"DELETE /v1/channels/{private}/messages/{unknown}/reactions", nil, "404 404 404 403 404 404", false},
	{"GET /v1/channels/{public}/messages/{message}/receipts", nil, "403 403 403 200 200 200", false},
	{"GET /v1/channels/{private}/messages/{message}/receipts", nil, "404 404 404 200 200 200", false},
	{"GET /v1/channels/{private}/messages/{unknown}/receipts", nil, "404 404 404 404 404 404", false},
	{"PUT /v1/channels/{public}/cursor", object{"read_seq": 1}, "403 403 403 200 200 200", false},
	{"PUT /v1/channels/{private}/cursor", object{"read_seq": 1}, "404 404 404 200 200 200", false},

	{"GET /v1/ops/metrics", nil, "403 403 403 403 403 403", false}, // owners of channels are not operators

	// This request must be the last one, because it ends the session.
	{"POST /v1/logout", nil, "204 204 204 204 204 204", false},
}

// TestMatrix sends every request of the matrix as every user. Each request gets its own group and
// channels, so that the results are independent.
func TestMatrix(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	who := map[string]user{}
	for _, name := range slices.Concat(everybody, []string{"outsider", "victim"}) {
		who[name] = w.signup("the-" + name) // some names without the prefix are reserved
	}
	w.do("POST", "/v1/dms", who["owner"], object{"user_id": who["blocked"].ID}).must(t, 201)
	w.do("POST", "/v1/contacts/"+who["blocked"].ID.String()+"/block", who["owner"], nil).must(t, 204)
	w.do("POST", "/v1/dms", who["owner"], object{"user_id": who["member"].ID}).must(t, 201)
	intruders := map[string]string{
		"nobody": "", "expired": w.mint(who["owner"], -time.Minute), "foreign key": foreign(t, w, who["owner"]),
		"alg none": algNone(t, who["owner"]), "garbage": "garbage",
	}
	for _, e := range matrix {
		want := strings.Fields(e.want)
		for name, tok := range intruders {
			status := 401
			if e.isOpen {
				status, _ = strconv.Atoi(want[0])
			}
			w.ask(e, name, tok, w.stage(who, "stranger"), status)
		}
		for i, name := range everybody {
			status, _ := strconv.Atoi(want[i])
			stage := w.stage(who, name)
			a := w.ask(e, name, who[name].Token, stage, status)
			if status == 404 && !strings.Contains(e.ask, "{unknown}") && e.body["user_id"] != "{unknown}" {
				// Hidden resources must get the same response as missing ones.
				for _, hidden := range []string{"private", "groups public", "groups private", "direct", "group"} {
					stage[hidden] = chat.NewChannelID().String()
				}
				if b := w.ask(e, name+" for a missing resource", who[name].Token, stage, 404); a.problem(t).Detail != b.problem(t).Detail {
					t.Errorf("%s as %s reveals a hidden resource: %s, but for a missing one: %s", e.ask, name, a.body, b.body)
				}
			}
		}
	}
}

// TestMatrix_coversAllOperations checks that the matrix contains every operation of the document.
func TestMatrix_coversAllOperations(t *testing.T) {
	t.Parallel()
	doc, err := spec()
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, e := range matrix {
		method, path, _ := strings.Cut(e.ask, " ")
		path, _, _ = strings.Cut(path, "?")
		if _, op := operationOf(doc, method, path); op != nil {
			asked[op.OperationID] = true
		}
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !asked[op.OperationID] && path != "/healthz" && path != "/readyz" && path != "/metrics" { // the program serves these operations, not the service
				t.Errorf("the matrix does not contain %s %s", method, path)
			}
		}
	}
}

// stage creates a group and channels of every kind, and returns the ids for the placeholders of a
// request.
func (w *world) stage(who map[string]user, asking string) map[string]string {
	w.T.Helper()
	ids := map[string]string{"unknown": chat.NewChannelID().String(), "group": chat.NewGroupID().String(), "message": chat.NewEventID().String()}
	for name, u := range who {
		ids[name] = u.ID.String()
	}
	w.Exec("insert into groups (id, name) values ($1, 'team')", ids["group"])
	w.Exec(`insert into group_members (group_id, user_id, role) values ($1, $2, 'member'), ($1, $3, 'member'), ($1, $4, 'member'), ($1, $5, 'admin'), ($1, $6, 'owner')`,
		ids["group"], ids["grouped"], ids["victim"], ids["member"], ids["admin"], ids["owner"])
	for _, kind := range []string{"public", "unlisted", "private", "groups public", "groups private"} {
		ids[kind] = chat.NewChannelID().String()
		var group any
		if strings.HasPrefix(kind, "groups") {
			group = ids["group"]
		}
		w.Exec("insert into channels (id, kind, name, group_id) values ($1, $2, $3, $4)", ids[kind], strings.TrimPrefix(kind, "groups "), ids[kind], group)
		w.Exec(`insert into channel_members (channel_id, user_id, role) values ($1, $2, 'member'), ($1, $3, 'member'), ($1, $4, 'admin'), ($1, $5, 'owner')`,
			ids[kind], ids["victim"], ids["member"], ids["admin"], ids["owner"])
		w.Exec(`insert into messages (channel_id, seq, id, kind, sender_id, body, sent_at) values ($1, 1, $2, 'message', $3, 'x', now())`,
			ids[kind], ids["message"], ids["owner"])
	}
	peer := ids["member"]
	if asking == "blocked" {
		peer = ids["blocked"]
	}
	if err := w.Pool.QueryRow(context.Background(), "select id::text from channels where kind = 'direct' and $1 in (direct_low, direct_high) and $2 in (direct_low, direct_high)",
		ids["owner"], peer).Scan(ptr(ids, "direct")); err != nil {
		w.T.Fatal(err)
	}
	return ids
}

// headers returns the headers of a response, except those that differ between requests.
func headers(a answer) string {
	h := a.header.Clone()
	for _, name := range []string{"Date", "X-Request-Id"} {
		h.Del(name)
	}
	return fmt.Sprint(h)
}

// ptr returns a Scanner that stores a value in a map.
func ptr(m map[string]string, key string) sql.Scanner { return into{m, key} }

type into struct {
	m   map[string]string
	key string
}

func (i into) Scan(src any) error {
	text, ok := src.(string)
	if !ok {
		return fmt.Errorf("%T is not text", src)
	}
	i.m[i.key] = text
	return nil
}

// ask sends a request of the matrix and checks the properties that all responses have in common.
func (w *world) ask(e endpoint, name, tok string, ids map[string]string, status int) answer {
	t := w.T
	t.Helper()
	method, path, _ := strings.Cut(e.ask, " ")
	var body any
	if e.body != nil {
		filled := object{}
		for k, v := range e.body {
			filled[k] = v
			if text, ok := v.(string); ok && strings.HasPrefix(text, "{") {
				filled[k] = ids[strings.Trim(text, "{}")]
			}
		}
		body = filled
	}
	for placeholder, id := range ids {
		path = strings.ReplaceAll(path, "{"+placeholder+"}", id)
	}
	a := w.send(request{method: method, path: path, token: tok, body: body})
	if a.status != status {
		t.Errorf("%s as %s = %d %s, want %d", e.ask, name, a.status, a.body, status)
		return a
	}
	if a.status >= 400 {
		a.problem(t)
	}
	if method == "GET" {
		plain := map[string]string{"Accept-Encoding": "identity"} // Go's client accepts gzip only for GET
		testkit.Until(t, testkit.Timeout, func() error {          // an event may arrive between the two requests
			get := w.send(request{method: "GET", path: path, token: tok, body: body, header: plain})
			head := w.send(request{method: "HEAD", path: path, token: tok, body: body, header: plain})
			if head.status != get.status || headers(head) != headers(get) {
				return fmt.Errorf("%s as %s = %d %s, but HEAD: %d %s", e.ask, name, get.status, headers(get), head.status, headers(head))
			}
			return nil
		})
	}
	if a.status == 401 && a.header.Get("WWW-Authenticate") == "" {
		t.Errorf("%s as %s: 401 without WWW-Authenticate", e.ask, name)
	}
	if a.status == 405 && a.header.Get("Allow") == "" {
		t.Errorf("%s: 405 without Allow", e.ask)
	}
	if a.header.Get("X-Request-Id") == "" || a.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s: headers %v", e.ask, a.header)
	}
	return a
}

// mint signs a token for a user with the service's own key.
func (w *world) mint(u user, left time.Duration) string {
	w.T.Helper()
	keys, err := token.LoadKeys(w.keys)
	if err != nil {
		w.T.Fatal(err)
	}
	raw, _, err := token.NewIssuer(keys, 0).Issue(token.Claims{UserID: u.ID, SessionID: u.Session, Username: u.Name, ExpiresAt: time.Now().Add(left)})
	if err != nil {
		w.T.Fatal(err)
	}
	return raw
}

// foreign signs a token with a different key that has the same key id.
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

// TestBadBodies sends bodies that are not JSON, not an object or too large to every endpoint that
// reads a body.
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

// TestHostileFields sends values that are known to break servers in each field of each request.
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
		"PATCH /v1/me":      {"display_name": "x", "bio": "x", "avatar_url": ""},
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

// FuzzBodies checks that no body makes the service fail, and that every error is a problem
// document.
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
