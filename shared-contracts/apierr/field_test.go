package apierr_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"parley.chat/shared-contracts/apierr"
)

func TestInvalid(t *testing.T) {
	for _, tt := range []struct {
		rule          error
		message, json string
	}{
		{apierr.Violates(apierr.FieldBlank, "must not be %s", "blank"), "The field name must not be blank.", `{"field":"name","code":"blank","message":"must not be blank"}`},
		{apierr.Length(3, 0), "The field name must have at least 3 characters.", `{"field":"name","code":"length","message":"must have at least 3 characters","min":3}`},
		{apierr.Length(0, 9), "The field name must have at most 9 characters.", `{"field":"name","code":"length","message":"must have at most 9 characters","max":9}`},
		{fmt.Errorf("check: %w", apierr.Length(3, 9)), "The field name must have 3 to 9 characters.", `{"field":"name","code":"length","message":"must have 3 to 9 characters","min":3,"max":9}`},
		{apierr.Violates(apierr.FieldRange, "must be at least 0").AtLeast(0), "The field name must be at least 0.", `{"field":"name","code":"range","message":"must be at least 0","min":0}`},
		{errors.New("is odd"), "The field name is odd.", `{"field":"name","code":"invalid","message":"is odd"}`},
	} {
		e := apierr.Invalid("name", tt.rule)
		b, err := json.Marshal(e.Fields[0])
		if err != nil || e.Code != apierr.InvalidRequest || e.Message != tt.message || len(e.Fields) != 1 || string(b) != tt.json {
			t.Errorf("%v: %s %q %s, %v", tt.rule, e.Code, e.Message, b, err)
		}
	}
	if err := apierr.InvalidFields(nil); err != nil {
		t.Errorf("without fields: %v", err)
	}
}

// TestFieldCodes checks that FieldCodes contains every constant of type FieldCode.
func TestFieldCodes(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "field.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var want []apierr.FieldCode
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "FieldCode" {
			code, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Error(err)
			}
			want = append(want, apierr.FieldCode(code))
		}
		return true
	})
	if got := apierr.FieldCodes(); len(want) < 20 || !slices.Equal(got, want) {
		t.Errorf("FieldCodes() = %s\nconstants:     %s", got, want)
	}
}
