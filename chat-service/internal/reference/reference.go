// Package reference describes the API document as data for a page: its operations, schemas and
// error codes, with examples. All descriptions are Markdown. The package does not produce HTML.
//
// Examples come from the document, so edit its `example` fields to change them. The curl commands
// are derived from the operations and these examples.
package reference

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"parley.chat/shared-contracts/apierr"
)

// Reference is the whole document.
type Reference struct {
	Title, Version, Description string
	Sections                    []Section
	Problems                    []Problem
	Schemas                     []Schema
}

// Section holds the operations of a tag.
type Section struct {
	Name, Description string
	Operations        []Operation
}

// Operation is a method of a path.
type Operation struct {
	ID, Method, Path, Summary, Description string

	Login      Login
	Limit      string // the rate limit that the operation counts against, or ""
	Parameters []Field
	Body       *Body // nil if the request has none
	Responses  []Response
	Problems   []Problem // the error codes that are specific to the operation
	Curl       string    // a shell command; see Variables
}

// Login specifies whether an operation needs an access token.
type Login string

// The values of Login.
const (
	NoLogin       Login = ""
	OptionalLogin Login = "optional"
	RequiredLogin Login = "required"
)

// Body is the body of a request.
type Body struct {
	Description string
	Required    bool
	Type        Type
	Fields      []Field
	Example     string // JSON
}

// Response is a successful response.
type Response struct {
	Status, Description, MediaType string

	Type    Type
	Headers []Field
	Fields  []Field
	Example string // the example as JSON, or "" if the body is not JSON
}

// Problem is an error code.
type Problem struct {
	Code    string
	Status  int
	Meaning string
	Example string // JSON
}

// Schema is a named schema.
type Schema struct {
	Name, Description, Rules string

	Type   Type
	Fields []Field
}

// methods lists the HTTP methods in the order in which a path's operations are shown.
var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// New returns the reference for a document. It returns an error if an example violates its schema.
func New(doc *openapi3.T) (*Reference, error) {
	r := &Reference{Title: doc.Info.Title, Version: doc.Info.Version, Description: doc.Info.Description}
	problems, err := problemsOf(doc)
	if err != nil {
		return nil, err
	}
	r.Problems = problems
	for _, tag := range doc.Tags {
		s := Section{Name: tag.Name, Description: tag.Description}
		for _, path := range sorted(doc.Paths.Map()) {
			item := doc.Paths.Value(path)
			for _, method := range methods {
				op := item.GetOperation(method)
				if op == nil || !slices.Contains(op.Tags, tag.Name) {
					continue
				}
				o, err := r.describe(doc, path, method, item, op)
				if err != nil {
					return nil, fmt.Errorf("operation %s: %w", op.OperationID, err)
				}
				s.Operations = append(s.Operations, o)
			}
		}
		r.Sections = append(r.Sections, s)
	}
	for _, name := range sorted(doc.Components.Schemas) {
		s := doc.Components.Schemas[name].Value
		r.Schemas = append(r.Schemas, Schema{
			Name: name, Description: s.Description, Rules: rules(s), Type: typeOf(&openapi3.SchemaRef{Value: s}), Fields: fieldsOf(s),
		})
	}
	return r, nil
}

func (r *Reference) describe(doc *openapi3.T, path, method string, item *openapi3.PathItem, op *openapi3.Operation) (Operation, error) {
	o := Operation{ID: op.OperationID, Method: method, Path: path, Summary: op.Summary, Description: op.Description, Login: loginOf(doc, op)}
	o.Limit, _ = op.Extensions["x-rate-limit"].(string)
	parameters := append(slices.Clone(item.Parameters), op.Parameters...)
	for _, p := range parameters {
		v := p.Value
		o.Parameters = append(o.Parameters, Field{v.Name, v.In, rules(v.Schema.Value), v.Description, typeOf(v.Schema), v.Required})
	}
	var body any
	if op.RequestBody != nil {
		given := op.RequestBody.Value
		media := given.Content["application/json"]
		var err error
		if body, err = exampleOf(media); err != nil {
			return Operation{}, fmt.Errorf("request: %w", err)
		}
		o.Body = &Body{
			Description: given.Description, Required: given.Required, Type: typeOf(media.Schema), Fields: fieldsOf(media.Schema.Value),
			Example: indented(body, media.Schema.Value),
		}
	}
	for _, status := range sorted(op.Responses.Map()) {
		if status == "default" { // a problem document
			continue
		}
		answer, err := responseOf(status, op, op.Responses.Value(status).Value)
		if err != nil {
			return Operation{}, fmt.Errorf("response %s: %w", status, err)
		}
		o.Responses = append(o.Responses, answer)
	}
	codes, _ := op.Extensions["x-problems"].([]any)
	for _, code := range codes {
		i := slices.IndexFunc(r.Problems, func(p Problem) bool { return p.Code == code })
		if i < 0 {
			return Operation{}, fmt.Errorf("unknown error code %v", code)
		}
		o.Problems = append(o.Problems, r.Problems[i])
	}
	var err error
	o.Curl, err = curl(o, op, parameters, body)
	return o, err
}

// loginOf returns the Login of an operation. If one of the security requirements is empty, the
// access token is optional.
func loginOf(doc *openapi3.T, op *openapi3.Operation) Login {
	security := doc.Security
	if op.Security != nil {
		security = *op.Security
	}
	empty := slices.ContainsFunc(security, func(r openapi3.SecurityRequirement) bool { return len(r) == 0 })
	switch {
	case len(security) == 0:
		return NoLogin
	case empty:
		return OptionalLogin
	}
	return RequiredLogin
}

func responseOf(status string, op *openapi3.Operation, r *openapi3.Response) (Response, error) {
	answer := Response{Status: status}
	if r.Description != nil {
		answer.Description = *r.Description
	}
	for _, name := range sorted(r.Headers) {
		h := r.Headers[name].Value
		answer.Headers = append(answer.Headers, Field{name, "header", rules(h.Schema.Value), h.Description, typeOf(h.Schema), h.Required})
	}
	answer.MediaType = strings.Join(sorted(r.Content), " or ")
	for _, name := range sorted(r.Content) {
		media := r.Content[name]
		answer.Type = typeOf(media.Schema)
		if !strings.HasSuffix(name, "json") {
			continue
		}
		answer.Fields = fieldsOf(media.Schema.Value)
		value, err := exampleOf(media)
		if err != nil {
			return Response{}, err
		}
		if own, ok := op.Extensions["x-example"].(map[string]any); ok {
			if value, err = replaced(value, own, media.Schema.Value); err != nil {
				return Response{}, err
			}
		}
		answer.Example = indented(value, media.Schema.Value)
	}
	return answer, nil
}

// problemsOf returns the error codes in the order of the document.
func problemsOf(doc *openapi3.T) ([]Problem, error) {
	schema := doc.Components.Schemas["ProblemCode"]
	if schema == nil {
		return nil, fmt.Errorf("the document has no schema ProblemCode")
	}
	meanings, _ := schema.Value.Extensions["x-meanings"].(map[string]any)
	var list []Problem
	for _, value := range schema.Value.Enum {
		code := fmt.Sprint(value)
		meaning, _ := meanings[code].(string)
		if meaning == "" {
			return nil, fmt.Errorf("x-meanings of ProblemCode has no %s", code)
		}
		p := apierr.New(apierr.Code(code), "%s", strings.ReplaceAll(meaning, "`", "")).Problem()
		p.RequestID = "4f1c8a2b9d3e"
		if p.Code == apierr.InvalidRequest {
			p.Errors = []apierr.FieldError{apierr.FieldOf("name", apierr.Violates(apierr.FieldBlank, "must not be blank"))}
			p.Detail = p.Errors[0].Sentence()
		}
		example, err := json.MarshalIndent(p, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("encode the example of %s: %w", code, err)
		}
		list = append(list, Problem{code, p.Status, meaning, string(example)})
	}
	return list, nil
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
