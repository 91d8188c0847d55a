package httpapi

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"parley.chat/shared-contracts/apierr"
)

// fields collects the first error for each invalid field of a request, sorted by field name. The
// messages do not repeat the values that the client sent.
type fields []apierr.FieldError

func (f *fields) add(name string, rule error) {
	at, found := slices.BinarySearchFunc(*f, name, func(x apierr.FieldError, name string) int { return strings.Compare(x.Field, name) })
	if !found {
		*f = slices.Insert(*f, at, apierr.FieldOf(name, rule))
	}
}

// err returns an error that lists the invalid fields, or nil if there are none.
func (f *fields) err() error {
	return apierr.InvalidFields(*f)
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
		f.add(name, apierr.Violates(apierr.FieldInvalid, "is not valid"))
		return
	}
	if path := strings.Join(fault.JSONPointer(), "."); path != "" {
		name = path
	}
	if fault.SchemaField == "minProperties" {
		for property := range fault.Schema.Properties {
			f.add(property, apierr.Violates(apierr.FieldRequired, "is required unless another field is given"))
		}
		return
	}
	f.add(name, describe(fault))
}

// describe returns the constraint that a value violates.
func describe(e *openapi3.SchemaError) *apierr.RuleError {
	s := e.Schema
	switch e.SchemaField {
	case "required":
		return errRequired()
	case "nullable":
		return apierr.Violates(apierr.FieldRequired, "must not be null")
	case "type":
		return apierr.Violates(apierr.FieldType, "must be %s", typeWord(s))
	case "enum":
		return apierr.Violates(apierr.FieldEnum, "must be one of %s", strings.Join(names(s.Enum), ", "))
	case "minLength", "maxLength":
		return lengthRule(s)
	case "minimum", "maximum":
		return rangeRule(s)
	case "pattern", "format":
		return patternRule(s)
	}
	return apierr.Violates(apierr.FieldInvalid, "is not valid")
}

func errRequired() *apierr.RuleError { return apierr.Violates(apierr.FieldRequired, "is required") }

// patternRule returns the error for a value that violates its schema's pattern or format. If a
// schema has the extensions x-rule and x-rule-code, they describe its pattern. A pattern without
// them only excludes characters.
func patternRule(s *openapi3.Schema) *apierr.RuleError {
	rule, hasRule := s.Extensions["x-rule"].(string)
	code, _ := s.Extensions["x-rule-code"].(string)
	switch {
	case hasRule:
		return apierr.Violates(apierr.FieldCode(code), "%s", rule)
	case s.Format == "uuid":
		return apierr.Violates(apierr.FieldUUID, "must be a UUID")
	}
	return apierr.Violates(apierr.FieldCharacters, "contains a character that is not allowed, such as a control character")
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

func lengthRule(s *openapi3.Schema) *apierr.RuleError {
	var high int64
	if s.MaxLength != nil {
		high = int64(*s.MaxLength)
	}
	return apierr.Length(int64(s.MinLength), high)
}

func rangeRule(s *openapi3.Schema) *apierr.RuleError {
	switch {
	case s.Min != nil && s.Max != nil:
		return apierr.Violates(apierr.FieldRange, "must be between %.0f and %.0f", *s.Min, *s.Max).AtLeast(int64(*s.Min)).AtMost(int64(*s.Max))
	case s.Min != nil:
		return apierr.Violates(apierr.FieldRange, "must be at least %.0f", *s.Min).AtLeast(int64(*s.Min))
	}
	return apierr.Violates(apierr.FieldRange, "must be at most %.0f", *s.Max).AtMost(int64(*s.Max))
}
