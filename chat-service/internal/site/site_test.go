package site_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/labstack/echo/v4"

	"parley.chat/chat-service/internal/site"
)

func build(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, content := range files {
		m[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return m
}

var built = build(map[string]string{
	".gitkeep": "", "index.html": "<!doctype html><title>app</title>", "ops.html": "<!doctype html><title>ops</title>",
	"favicon.svg": "<svg/>", "sw.js": "let w = 1;", "assets/app-1a2b.js": strings.Repeat("let a = 1;", 100), "assets/app-1a2b.js.br": "brotli", "assets/app-1a2b.js.gz": "gzipped",
	"assets/app-3c4d.css": "a{}", "assets/app-3c4d.css.gz": "longer than the original",
})

func serve(t *testing.T, files fstest.MapFS) *echo.Echo {
	t.Helper()
	s, err := site.New(files)
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	s.Register(func(method, path string, h echo.HandlerFunc) { e.Add(method, path, h) })
	return e
}

func ask(e *echo.Echo, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, http.NoBody)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

func TestSite_paths(t *testing.T) {
	t.Parallel()
	e := serve(t, built)
	for path, want := range map[string]struct {
		status            int
		contentType, body string
	}{
		"/": {200, "text/html; charset=utf-8", "<title>app"}, "/c/0b9d3f52-6a07-4a39-a6f5-0d9e3cbb6b0a": {200, "text/html; charset=utf-8", "<title>app"},
		"/c/x?m=7": {200, "text/html; charset=utf-8", "<title>app"}, "/ops": {200, "text/html; charset=utf-8", "<title>ops"},
		"/favicon.svg": {200, "image/svg+xml", "<svg/>"}, "/sw.js": {200, "text/javascript; charset=utf-8", "let w"}, "/assets/app-1a2b.js": {200, "text/javascript; charset=utf-8", "let a"},
		"/assets/app-3c4d.css": {200, "text/css; charset=utf-8", "a{}"},
		"/c":                   {404, "", ""}, "/c/x/y": {404, "", ""}, "/assets/": {404, "", ""}, "/assets/app-0000.js": {404, "", ""}, "/index.html": {404, "", ""},
		"/assets/app-1a2b.js.br": {404, "", ""}, "/.gitkeep": {404, "", ""}, "/assets/../index.html": {404, "", ""}, "/v1/me": {404, "", ""}, "/ws": {404, "", ""},
	} {
		w := ask(e, "GET", path)
		if w.Code != want.status || want.status == 200 && (w.Header().Get("Content-Type") != want.contentType || !strings.Contains(w.Body.String(), want.body)) {
			t.Errorf("%s = %d %s %q, want %+v", path, w.Code, w.Header().Get("Content-Type"), w.Body, want)
		}
	}
}

// TestSite_unknown checks that a browser that opens an unknown path gets the web client with status
// 404, and that other requests are left to the API.
func TestSite_unknown(t *testing.T) {
	t.Parallel()
	s, err := site.New(built)
	if err != nil {
		t.Fatal(err)
	}
	const html = "text/html,application/xhtml+xml,*/*;q=0.8"
	for _, c := range []struct {
		method, path, accept string
		page                 bool
	}{
		{"GET", "/nothing", html, true},
		{"GET", "/c/x/y", html, true},
		{"GET", "/nothing", "*/*", false},
		{"GET", "/nothing", "application/json", false},
		{"POST", "/nothing", html, false},
		{"GET", "/v1/nothing", html, false},
	} {
		r := httptest.NewRequest(c.method, c.path, http.NoBody)
		r.Header.Set("Accept", c.accept)
		w := httptest.NewRecorder()
		served := s.ServeUnknown(echo.New().NewContext(r, w))
		if served != c.page {
			t.Errorf("%s %s (%s) served the page: %v, want %v", c.method, c.path, c.accept, served, c.page)
		}
		if served && (w.Code != 404 || !strings.Contains(w.Body.String(), "<title>app") || w.Header().Get("Content-Security-Policy") == "") {
			t.Errorf("%s %s = %d %v %s, want the page with status 404", c.method, c.path, w.Code, w.Header(), w.Body)
		}
	}
}

func TestSite_encodings(t *testing.T) {
	t.Parallel()
	e := serve(t, built)
	for accept, want := range map[string]string{
		"": "", "gzip, deflate, br, zstd": "br", "gzip": "gzip", "br;q=0, gzip;q=0.5": "gzip", "*": "br", "*;q=0": "", "GZIP": "gzip", "deflate": "", "br;q=none": "",
		"br ; q=0.1 , *;q=0": "br",
	} {
		w := ask(e, "GET", "/assets/app-1a2b.js", "Accept-Encoding", accept)
		body := map[string]string{"": strings.Repeat("let a = 1;", 100), "br": "brotli", "gzip": "gzipped"}[want]
		if got := w.Header().Get("Content-Encoding"); got != want || w.Body.String() != body || w.Header().Get("Content-Length") != strconv.Itoa(len(body)) {
			t.Errorf("Accept-Encoding %q: %q of %s bytes, %q; want %q", accept, got, w.Header().Get("Content-Length"), w.Body, want)
		}
		if w.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("Accept-Encoding %q: Vary = %q", accept, w.Header().Get("Vary"))
		}
	}
	if w := ask(e, "GET", "/assets/app-3c4d.css", "Accept-Encoding", "gzip"); w.Header().Get("Content-Encoding") != "" || w.Body.String() != "a{}" {
		t.Errorf("file that compression makes longer is served as %q %q, want uncompressed", w.Header().Get("Content-Encoding"), w.Body)
	}
}

func TestSite_caches(t *testing.T) {
	t.Parallel()
	e := serve(t, built)
	for path, want := range map[string]string{"/": "no-cache", "/ops": "no-cache", "/favicon.svg": "no-cache", "/sw.js": "no-cache", "/assets/app-1a2b.js": "public, max-age=31536000, immutable"} {
		first := ask(e, "GET", path, "Accept-Encoding", "br")
		etag := first.Header().Get("ETag")
		if first.Header().Get("Cache-Control") != want || !strings.HasPrefix(etag, `"`) {
			t.Errorf("%s: Cache-Control %q, ETag %q; want %q", path, first.Header().Get("Cache-Control"), etag, want)
		}
		for _, given := range []string{etag, "W/" + etag, `"other", ` + etag, "*"} {
			w := ask(e, "GET", path, "If-None-Match", given, "Accept-Encoding", "br")
			if w.Code != 304 || w.Body.Len() > 0 || w.Header().Get("ETag") != etag || w.Header().Get("Cache-Control") != want {
				t.Errorf("%s with If-None-Match %s = %d %v", path, given, w.Code, w.Header())
			}
		}
		if w := ask(e, "GET", path, "If-None-Match", `"other"`); w.Code != 200 {
			t.Errorf("%s with another tag = %d", path, w.Code)
		}
		head := ask(e, "HEAD", path, "Accept-Encoding", "br")
		if head.Code != 200 || head.Body.Len() > 0 || head.Header().Get("Content-Length") != strconv.Itoa(first.Body.Len()) || head.Header().Get("ETag") != etag {
			t.Errorf("HEAD %s = %d %v with %d bytes", path, head.Code, head.Header(), head.Body.Len())
		}
	}
	plain, packed := ask(e, "GET", "/assets/app-1a2b.js"), ask(e, "GET", "/assets/app-1a2b.js", "Accept-Encoding", "gzip")
	if plain.Header().Get("ETag") == packed.Header().Get("ETag") {
		t.Error("two encodings have the same ETag, so a cache would confuse them")
	}
}

func TestSite_policy(t *testing.T) {
	t.Parallel()
	e := serve(t, built)
	for _, path := range []string{"/", "/ops", "/c/x", "/sw.js"} {
		policy := ask(e, "GET", path).Header().Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; script-src 'self'; worker-src 'self'; ") || !strings.Contains(policy, "; connect-src 'self'; ") || !strings.Contains(policy, "; img-src 'self'; ") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s: policy %q", path, policy)
		}
	}
}

// TestSite_unbuilt checks that, without a build, the pages explain how to create one.
func TestSite_unbuilt(t *testing.T) {
	t.Parallel()
	e := serve(t, build(map[string]string{".gitkeep": ""}))
	for _, path := range []string{"/", "/c/x"} {
		if w := ask(e, "GET", path); w.Code != 200 || !strings.Contains(w.Body.String(), "make web") {
			t.Errorf("%s = %d %s", path, w.Code, w.Body)
		}
	}
	if w := ask(e, "GET", "/assets/app.js"); w.Code != 404 {
		t.Errorf("asset without a build = %d, want 404", w.Code)
	}
}
