package gateway

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"parley.chat/shared-contracts/frame"
	"parley.chat/ws-server/internal/connection"
)

// TestFrameLimits checks that every type of frame that clients may send, according to the constants
// of package frame, has an entry in frameTypes.
func TestFrameLimits(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "../../../shared-contracts/frame/client.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if of, ok := spec.Type.(*ast.Ident); !ok || of.Name != "Type" {
			return true
		}
		for _, v := range spec.Values {
			text, err := strconv.Unquote(v.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			found++
			if frameTypes[frame.Type(text)].limit == "" {
				t.Errorf("frames of type %s have no limit", text)
			}
		}
		return true
	})
	if found < 12 || found != len(frameTypes) {
		t.Errorf("%d types of frame in package frame, %d with a limit", found, len(frameTypes))
	}
}

func TestCloseReason_isJSONThatFits(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"This session has ended.", strings.Repeat("x", 109), strings.Repeat("x", 110), strings.Repeat("ä", 300), strings.Repeat(`"`, 80),
	} {
		b := closeReason(text)
		var reason struct{ Message string }
		if err := json.Unmarshal([]byte(b), &reason); err != nil || len(b) > connection.MaxCloseReason {
			t.Errorf("%.20q: reason %s of %d bytes: %v", text, b, len(b), err)
		}
		if kept := strings.TrimSuffix(reason.Message, "…"); !strings.HasPrefix(text, kept) || kept == "" {
			t.Errorf("%.20q became %q", text, reason.Message)
		}
	}
}
