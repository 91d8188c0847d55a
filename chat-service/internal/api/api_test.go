package api_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"parley.chat/shared-contracts/apierr"

	"parley.chat/chat-service/internal/api"
)

// TestGenerated checks that the generated code and the embedded document are up to date with
// docs/openapi.yaml.
func TestGenerated(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(source, api.Document) {
		t.Error("openapi.yaml differs from docs/openapi.yaml; run make generate")
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(t.TempDir(), "api.gen.go")
	tool := func(args ...string) {
		cmd := exec.CommandContext(t.Context(), "go", append([]string{"-C", "../../../tools", "tool"}, args...)...)
		cmd.Env = append(os.Environ(), "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	tool("oapi-codegen", "-config", filepath.Join(here, "config.yaml"), "-o", fresh, filepath.Join(here, "openapi.yaml"))
	tool("gofumpt", "-w", fresh)
	want, err := os.ReadFile(fresh)
	if err != nil {
		t.Fatal(err)
	}
	want = bytes.ReplaceAll(want, []byte("json.NewEncoder(&buf).Encode("), []byte("encode(&buf, ")) // make generate does the same
	got, err := os.ReadFile("api.gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("api.gen.go is out of date; run make generate")
	}
}

// TestFieldCodes checks that the document lists exactly the field codes, and that a schema with a
// rule of its own has a field code for it.
func TestFieldCodes(t *testing.T) {
	t.Parallel()
	doc, err := api.Load()
	if err != nil {
		t.Fatal(err)
	}
	var said []apierr.FieldCode
	for _, code := range doc.Components.Schemas["FieldCode"].Value.Enum {
		said = append(said, apierr.FieldCode(code.(string)))
	}
	if !slices.Equal(said, apierr.FieldCodes()) {
		t.Errorf("the document lists %s\nwant              %s", said, apierr.FieldCodes())
	}
	source, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	codes := regexp.MustCompile(`x-rule-code: (\w+)`).FindAllSubmatch(source, -1)
	if rules := bytes.Count(source, []byte("x-rule:")); rules == 0 || rules != len(codes) {
		t.Errorf("%d schemas have x-rule, and %d have x-rule-code", rules, len(codes))
	}
	for _, code := range codes {
		if !slices.Contains(said, apierr.FieldCode(code[1])) {
			t.Errorf("x-rule-code %s is unknown", code[1])
		}
	}
}

// TestProblemCodes checks that the document lists exactly the error codes that REST responses can
// have, and none of the codes that occur only over WebSockets.
func TestProblemCodes(t *testing.T) {
	t.Parallel()
	doc, err := api.Load()
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, code := range doc.Components.Schemas["ProblemCode"].Value.Enum {
		said = append(said, code.(string))
	}
	socket := []apierr.Code{
		apierr.NotSubscribed, apierr.TokenExpired, apierr.SlowConsumer, apierr.GapNotHealed, apierr.TooManyConnections, apierr.SessionRevoked,
	}
	for _, code := range apierr.Codes() {
		if slices.Contains(said, string(code)) == slices.Contains(socket, code) {
			t.Errorf("%s: in the document: %v, only for WebSockets: %v", code, slices.Contains(said, string(code)), slices.Contains(socket, code))
		}
	}
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			list, _ := op.Extensions["x-problems"].([]any)
			for _, code := range list {
				if !slices.Contains(said, code.(string)) {
					t.Errorf("%s: unknown problem %v", op.OperationID, code)
				}
			}
		}
	}
}

// TestDocument checks that each operation has an id, a summary and one tag that the document
// describes.
func TestDocument(t *testing.T) {
	t.Parallel()
	doc, err := api.Load()
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.OperationID == "" || op.Summary == "" || len(op.Tags) != 1 || doc.Tags.Get(op.Tags[0]) == nil {
				t.Errorf("%s %s has no id, no summary or not exactly one known tag", method, path)
			}
			for _, p := range append(item.Parameters, op.Parameters...) {
				if _, ok := p.Value.Extensions["x-noun"].(string); p.Value.In == "path" && !ok {
					t.Errorf("%s %s: parameter %s has no x-noun", method, path, p.Value.Name)
				}
				if strings.TrimSpace(p.Value.Name) == "" || p.Value.Schema == nil {
					t.Errorf("%s %s: parameter %q has no schema", method, path, p.Value.Name)
				}
			}
		}
	}
}
