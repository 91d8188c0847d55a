package chatservice_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	chatservice "parley.chat/chat-service"
	"parley.chat/internal/platform/config"
)

// odd contains unusual values that clients may send.
var odd = []any{
	nil, true, 0.0, -1.0, 1.5, 1e300, 9007199254740993.0,
	[]any{},
	[]any{"x"},
	map[string]any{},
	map[string]any{"a": nil},
	"", " ", "\t", "\n", "x", "0", "-1", "1e9", "null", "true", "a b", strings.Repeat("x", 81), strings.Repeat("ü", 501), strings.Repeat("x", 70_000),
	"\x00", "a\x00b", "\x01\x02\x1b[31m", "\x7f", "\u0085", "\r\nSet-Cookie: x=1",
	"é\u0301", "\u202eabc", "\u200b", "\ufeff", "\ufffd", "👩‍👩‍👧‍👦", "ﷺ", "İ", "ß", "ſ", "\U0010ffff", strings.Repeat("\u0301", 100),
	"' or '1'='1", "'; drop table users; --", `\'; select pg_sleep(10) --`, "%' or 1=1 --", "$1", "?", "%s%n", "\\", "{{.}}", "${jndi:ldap://x}",
	"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "javascript:alert(1)", "&lt;", "../../etc/passwd", "..%2f..%2f",
	"00000000-0000-0000-0000-000000000000", "urn:uuid:00000000-0000-0000-0000-000000000000", "{00000000-0000-0000-0000-000000000000}",
	"ffffffff-ffff-ffff-ffff-ffffffffffff", "FFFFFFFF-FFFF-4FFF-BFFF-FFFFFFFFFFFF", "eyJuIjoiXHUwMDAwIn0", "bnVsbA", "e30", "W10",
}

// rawOdd contains JSON values that encoding/json never produces.
var rawOdd = []string{`"\ud800"`, `"\udc00\ud800"`, `1e999`, `-0`, `99999999999999999999999`, `1.0`, `1e2`}

// TestEveryField sends unusual values in every field, parameter and path of every request. The
// service must never fail, and an invalid value must be reported with the name of its field. New
// endpoints are covered as soon as they are in the document.
func TestEveryField(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *chatservice.Config) {
		c.LoginFailures = config.Rate{Count: 1_000_000, Per: time.Minute}
		c.LoginFailuresAll = c.LoginFailures
	})
	f := newFieldFuzz(t, w)
	doc, err := spec()
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.Tags[0] != "operations" {
				f.operation(method, path, item, op)
			}
		}
	}
	if f.sent < 2000 {
		t.Errorf("only %d requests; the document has more fields", f.sent)
	}
}

type fieldFuzz struct {
	*world
	t     *testing.T
	user  user
	nouns map[string]string // an existing id for each kind of resource in a path
	sent  int
}

func newFieldFuzz(t *testing.T, w *world) *fieldFuzz {
	ann, bob := w.signup("ann"), w.signup("bob")
	channel := w.create(ann, "fields", "private")
	var group, ack struct{ ID string }
	w.post("/v1/groups", ann.Token, object{"name": "fields"}).into(t, http.StatusCreated, &group)
	w.post("/v1/channels/"+channel.ID.String()+"/messages", ann.Token, object{"body": "hi"}).into(t, http.StatusCreated, &ack)
	return &fieldFuzz{world: w, t: t, user: ann, nouns: map[string]string{
		"channel": channel.ID.String(), "group": group.ID, "user": bob.ID.String(), "message": ack.ID, "session": bob.Session.String(),
	}}
}

// plain returns a valid value for a schema.
func (f *fieldFuzz) plain(s *openapi3.Schema) any {
	if s.Format == "password" {
		return "not the one of ann" // different from the username, which is not allowed as a password
	}
	candidates := append([]any{"valid-text", "valid@example.com", "https://example.com/", f.nouns["user"], 1.0, true}, s.Enum...)
	for _, v := range candidates {
		if s.VisitJSON(v) == nil {
			return v
		}
	}
	f.T.Fatalf("no valid value for %v", s)
	return nil
}

func (f *fieldFuzz) operation(method, path string, item *openapi3.PathItem, op *openapi3.Operation) {
	params := append(slices.Clone(item.Parameters), op.Parameters...)
	r := request{method: method, path: path, header: map[string]string{}}
	if op.Security == nil {
		r.token = f.user.Token
	}
	query := url.Values{}
	for _, p := range params {
		switch v := p.Value; {
		case v.In == "path":
			noun, _ := v.Extensions["x-noun"].(string)
			r.path = strings.ReplaceAll(r.path, "{"+v.Name+"}", f.nouns[noun])
		case v.Required && v.In == "query":
			query.Set(v.Name, fmt.Sprint(f.plain(v.Schema.Value)))
		}
	}
	body := map[string]any{}
	var fields openapi3.Schemas
	if op.RequestBody != nil {
		s := op.RequestBody.Value.Content["application/json"].Schema.Value
		fields = s.Properties
		for name, ref := range fields {
			if slices.Contains(s.Required, name) || s.MinProps > 0 {
				body[name] = f.plain(ref.Value)
			}
		}
		r.body = body
	}
	for _, p := range params {
		f.parameter(r, path, query, p.Value)
	}
	r.path += "?" + query.Encode()
	for name, ref := range fields {
		f.field(r, name, body, ref.Value)
	}
}

// field sends unusual values in one field of the body.
func (f *fieldFuzz) field(r request, name string, body map[string]any, s *openapi3.Schema) {
	values := make([][]byte, 0, len(odd)+len(rawOdd))
	for _, v := range odd {
		b, err := json.Marshal(v)
		if err != nil {
			f.T.Fatal(err)
		}
		values = append(values, b)
	}
	for _, raw := range rawOdd {
		values = append(values, []byte(raw))
	}
	for _, raw := range values {
		all := map[string]any{}
		for k, v := range body {
			all[k] = v
		}
		all[name] = json.RawMessage(raw)
		r.body = all
		value, err := decodeJSON(raw)
		if err != nil {
			f.T.Fatal(err)
		}
		f.expect(r, name, string(raw), s.VisitJSON(value) != nil)
	}
}

// parameter sends unusual values in one parameter. template is the path with its placeholders.
func (f *fieldFuzz) parameter(r request, template string, query url.Values, p *openapi3.Parameter) {
	given := r.path
	for _, v := range odd {
		text, ok := v.(string)
		if !ok {
			continue
		}
		header := map[string]string{}
		switch p.In {
		case "path":
			if text == "" || p.Schema.Value.VisitJSON(text) == nil {
				continue // the value leads to another path, or is a valid id of a missing resource
			}
			r.path = strings.ReplaceAll(template, "{"+p.Name+"}", url.PathEscape(text))
			id := f.nouns["channel"] // the other parameters are valid; only this one is tested
			r.path = strings.NewReplacer("{id}", id, "{user_id}", id, "{message_id}", id).Replace(r.path)
			f.notFound(r, text)
			continue
		case "query":
			q := url.Values{p.Name: {text}}
			for k, vs := range query {
				if k != p.Name {
					q[k] = vs
				}
			}
			r.path = given + "?" + q.Encode()
		case "header":
			r.path = given + "?" + query.Encode()
			if strings.ContainsAny(text, "\x00\x01\x1b\x7f\r\n") {
				continue // HTTP clients cannot send such a header
			}
			header[p.Name] = strings.TrimSpace(text)
			text = header[p.Name]
		}
		r.header = header
		f.expect(r, p.Name, text, parameterIsWrong(p.Schema.Value, text))
	}
}

// parameterIsWrong reports whether text violates a schema, independently of the service's own
// check.
func parameterIsWrong(s *openapi3.Schema, text string) bool {
	switch {
	case s.Type.Is("integer"):
		var n json.Number
		if json.Unmarshal([]byte(text), &n) != nil || strings.ContainsAny(text, "eE.\"") {
			return true
		}
		return s.VisitJSON(n) != nil
	case s.Type.Is("boolean"):
		return text != "true" && text != "false"
	}
	return s.VisitJSON(text) != nil
}

func (f *fieldFuzz) notFound(r request, text string) {
	f.sent++
	if a := f.send(r); a.status != http.StatusNotFound {
		f.T.Errorf("%s %s (%.60q) = %d %.200s, want 404", r.method, r.path, text, a.status, a.body)
	}
}

// expect sends r, in which field `name` has an unusual value, and checks the response. wrong says
// whether that value is invalid.
func (f *fieldFuzz) expect(r request, name, value string, wrong bool) {
	f.sent++
	a := f.send(r)
	switch {
	case a.status >= 500:
		f.T.Errorf("%s %.80s with %s = %.80q: %d %s", r.method, r.path, name, value, a.status, a.body)
	case wrong && a.status != http.StatusUnprocessableEntity:
		f.T.Errorf("%s %.80s with %s = %.80q: %d %.200s, want 422", r.method, r.path, name, value, a.status, a.body)
	case a.status >= 400:
		p := a.problem(f.T)
		if p.Code != "invalid_request" && p.Code != "invalid_body" && p.Code != "too_large" {
			return
		}
		for _, e := range p.Errors {
			if e.Field == name {
				return
			}
		}
		f.T.Errorf("%s %.80s with %s = %.80q: errors %+v do not contain it", r.method, r.path, name, value, p.Errors)
	}
}
