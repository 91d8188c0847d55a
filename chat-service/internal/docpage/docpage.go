// Package docpage renders the API document as a web page. The page is rendered once, at startup. It
// contains its style sheet, runs no scripts and loads no other resources, so it works offline and
// under the strictest Content-Security-Policy.
package docpage

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

var (
	//go:embed page.html
	pageSource string
	//go:embed page.css
	style string
)

// Page holds the page and the Content-Security-Policy to serve it with.
type Page struct {
	HTML   []byte
	Policy string // allows only the page's own style sheet, by its hash
}

// methods lists the HTTP methods in the order in which a path's operations are shown.
var methods = []string{"GET", "POST", "PUT", "PATCH", "DELETE"}

// New renders the page for a document.
func New(doc *openapi3.T) (Page, error) {
	t, err := template.New("page").Funcs(template.FuncMap{"text": text}).Parse(pageSource)
	if err != nil {
		return Page{}, fmt.Errorf("parse the page template: %w", err)
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{
		"Title": doc.Info.Title, "Version": doc.Info.Version, "Description": doc.Info.Description,
		"Style": template.CSS(style), // part of this program, so it needs no escaping
		"Tags":  sections(doc), "Schemas": schemas(doc),
	})
	if err != nil {
		return Page{}, fmt.Errorf("render the page: %w", err)
	}
	sum := sha256.Sum256([]byte(style))
	return Page{
		HTML: out.Bytes(),
		Policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	}, nil
}

// section holds the operations of a tag.
type section struct {
	Name, Description string
	Operations        []operation
}

type operation struct {
	ID, Method, Path, Summary, Description string
	Login                                  bool
	Parameters, Body                       []field
	BodyType                               kind
	Answers                                []answer
	Problems                               []string
	Limit                                  string // the rate limit that a write counts against
}

// field describes a parameter or a property.
type field struct {
	Name, In, Rules, Description string
	Type                         kind
	Required                     bool
}

// kind describes a type. Words is its description; Schema is the name of a schema to link to, or
// "".
type kind struct{ Words, Schema string }

type answer struct {
	Status, Description string
	Type                kind
}

type named struct {
	Name, Description string
	Fields            []field
	Type              kind
	Rules             string
}

func sections(doc *openapi3.T) []section {
	list := make([]section, 0, len(doc.Tags))
	for _, tag := range doc.Tags {
		s := section{Name: tag.Name, Description: tag.Description}
		for _, path := range sorted(doc.Paths.Map()) {
			item := doc.Paths.Value(path)
			for _, method := range methods {
				if op := item.GetOperation(method); op != nil && slices.Contains(op.Tags, tag.Name) {
					s.Operations = append(s.Operations, describe(doc, path, method, item, op))
				}
			}
		}
		list = append(list, s)
	}
	return list
}

func describe(doc *openapi3.T, path, method string, item *openapi3.PathItem, op *openapi3.Operation) operation {
	o := operation{ID: op.OperationID, Method: method, Path: path, Summary: op.Summary, Description: op.Description}
	o.Login = len(doc.Security) > 0 && op.Security == nil
	for _, p := range append(slices.Clone(item.Parameters), op.Parameters...) {
		v := p.Value
		o.Parameters = append(o.Parameters, field{v.Name, v.In, rules(v.Schema.Value), v.Description, typeOf(v.Schema), v.Required})
	}
	if op.RequestBody != nil {
		ref := op.RequestBody.Value.Content.Get("application/json").Schema
		o.BodyType, o.Body = typeOf(ref), fields(ref.Value)
	}
	for _, status := range sorted(op.Responses.Map()) {
		r := op.Responses.Value(status).Value
		a := answer{Status: status}
		if r.Description != nil {
			a.Description = *r.Description
		}
		for _, media := range sorted(r.Content) {
			if ref := r.Content[media].Schema; ref != nil {
				a.Type = typeOf(ref)
			}
		}
		o.Answers = append(o.Answers, a)
	}
	o.Limit, _ = op.Extensions["x-rate-limit"].(string)
	problems, _ := op.Extensions["x-problems"].([]any)
	for _, code := range problems {
		o.Problems = append(o.Problems, fmt.Sprint(code))
	}
	return o
}

func schemas(doc *openapi3.T) []named {
	var list []named
	for _, name := range sorted(doc.Components.Schemas) {
		s := doc.Components.Schemas[name].Value
		list = append(list, named{name, s.Description, fields(s), typeOf(&openapi3.SchemaRef{Value: s}), rules(s)})
	}
	return list
}

func fields(s *openapi3.Schema) []field {
	var list []field
	for _, name := range sorted(s.Properties) {
		ref := s.Properties[name]
		list = append(list, field{Name: name, Type: typeOf(ref), Required: slices.Contains(s.Required, name), Rules: rules(ref.Value), Description: ref.Value.Description})
	}
	// Required fields come first.
	slices.SortStableFunc(list, func(a, b field) int {
		switch {
		case a.Required == b.Required:
			return 0
		case a.Required:
			return -1
		}
		return 1
	})
	return list
}

func typeOf(ref *openapi3.SchemaRef) kind {
	if name, ok := strings.CutPrefix(ref.Ref, "#/components/schemas/"); ok {
		return kind{Schema: name}
	}
	s := ref.Value
	switch {
	case s.Type.Is(openapi3.TypeArray):
		of := typeOf(s.Items)
		return kind{strings.TrimSpace("list of " + of.Words), of.Schema}
	case s.Format != "":
		return kind{Words: s.Format}
	case s.Type == nil || len(*s.Type) == 0:
		return kind{Words: "anything"}
	}
	return kind{Words: (*s.Type)[0]}
}

// rules describes the constraints of a schema. Patterns are left out, because the descriptions
// explain them in words.
func rules(s *openapi3.Schema) string {
	var list []string
	if len(s.Enum) > 0 {
		words := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			words[i] = fmt.Sprint(v)
		}
		list = append(list, "one of "+strings.Join(words, ", "))
	}
	switch {
	case s.MaxLength != nil:
		list = append(list, fmt.Sprintf("%d–%d characters", s.MinLength, *s.MaxLength))
	case s.MinLength > 0:
		list = append(list, "not empty")
	}
	switch {
	case s.Min != nil && s.Max != nil:
		list = append(list, fmt.Sprintf("%.0f–%.0f", *s.Min, *s.Max))
	case s.Min != nil:
		list = append(list, fmt.Sprintf("from %.0f", *s.Min))
	}
	if s.Nullable {
		list = append(list, "may be null")
	}
	if s.Default != nil {
		list = append(list, fmt.Sprintf("default %v", s.Default))
	}
	return strings.Join(list, "; ")
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
