package reference

import (
	"fmt"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Field is a parameter, a header or a property.
type Field struct {
	Name        string
	In          string // path, query or header; "" for a property
	Rules       string // the constraints, in words
	Description string
	Type        Type
	Required    bool
}

// Type is the type of a field, a body or a schema. Words describes the type; Schema is the name of
// a schema to link to, or "" for none.
type Type struct{ Words, Schema string }

// fieldsOf returns the properties of an object.
func fieldsOf(s *openapi3.Schema) []Field {
	var list []Field
	for _, name := range properties(s) {
		ref := s.Properties[name]
		list = append(list, Field{Name: name, Type: typeOf(ref), Required: slices.Contains(s.Required, name), Rules: rules(ref.Value), Description: ref.Value.Description})
	}
	return list
}

// properties returns the names of the properties: first the required ones, in the order in which
// the document lists them, then the others, sorted by name.
func properties(s *openapi3.Schema) []string {
	var required, others []string
	for _, name := range s.Required {
		if s.Properties[name] != nil {
			required = append(required, name)
		}
	}
	for _, name := range sorted(s.Properties) {
		if !slices.Contains(required, name) {
			others = append(others, name)
		}
	}
	return append(required, others...)
}

func typeOf(ref *openapi3.SchemaRef) Type {
	if name, ok := strings.CutPrefix(ref.Ref, "#/components/schemas/"); ok {
		return Type{Schema: name}
	}
	s := ref.Value
	switch {
	case s.Type.Is(openapi3.TypeArray):
		of := typeOf(s.Items)
		return Type{strings.TrimSpace("list of " + of.Words), of.Schema}
	case s.Format != "":
		return Type{Words: s.Format}
	case s.Type == nil || len(*s.Type) == 0:
		return Type{Words: "anything"}
	}
	return Type{Words: (*s.Type)[0]}
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
