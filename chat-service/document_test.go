package chatservice_test

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestDocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source, err := os.ReadFile("../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if a := w.get("/openapi.yaml", ""); a.status != 200 || !bytes.Equal(a.body, source) {
		t.Errorf("/openapi.yaml = %d, %d bytes; want docs/openapi.yaml", a.status, len(a.body))
	}
	a := w.get("/docs", "")
	if a.status != 200 || !strings.Contains(string(a.body), `id="sendMessage"`) {
		t.Errorf("/docs = %d %.200s", a.status, a.body)
	}
	// The policy lets the page's own style through and nothing else: no script, nothing from elsewhere.
	policy := a.header.Get("Content-Security-Policy")
	if !regexp.MustCompile(`^default-src 'none'; style-src 'sha256-[^']+'; `).MatchString(policy) || strings.Contains(policy, "unsafe") {
		t.Errorf("policy = %s", policy)
	}
}
