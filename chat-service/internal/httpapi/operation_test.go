package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	"parley.chat/shared-contracts/apierr"
)

// body returns a schema with one field of each type.
func body() *openapi3.Schema {
	s := openapi3.NewObjectSchema().
		WithProperty("name", openapi3.NewStringSchema().WithMinLength(2).WithMaxLength(4)).
		WithProperty("count", openapi3.NewInt64Schema().WithMin(0).WithMax(9)).
		WithProperty("flag", openapi3.NewBoolSchema()).
		WithProperty("kind", openapi3.NewStringSchema().WithEnum("a", "b")).
		WithProperty("inner", openapi3.NewObjectSchema().WithProperty("deep", openapi3.NewStringSchema()))
	s.Required = []string{"name"}
	return s
}

// TestBody sends valid and invalid bodies. The response lists all invalid fields and never repeats
// the values that were sent.
func TestBody(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, body, contentType, want string }{
		{"good", `{"name":"ann"}`, "application/json", "204 "},
		{"charset", `{"name":"ann"}`, "application/json; charset=utf-8", "204 "},
		{"unknown field", `{"name":"ann","x":1}`, "application/json", "204 "},
		{"integer in exponent notation", `{"name":"ann","count":0.2e1}`, "application/json", "204 2"},
		{"missing", `{}`, "application/json", `422 name required "is required"`},
		{"null", `{"name":null}`, "application/json", `422 name required "must not be null"`},
		{"several invalid fields", `{"name":7,"count":"x","flag":1}`, "application/json", `422 count type "must be a whole number" flag type "must be true or false" name type "must be a string"`},
		{"whole surrogate pair", `{"name":"ann","inner":{"deep":"\ud83d\ude00 \\ud800"}}`, "application/json", "204 "},
		{"unpaired surrogate", `{"name":"\ud800","kind":"a"}`, "application/json", `422 name characters "contains half of a surrogate pair, which is not a character"`},
		{"surrogates in the wrong order", `{"name":"ann","inner":{"deep":"\uDC00\uD800"}}`, "application/json", `422 inner.deep characters "contains half of a surrogate pair, which is not a character"`},
		{"unpaired surrogate before a pair, in a list", `{"name":"ann","x":["a",{"y":"\ud800\ud83d\ude00"}]}`, "application/json", `422 x.1.y characters "contains half of a surrogate pair, which is not a character"`},
		{"unpaired surrogate at the end of a truncated body", `{"name":"\ud800\u`, "application/json", "400 "},
		{"unpaired surrogate in a field name", `{"name":"ann","\ud800":1}`, "application/json", "204 "},
		{"short", `{"name":"x"}`, "application/json", `422 name length "must have 2 to 4 characters"`},
		{"range", `{"name":"ann","count":10}`, "application/json", `422 count range "must be between 0 and 9"`},
		{"enum", `{"name":"ann","kind":"secret"}`, "application/json", `422 kind enum "must be one of a, b"`},
		{"nested", `{"name":"ann","inner":{"deep":1}}`, "application/json", `422 inner.deep type "must be a string"`},
		{"field name in other capitalization", `{"name":"ann","NAME":"a name that is too long"}`, "application/json", "204 "},
		{"repeated field", `{"name":"ann","name":"too long"}`, "application/json", `422 name length "must have 2 to 4 characters"`},
		{"no body", "", "application/json", "400 "},
		{"list", `[]`, "application/json", "400 "},
		{"data after the object", `{"name":"ann"} {}`, "application/json", "400 "},
		{"truncated", `{"name":"ann`, "application/json", "400 "},
		{"not UTF-8", "{\"name\":\"\xff\xff\"}", "application/json", "400 "},
		{"form", "name=ann", "application/x-www-form-urlencoded", "415 "},
		{"no type", `{"name":"ann"}`, "", "415 "},
		{"huge", `{"name":"` + strings.Repeat("x", 2<<10) + `"}`, "application/json", "413 "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *Config) { c.MaxBytes = 1 << 10 })
			r.echo.POST("/x", func(c echo.Context) error {
				var in struct {
					Name  string `json:"name"`
					Count *int   `json:"count"`
				}
				if err := c.Bind(&in); err != nil {
					return err
				}
				if in.Name != "ann" {
					t.Errorf("name = %q", in.Name)
				}
				if in.Count != nil && *in.Count != 2 {
					t.Errorf("count = %d", *in.Count)
				}
				return c.NoContent(http.StatusNoContent)
			}, r.check(operation{body: body(), needs: true}))
			req := httptest.NewRequest("POST", "/x", strings.NewReader(tt.body))
			if tt.contentType != "" {
				req.Header.Set("Content-Type", tt.contentType)
			}
			w := r.do(req)
			status, rest, _ := strings.Cut(tt.want, " ")
			if status != strings.Fields(w.Result().Status)[0] {
				t.Fatalf("status %d %s, want %s", w.Code, w.Body, tt.want)
			}
			if w.Code == http.StatusUnprocessableEntity {
				for i, part := range strings.Split(strings.TrimSuffix(rest, `"`), `" `) {
					rule, message, _ := strings.Cut(part, ` "`)
					field, code, _ := strings.Cut(rule, " ")
					want := `{"field":"` + field + `","code":"` + code + `","message":"` + message + `"`
					if !strings.Contains(w.Body.String(), want) {
						t.Errorf("error %d: %s lacks %s", i, w.Body, want)
					}
				}
			}
			if strings.Contains(w.Body.String(), "secret") || strings.Contains(w.Body.String(), "too long") {
				t.Errorf("the response repeats the value that was sent: %s", w.Body)
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	long, three := uint64(5), 3.0
	for _, tt := range []struct {
		schema *openapi3.Schema
		value  any
		code   apierr.FieldCode
		want   string
	}{
		{&openapi3.Schema{Type: &openapi3.Types{"string"}, MinLength: 3}, "x", "length", "must have at least 3 characters"},
		{&openapi3.Schema{Type: &openapi3.Types{"string"}, MaxLength: &long}, "xxxxxx", "length", "must have at most 5 characters"},
		{&openapi3.Schema{Type: &openapi3.Types{"integer"}, Min: &three}, 1.0, "range", "must be at least 3"},
		{&openapi3.Schema{Type: &openapi3.Types{"integer"}, Max: &three}, 4.0, "range", "must be at most 3"},
		{&openapi3.Schema{Type: &openapi3.Types{"string"}, Format: "uuid", Pattern: "^[0-9a-f]{4}$"}, "x", "uuid", "must be a UUID"},
		{&openapi3.Schema{Type: &openapi3.Types{"string"}, Pattern: "^a*$"}, "x", "characters", "contains a character that is not allowed, such as a control character"},
		{&openapi3.Schema{Type: &openapi3.Types{"string"}, Pattern: "^a*$", Extensions: map[string]any{"x-rule": "must be of a", "x-rule-code": "ids"}}, "x", "ids", "must be of a"},
		{&openapi3.Schema{Type: &openapi3.Types{"array"}}, "x", "type", "must be a list"},
		{&openapi3.Schema{Type: &openapi3.Types{"object"}}, "x", "type", "must be an object"},
	} {
		var f fields
		f.visit("field", tt.schema, tt.value)
		if len(f) != 1 || f[0].Field != "field" || f[0].Code != tt.code || f[0].Message != tt.want {
			t.Errorf("%v of %v: %+v, want %s: %s", tt.value, tt.schema, f, tt.code, tt.want)
		}
	}
	// If at least one of several fields is required, the error names each of them.
	s := openapi3.NewObjectSchema().WithProperty("a", openapi3.NewBoolSchema()).WithProperty("b", openapi3.NewBoolSchema())
	s.MinProps = 1
	var f fields
	f.visit("", s, map[string]any{})
	if len(f) != 2 || f[0].Field != "a" || f[1].Field != "b" {
		t.Errorf("fields = %+v", f)
	}
}
