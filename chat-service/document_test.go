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
	// The policy allows only the page's own style sheet: no scripts and no other resources.
	policy := a.header.Get("Content-Security-Policy")
	if !regexp.MustCompile(`^default-src 'none'; style-src 'sha256-[^']+'; `).MatchString(policy) || strings.Contains(policy, "unsafe") {
		t.Errorf("policy = %s", policy)
	}
}

// TestPage checks that the web client is served with its security headers, whether or not it was
// built into this program, and that it does not hide other paths.
func TestPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/", "/c/0b9d3f52-6a07-4a39-a6f5-0d9e3cbb6b0a"} {
		resp, err := w.client.Get(w.url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		h := resp.Header
		if resp.StatusCode != 200 || h.Get("Content-Type") != "text/html; charset=utf-8" || h.Get("ETag") == "" || h.Get("X-Content-Type-Options") != "nosniff" ||
			h.Get("Cross-Origin-Opener-Policy") != "same-origin" || h.Get("Cross-Origin-Resource-Policy") != "same-origin" ||
			!strings.Contains(h.Get("Permissions-Policy"), "camera=()") ||
			h.Get("Referrer-Policy") != "no-referrer" || !strings.Contains(h.Get("Content-Security-Policy"), "script-src 'self';") {
			t.Errorf("%s = %d %v", path, resp.StatusCode, h)
		}
	}
	w.get("/v1/nothing", "").want(t, 404, "not_found")
	w.get("/c", "").want(t, 404, "not_found")
}
