package reference_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/reference"
)

// load returns the API document, in which objects have no additional properties, and its
// description.
func load(t *testing.T) (*openapi3.T, *reference.Reference) {
	t.Helper()
	doc, err := api.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range doc.Components.Schemas {
		if s.Value.Type.Is("object") && len(s.Value.Properties) > 0 && s.Value.AdditionalProperties.Has == nil {
			s.Value.AdditionalProperties.Has = new(false)
		}
	}
	ref, err := reference.New(doc)
	if err != nil {
		t.Fatal(err)
	}
	return doc, ref
}

// each calls visit for each operation.
func each(doc *openapi3.T, ref *reference.Reference, visit func(o reference.Operation, op *openapi3.Operation)) {
	for _, s := range ref.Sections {
		for _, o := range s.Operations {
			visit(o, doc.Paths.Value(o.Path).GetOperation(o.Method))
		}
	}
}

// valid returns an error unless text is JSON that the schema allows.
func valid(text string, schema *openapi3.SchemaRef) error {
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		return fmt.Errorf("%w in %s", err, text)
	}
	return schema.Value.VisitJSON(value)
}

// TestReference checks that every operation is described once.
func TestReference(t *testing.T) {
	t.Parallel()
	doc, ref := load(t)
	described := map[string]int{}
	each(doc, ref, func(o reference.Operation, _ *openapi3.Operation) { described[o.ID]++ })
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if described[op.OperationID] != 1 {
				t.Errorf("%s %s is described %d times", method, path, described[op.OperationID])
			}
		}
	}
	if len(ref.Schemas) != len(doc.Components.Schemas) {
		t.Errorf("%d schemas are described, want %d", len(ref.Schemas), len(doc.Components.Schemas))
	}
}

// TestExamples checks that every JSON body has an example that its schema allows, without unknown
// fields.
func TestExamples(t *testing.T) {
	t.Parallel()
	doc, ref := load(t)
	checked := 0
	check := func(what, example string, schema *openapi3.SchemaRef) {
		t.Helper()
		checked++
		if err := valid(example, schema); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	each(doc, ref, func(o reference.Operation, op *openapi3.Operation) {
		if op.RequestBody != nil {
			check("the request of "+o.ID, o.Body.Example, op.RequestBody.Value.Content["application/json"].Schema)
		}
		for _, r := range o.Responses {
			for name, media := range op.Responses.Value(r.Status).Value.Content {
				if strings.HasSuffix(name, "json") {
					check("response "+r.Status+" of "+o.ID, r.Example, media.Schema)
				}
			}
		}
		for _, p := range o.Problems {
			check("error "+p.Code+" of "+o.ID, p.Example, doc.Components.Schemas["Problem"])
		}
	})
	for _, p := range ref.Problems {
		check("error "+p.Code, p.Example, doc.Components.Schemas["Problem"])
		if p.Status == 0 || p.Meaning == "" {
			t.Errorf("error %s has status %d and meaning %q", p.Code, p.Status, p.Meaning)
		}
	}
	if checked < 100 {
		t.Errorf("only %d examples were checked: the test has lost its object", checked)
	}
}

// TestExamples_order checks that an example has its fields in the order of the document, not of the
// alphabet.
func TestExamples_order(t *testing.T) {
	t.Parallel()
	doc, ref := load(t)
	each(doc, ref, func(o reference.Operation, _ *openapi3.Operation) {
		if o.ID != "createGroup" {
			return
		}
		if want := "{\n  \"name\": \"Kitchen\",\n  \"description\": \"Everyone who drinks tea\"\n}"; o.Body.Example != want {
			t.Errorf("the request of createGroup is %s, want %s", o.Body.Example, want)
		}
	})
}

// TestNew_contradiction checks that an example that its schema does not allow is an error.
func TestNew_contradiction(t *testing.T) {
	t.Parallel()
	doc, _ := load(t)
	doc.Components.Schemas["RoleChange"].Value.Example = map[string]any{"role": "king"}
	if _, err := reference.New(doc); err == nil || !strings.Contains(err.Error(), "operation updateGroupMember: request") {
		t.Errorf("a wrong example: %v", err)
	}
}

// TestCurl checks that a shell parses every command, and that the command sends the operation's
// request.
func TestCurl(t *testing.T) {
	t.Parallel()
	doc, ref := load(t)
	each(doc, ref, func(o reference.Operation, op *openapi3.Operation) {
		c, err := parse(t, o.Curl)
		if err != nil {
			t.Errorf("%s: %v in\n%s", o.ID, err, o.Curl)
			return
		}
		if c.method != o.Method || !matches(o.Path, c.url.Path) {
			t.Errorf("%s sends %s %s, want %s %s", o.ID, c.method, c.url.Path, o.Method, o.Path)
		}
		for _, p := range append(slices.Clone(doc.Paths.Value(o.Path).Parameters), op.Parameters...) {
			if v := p.Value; v.Required && v.In == "query" && !c.url.Query().Has(v.Name) {
				t.Errorf("%s lacks the parameter %s: %s", o.ID, v.Name, c.url)
			}
		}
		if got := c.header.Get("Authorization"); (got == "Bearer TOKEN") != (o.Login != reference.NoLogin) {
			t.Errorf("%s sends Authorization %q, login is %q", o.ID, got, o.Login)
		}
		if op.RequestBody == nil {
			return
		}
		if err := valid(c.body, op.RequestBody.Value.Content["application/json"].Schema); err != nil || c.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %v, headers %v", o.ID, err, c.header)
		}
	})
}

// TestCurl_quotes checks that quotes in an example survive the shell.
func TestCurl_quotes(t *testing.T) {
	t.Parallel()
	doc, _ := load(t)
	const name = `Ann's "$TOKEN" \ <tea>`
	doc.Components.Schemas["GroupCreation"].Value.Example = map[string]any{"name": name}
	ref, err := reference.New(doc)
	if err != nil {
		t.Fatal(err)
	}
	each(doc, ref, func(o reference.Operation, _ *openapi3.Operation) {
		if o.ID != "createGroup" {
			return
		}
		c, err := parse(t, o.Curl)
		var body struct{ Name string }
		if err == nil {
			err = json.Unmarshal([]byte(c.body), &body)
		}
		if err != nil || body.Name != name {
			t.Errorf("%s sends %q, %v, want %q", o.Curl, body.Name, err, name)
		}
	})
}

// command is what a command for curl sends.
type command struct {
	method string
	url    *url.URL
	header http.Header
	body   string
}

// parse lets a shell run a command with a function named curl that prints its arguments.
func parse(t *testing.T, script string) (command, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "-euc", `PARLEY=http://parley TOKEN=TOKEN; curl() { printf '%s\0' "$@"; }; `+script).CombinedOutput()
	if err != nil {
		return command{}, fmt.Errorf("%w: %s", err, out)
	}
	c := command{method: http.MethodGet, header: http.Header{}}
	arguments := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	for i := 0; i < len(arguments); i++ {
		argument := arguments[i]
		value := ""
		if argument == "-X" || argument == "-H" || argument == "-d" {
			i++
			value = arguments[i]
		}
		switch argument {
		case "-X":
			c.method = value
		case "-H":
			name, content, _ := strings.Cut(value, ": ")
			c.header.Add(name, content)
		case "-d":
			c.body = value
		case "-O":
		default:
			if c.url != nil {
				return command{}, fmt.Errorf("unexpected argument %q", argument)
			}
			if c.url, err = url.Parse(argument); err != nil {
				return command{}, err
			}
		}
	}
	if c.url == nil {
		return command{}, fmt.Errorf("no URL in %q", arguments)
	}
	return c, nil
}

// matches reports whether a path matches a template such as /v1/users/{id}.
func matches(template, path string) bool {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	return slices.EqualFunc(want, got, func(w, g string) bool {
		return w == g || strings.HasPrefix(w, "{") && g != "" && !strings.HasPrefix(g, "{")
	})
}
