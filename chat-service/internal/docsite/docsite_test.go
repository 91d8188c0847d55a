package docsite

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"parley.chat/docs"

	"parley.chat/chat-service/internal/api"
)

// maxBytes limits the first load: the reference, the style sheet and the script, compressed.
const maxBytes = 100_000

func serve(t *testing.T) *echo.Echo {
	t.Helper()
	doc, err := api.Load()
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(doc, docs.Files)
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	s.Register(func(method, path string, h echo.HandlerFunc) { e.Add(method, path, h) })
	return e
}

func ask(t *testing.T, e *echo.Echo, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

var (
	hrefs = regexp.MustCompile(`(?:href|src|data-index)="([^"]*)"`)
	ids   = regexp.MustCompile(` id="([^"]*)"`)
)

// TestSite_links checks that every operation and schema has an anchor, and that every link and
// every entry of the search index has a target.
func TestSite_links(t *testing.T) {
	t.Parallel()
	e := serve(t)
	elements := map[string]map[string]bool{} // ids by page
	for _, page := range []string{"/docs", "/docs/websocket"} {
		elements[page] = map[string]bool{}
		for _, m := range ids.FindAllStringSubmatch(ask(t, e, page).Body.String(), -1) {
			if elements[page][m[1]] {
				t.Errorf("%s has two elements with the id %s", page, m[1])
			}
			elements[page][m[1]] = true
		}
	}
	check := func(from, link string) {
		t.Helper()
		page, id, _ := strings.Cut(link, "#")
		switch {
		case page == "":
			page = from
		case page == "/openapi.yaml" || page == "/icon.svg": // other packages serve these
			return
		}
		if w := ask(t, e, page); w.Code != 200 {
			t.Errorf("%s has a link to %s, which is %d", from, link, w.Code)
		}
		if id != "" && !elements[page][id] {
			t.Errorf("%s has a link to %s, which has no target", from, link)
		}
	}
	seen := map[string]bool{}
	var index string
	for page := range elements {
		for _, m := range hrefs.FindAllStringSubmatch(ask(t, e, page).Body.String(), -1) {
			if !seen[page+m[1]] {
				check(page, m[1])
			}
			seen[page+m[1]] = true
			if strings.Contains(m[1], "/search.") {
				index = m[1]
			}
		}
	}
	var entries []entry
	if err := json.Unmarshal(ask(t, e, index).Body.Bytes(), &entries); err != nil {
		t.Fatalf("%s: %v", index, err)
	}
	found := map[string]bool{}
	for _, x := range entries {
		found[x.Kind+" "+x.Title] = true
		if page, id, _ := strings.Cut(x.Path, "#"); !elements[page][id] {
			t.Errorf("the search index leads to %s, which has no target", x.Path)
		}
	}
	for _, want := range []string{
		"operation sendMessage", "parameter before_seq", "schema Channel", "field mention_all", "error not_found", "section Order and resuming", "protocol 4008",
		"protocol delivered", "protocol read",
	} {
		if !found[want] {
			t.Errorf("the search index has no %s", want)
		}
	}
	doc, err := api.Load()
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !elements["/docs"][op.OperationID] {
				t.Errorf("%s %s has no anchor", method, path)
			}
		}
	}
	for name := range doc.Components.Schemas {
		if !elements["/docs"]["schema-"+name] {
			t.Errorf("the schema %s has no anchor", name)
		}
	}
}

// TestSite_strict checks that a page contains nothing that its Content-Security-Policy would block,
// and that the policy allows only this server.
func TestSite_strict(t *testing.T) {
	t.Parallel()
	e := serve(t)
	for _, page := range []string{"/docs", "/docs/websocket"} {
		w := ask(t, e, page)
		for _, inline := range []string{"<style", " style=", "<script>", " onclick", "javascript:", "http-equiv", "ZgotmplZ", "raw HTML", "src=\"http"} {
			if strings.Contains(w.Body.String(), inline) {
				t.Errorf("%s contains %s", page, inline)
			}
		}
		p := w.Header().Get("Content-Security-Policy")
		if !strings.HasPrefix(p, "default-src 'none'; script-src 'self'; style-src 'self'; ") || strings.Contains(p, "unsafe") || strings.Contains(p, "http") ||
			!strings.Contains(p, "base-uri 'none'; form-action 'none'; frame-ancestors 'none'") {
			t.Errorf("%s: policy %q", page, p)
		}
	}
}

// TestSite_caches checks the headers for caches, and the size of the first load.
func TestSite_caches(t *testing.T) {
	t.Parallel()
	e := serve(t)
	total := 0
	first := ask(t, e, "/docs", "Accept-Encoding", "gzip")
	total += first.Body.Len()
	for _, path := range []string{"/docs", "/docs/websocket", "/docs/websocket.schema.json"} {
		w := ask(t, e, path)
		etag := w.Header().Get("ETag")
		if w.Code != 200 || etag == "" || w.Header().Get("Cache-Control") != "no-cache" {
			t.Errorf("%s = %d %v", path, w.Code, w.Header())
		}
		if again := ask(t, e, path, "If-None-Match", etag); again.Code != 304 || again.Body.Len() > 0 {
			t.Errorf("%s with its ETag = %d", path, again.Code)
		}
	}
	loaded := 0
	for _, m := range hrefs.FindAllStringSubmatch(ask(t, e, "/docs").Body.String(), -1) {
		if !strings.HasPrefix(m[1], "/docs/assets/") {
			continue
		}
		w := ask(t, e, m[1], "Accept-Encoding", "gzip")
		if w.Code != 200 || w.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" || w.Header().Get("Content-Encoding") != "gzip" {
			t.Errorf("%s = %d %v", m[1], w.Code, w.Header())
		}
		if !strings.Contains(m[1], "/search.") { // loaded later
			total += w.Body.Len()
			loaded++
		}
	}
	t.Logf("the first load: %d bytes", total)
	if total > maxBytes || loaded != 2 {
		t.Errorf("the first load is %d bytes, of which %d files, want at most %d bytes and 2 files", total, loaded, maxBytes)
	}
	if w := ask(t, e, "/docs/assets/nothing.js"); w.Code != 404 {
		t.Errorf("an unknown file = %d", w.Code)
	}
}
