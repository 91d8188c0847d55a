package reference

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// exampleOf returns a valid example of a body. It uses the document's example for the body or for
// its schema, if there is one. Otherwise, it composes an example from the examples of the schema's
// properties.
func exampleOf(media *openapi3.MediaType) (any, error) {
	value := complete(media.Example, media.Schema.Value)
	if media.Example == nil {
		value = compose(media.Schema.Value)
	}
	return value, media.Schema.Value.VisitJSON(value)
}

// replaced copies the object value and overwrites properties of the copy with the properties in by.
// It returns an error if the copy violates the schema.
func replaced(value any, by map[string]any, s *openapi3.Schema) (any, error) {
	object, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("x-example needs an object, not %T", value)
	}
	object = maps.Clone(object)
	maps.Copy(object, by)
	return object, s.VisitJSON(object)
}

// compose returns an example for a schema. An object that has no example of its own gets its
// required properties, and optional ones for which the document has an example. Any other value
// without an example gets a placeholder.
func compose(s *openapi3.Schema) any {
	switch {
	case s.Example != nil:
		return complete(s.Example, s)
	case s.Nullable:
		return nil
	case s.Default != nil:
		return s.Default
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Type.Is(openapi3.TypeArray):
		return []any{compose(s.Items.Value)}
	case s.Type.Is(openapi3.TypeObject):
		object := map[string]any{}
		for _, name := range properties(s) {
			if p := s.Properties[name].Value; slices.Contains(s.Required, name) || p.Example != nil {
				object[name] = compose(p)
			}
		}
		return object
	}
	return placeholder(s)
}

// complete adds the missing required properties to a copy of an example. A property can therefore
// be added to a schema without changing every example.
func complete(value any, s *openapi3.Schema) any {
	switch v := value.(type) {
	case map[string]any:
		object := maps.Clone(v)
		for name, p := range s.Properties {
			if given, ok := v[name]; ok {
				object[name] = complete(given, p.Value)
			} else if slices.Contains(s.Required, name) {
				object[name] = compose(p.Value)
			}
		}
		return object
	case []any:
		if s.Items == nil {
			return v
		}
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = complete(item, s.Items.Value)
		}
		return list
	}
	return value
}

// placeholder returns a placeholder value for a schema of a simple type.
func placeholder(s *openapi3.Schema) any {
	switch {
	case s.Type.Is(openapi3.TypeBoolean):
		return true
	case s.Type.Is(openapi3.TypeInteger), s.Type.Is(openapi3.TypeNumber):
		if s.Min != nil {
			return *s.Min
		}
		return 1.0
	case s.Format == "uuid":
		return "0198f3b4-1c20-7c33-a111-000000000001"
	case s.Format == "date-time":
		return "2026-01-02T03:04:05.006Z"
	}
	return "text"
}

// indented returns an example as indented JSON. The properties are in the order in which the page
// lists the schema's fields.
func indented(value any, s *openapi3.Schema) string {
	var out bytes.Buffer
	write(&out, value, s, "\n")
	return out.String()
}

// compact returns an example as JSON on one line.
func compact(value any, s *openapi3.Schema) string {
	var out bytes.Buffer
	write(&out, value, s, "")
	return out.String()
}

// write encodes a value. newline is a line break with the current indentation, or "" to write
// everything on one line.
func write(out *bytes.Buffer, value any, s *openapi3.Schema, newline string) {
	inner, space := newline, ""
	if newline != "" {
		inner, space = newline+"  ", " "
	}
	switch v := value.(type) {
	case map[string]any:
		if len(v) == 0 {
			out.WriteString("{}")
			return
		}
		for i, name := range namesOf(v, s) {
			out.WriteString(cut(i == 0, "{", ",") + inner + scalar(name) + ":" + space)
			write(out, v[name], propertyOf(s, name), inner)
		}
		out.WriteString(newline + "}")
	case []any:
		if len(v) == 0 {
			out.WriteString("[]")
			return
		}
		for i, item := range v {
			out.WriteString(cut(i == 0, "[", ",") + inner)
			write(out, item, itemsOf(s), inner)
		}
		out.WriteString(newline + "]")
	default:
		out.WriteString(scalar(v))
	}
}

func cut(first bool, opening, between string) string {
	if first {
		return opening
	}
	return between
}

// namesOf returns the keys of an object in the order of its schema, then the keys that the schema
// does not mention.
func namesOf(object map[string]any, s *openapi3.Schema) []string {
	var names []string
	if s != nil {
		for _, name := range properties(s) {
			if _, ok := object[name]; ok {
				names = append(names, name)
			}
		}
	}
	for _, name := range sorted(object) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func propertyOf(s *openapi3.Schema, name string) *openapi3.Schema {
	if s == nil || s.Properties[name] == nil {
		return nil
	}
	return s.Properties[name].Value
}

func itemsOf(s *openapi3.Schema) *openapi3.Schema {
	if s == nil || s.Items == nil {
		return nil
	}
	return s.Items.Value
}

// scalar encodes a value without escaping HTML, because the page escapes all text.
func scalar(v any) string {
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v) // the values come from YAML, so JSON can represent them
	}
	return strings.TrimSpace(out.String())
}
