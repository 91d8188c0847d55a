package httpapi

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"parley.chat/shared-contracts/apierr"
)

// fields collects the invalid fields of a request, sorted by name, with the first error for each
// field. The messages do not repeat the values that the client sent.
type fields []apierr.Field

func (f *fields) add(name, message string) {
	at, found := slices.BinarySearchFunc(*f, name, func(x apierr.Field, name string) int { return strings.Compare(x.Field, name) })
	if !found {
		*f = slices.Insert(*f, at, apierr.Field{Field: name, Message: message})
	}
}

// err returns an error that lists the invalid fields, or nil if there are none.
func (f *fields) err() error {
	if len(*f) == 0 {
		return nil
	}
	return &apierr.Error{Code: apierr.InvalidRequest, Fields: *f, Message: (*f)[0].Sentence()}
}

// visit validates value against schema. name is the name of the parameter; errors in a body are
// reported under the names of its own fields.
func (f *fields) visit(name string, schema *openapi3.Schema, value any) {
	f.collect(name, schema.VisitJSON(value, openapi3.MultiErrors(), openapi3.VisitAsRequest()))
}

func (f *fields) collect(name string, err error) {
	if err == nil {
		return
	}
	if all, ok := errors.AsType[openapi3.MultiError](err); ok {
		for _, e := range all {
			f.collect(name, e)
		}
		return
	}
	fault, ok := errors.AsType[*openapi3.SchemaError](err)
	if !ok {
		f.add(name, "is not valid")
		return
	}
	if path := strings.Join(fault.JSONPointer(), "."); path != "" {
		name = path
	}
	if fault.SchemaField == "minProperties" {
		for property := range fault.Schema.Properties {
			f.add(property, "is required unless another field is given")
		}
		return
	}
	f.add(name, describe(fault))
}

// describe returns a message about the constraint that a value violates.
func describe(e *openapi3.SchemaError) string {
	s := e.Schema
	switch e.SchemaField {
	case "required":
		return "is required"
	case "nullable":
		return "must not be null"
	case "type":
		return "must be " + typeWord(s)
	case "enum":
		return "must be one of " + strings.Join(names(s.Enum), ", ")
	case "minLength", "maxLength":
		return lengthWords(s)
	case "minimum", "maximum":
		return rangeWords(s)
	case "pattern", "format":
		if rule, ok := s.Extensions["x-rule"].(string); ok {
			return rule
		}
		if s.Format == "uuid" {
			return "must be a UUID"
		}
		return "contains a character that is not allowed, such as a control character"
	}
	return "is not valid"
}

func typeWord(s *openapi3.Schema) string {
	switch {
	case s.Type.Is(openapi3.TypeString):
		return "a string"
	case s.Type.Is(openapi3.TypeBoolean):
		return "true or false"
	case s.Type.Is(openapi3.TypeInteger):
		return "a whole number"
	case s.Type.Is(openapi3.TypeArray):
		return "a list"
	}
	return "an object"
}

func names(values []any) []string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = fmt.Sprint(v)
	}
	return list
}

func lengthWords(s *openapi3.Schema) string {
	switch {
	case s.MaxLength == nil:
		return fmt.Sprintf("must have at least %d characters", s.MinLength)
	case s.MinLength == 0:
		return fmt.Sprintf("must have at most %d characters", *s.MaxLength)
	}
	return fmt.Sprintf("must have %d to %d characters", s.MinLength, *s.MaxLength)
}

func rangeWords(s *openapi3.Schema) string {
	switch {
	case s.Min != nil && s.Max != nil:
		return fmt.Sprintf("must be between %.0f and %.0f", *s.Min, *s.Max)
	case s.Min != nil:
		return fmt.Sprintf("must be at least %.0f", *s.Min)
	}
	return fmt.Sprintf("must be at most %.0f", *s.Max)
}
