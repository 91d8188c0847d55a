package reference

import (
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// TestCompose_placeholders checks that a schema without any example still gets a valid value, so
// that an addition to the document does not have to begin with examples.
func TestCompose_placeholders(t *testing.T) {
	t.Parallel()
	s := openapi3.NewObjectSchema().
		WithProperty("id", openapi3.NewUUIDSchema()).WithProperty("at", openapi3.NewDateTimeSchema()).WithProperty("name", openapi3.NewStringSchema()).
		WithProperty("count", openapi3.NewIntegerSchema().WithMin(3)).WithProperty("share", openapi3.NewFloat64Schema()).WithProperty("is", openapi3.NewBoolSchema()).
		WithProperty("list", openapi3.NewArraySchema().WithItems(openapi3.NewStringSchema())).WithProperty("other", openapi3.NewObjectSchema()).
		WithProperty("optional", openapi3.NewStringSchema()).
		WithRequired([]string{"id", "at", "name", "count", "share", "is", "list", "other"})
	value := compose(s)
	if err := s.VisitJSON(value); err != nil {
		t.Error(err)
	}
	const want = `{"id":"0198f3b4-1c20-7c33-a111-000000000001","at":"2026-01-02T03:04:05.006Z","name":"text","count":3,"share":1,"is":true,"list":["text"],"other":{}}`
	if got := compact(value, s); got != want {
		t.Errorf("compose = %s, want %s", got, want)
	}
}

// TestCompose_incomplete checks that an example gets the required properties that it lacks, at any
// depth.
func TestCompose_incomplete(t *testing.T) {
	t.Parallel()
	item := openapi3.NewObjectSchema().WithProperty("a", openapi3.NewStringSchema()).WithProperty("b", openapi3.NewBoolSchema()).WithRequired([]string{"a", "b"})
	s := openapi3.NewObjectSchema().WithProperty("one", item).WithProperty("list", openapi3.NewArraySchema().WithItems(item)).WithProperty("c", openapi3.NewStringSchema()).
		WithRequired([]string{"one", "list"})
	s.Example = map[string]any{"one": map[string]any{"a": "x"}, "list": []any{map[string]any{"b": false}}}
	const want = `{"one":{"a":"x","b":true},"list":[{"a":"text","b":false}]}`
	if got := compact(compose(s), s); got != want {
		t.Errorf("compose = %s, want %s", got, want)
	}
}
