package chatservice_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/internal/platform/config"
	"parley.chat/shared-contracts/chat"

	chatservice "parley.chat/chat-service"
)

// bodies maps each write operation that has a body to a body that is valid according to the
// document. The resources in it do not exist; a write counts against its limit whether or not it
// succeeds.
var bodies = map[string]object{
	"signUp":             {"username": "nobody", "email": "nobody@example.com", "password": goodPassword},
	"logIn":              {"login": "nobody", "password": "wrong password"},
	"deleteMe":           {"password": "wrong password"},
	"changePassword":     {"password": "wrong password", "new_password": goodPassword},
	"updateMe":           {"bio": "hello"},
	"requestContact":     {"user_id": chat.NewUserID()},
	"createGroup":        {"name": "crew"},
	"updateGroup":        {"name": "crew"},
	"addGroupMember":     {"user_id": chat.NewUserID()},
	"updateGroupMember":  {"role": "member"},
	"createGroupChannel": {"name": "deck", "kind": "public"},
	"createChannel":      {"name": "deck", "kind": "private"},
	"updateChannel":      {"name": "deck"},
	"addMember":          {"user_id": chat.NewUserID()},
	"updateMember":       {"role": "member"},
	"sendMessage":        {"body": "hello"},
	"moveCursor":         {"read_seq": 1},
	"openDirectChannel":  {"user_id": chat.NewUserID()},
}

// limitField matches one limit in the header fields RateLimit-Policy and RateLimit.
var limitField = regexp.MustCompile(`^"([a-z]+)";[qr]=(\d+);[wt]=(\d+)$`)

// TestLimits_everyWrite exceeds the limit on every write operation in the document. Each operation
// is limited by user or by network, and its responses report the limit.
func TestLimits_everyWrite(t *testing.T) {
	t.Parallel()
	const limit = 2
	w := newWorld(t, func(c *chatservice.Config) {
		rates := reflect.ValueOf(&c.Limits).Elem()
		for i := range rates.NumField() {
			rates.Field(i).Set(reflect.ValueOf(config.Rate{Count: limit, Per: time.Hour}))
		}
		c.Limits.Network.Count = limit + 2
		c.RateLimit, c.RateBlock = config.Rate{Count: limit, Per: time.Hour}, time.Hour
		c.Proxies = config.CIDRs{netip.MustParsePrefix("127.0.0.0/8")}
	})
	doc, err := spec()
	if err != nil {
		t.Fatal(err)
	}
	networks := 0
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if method == http.MethodGet {
				continue
			}
			kind, _ := op.Extensions["x-rate-limit"].(string)
			if !ratelimit.Kind(kind).Known() {
				t.Errorf("%s has no limit", op.OperationID)
				continue
			}
			networks++
			from := map[string]string{"X-Forwarded-For": fmt.Sprintf("198.51.100.%d", networks)}
			var who user
			r := request{method: method, header: from, path: regexp.MustCompile(`\{[a-z_]+\}`).ReplaceAllString(path, chat.NewUserID().String())}
			if op.RequestBody != nil {
				if bodies[op.OperationID] == nil && op.RequestBody.Value.Required {
					t.Errorf("bodies has no entry for %s", op.OperationID)
					continue
				}
				if body := bodies[op.OperationID]; body != nil {
					r.body = body
				}
			}
			want := limit
			if kind == string(ratelimit.Network) {
				want = limit + 2
			} else {
				who = w.signupFrom("user-"+strings.ToLower(op.OperationID), from)
				r.token = who.Token
			}
			if op.OperationID == "sendMessage" {
				var c summary
				made := w.send(request{method: "POST", path: "/v1/channels", token: who.Token, body: object{"name": "deck", "kind": "private"}, header: from})
				made.into(t, 201, &c)
				r.path = "/v1/channels/" + c.ID.String() + "/messages"
			}
			for i := range want {
				a := w.send(r)
				if a.status == http.StatusTooManyRequests {
					t.Errorf("%s: request %d of %d was refused: %s", op.OperationID, i+1, want, a.body)
				}
				checkLimitFields(t, op.OperationID, kind, a, want-i-1)
			}
			a := w.send(r)
			if a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" {
				t.Errorf("%s: request %d: %d %s, want 429 with Retry-After", op.OperationID, want+1, a.status, a.body)
			}
			checkLimitFields(t, op.OperationID, kind, a, 0)
		}
	}
	if networks < 30 {
		t.Errorf("the document has only %d writes", networks)
	}
}

// signupFrom is like signup, but with the given headers.
func (w *world) signupFrom(name string, header map[string]string) user {
	w.T.Helper()
	var in loginAnswer
	w.send(request{method: "POST", path: "/v1/signup", header: header, body: object{
		"username": name, "email": name + "@example.com", "password": goodPassword, "session": "bearer",
	}}).into(w.T, http.StatusCreated, &in)
	return w.userOf(in)
}

// checkLimitFields checks that the response reports the limit of the given kind, with left requests
// remaining.
func checkLimitFields(t *testing.T, operation, kind string, a answer, left int) {
	t.Helper()
	for field, want := range map[string]string{"RateLimit-Policy": "", "RateLimit": fmt.Sprint(left)} {
		found := false
		for one := range strings.SplitSeq(a.header.Get(field), ", ") {
			m := limitField.FindStringSubmatch(one)
			if m == nil {
				t.Errorf("%s: %s is %q", operation, field, a.header.Get(field))
				break
			}
			found = found || m[1] == kind && (want == "" || m[2] == want)
		}
		if !found {
			t.Errorf("%s: %s is %q, want %s of %s", operation, field, a.header.Get(field), want, kind)
		}
	}
}

// TestLimits_flapping checks that a user cannot join and leave a channel over and over. With the
// test's rate, this produces at most four events. Leaving is always allowed.
func TestLimits_flapping(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *chatservice.Config) { c.Limits.Rejoin = config.Rate{Count: 2, Per: 4 * time.Hour} })
	ann, bob := w.signup("ann"), w.signup("bob")
	c := w.create(ann, "general", "public")
	for range 2 {
		w.do("POST", path(c.ID)+"/join", bob, nil).must(t, 200)
		w.do("POST", path(c.ID)+"/join", bob, nil).must(t, 200) // already a member: there is no event, and the join does not count
		w.do("POST", path(c.ID)+"/leave", bob, nil).must(t, 204)
	}
	for range 3 {
		w.do("POST", path(c.ID)+"/join", bob, nil).want(t, 429, "rate_limited")
		w.do("POST", path(c.ID)+"/members", ann, object{"user_id": bob.ID}).want(t, 429, "rate_limited")
		w.do("POST", path(c.ID)+"/leave", bob, nil).must(t, 204)
	}
	w.Settled()
	if got := len(w.Events(c.ID)); got != 5 {
		t.Errorf("%d events, want 5: %s", got, w.EventLog(c.ID))
	}
	d := w.create(ann, "another", "public")
	w.do("POST", path(d.ID)+"/join", bob, nil).must(t, 200)
}
