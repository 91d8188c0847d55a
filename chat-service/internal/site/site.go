// Package site serves the web client: the pages that Vite has built, each at its own paths, and the
// files that they load.
//
// All files are read and hashed once, at startup. A file is compressed at build time and served in
// the best encoding that the browser accepts, or uncompressed. Browsers revalidate a page on every
// request, usually with a 304 response. Files with a hash in their names are cached forever. A page
// cannot hide an API path, because every page's paths are listed here. If the web client has not
// been built, a single page explains how to build it.
package site

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
)

// pages maps each page to the paths at which it is served. The client's router must use the same
// paths.
var pages = map[string][]string{
	"index.html": {"/", "/c/:id"},
	"ops.html":   {"/ops"},
}

// hashed is the folder of the files whose names contain content hashes.
const hashed = "assets/"

// policy is the Content-Security-Policy of pages. A page may run scripts and connect only to its
// own origin, and cannot be framed.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

//go:embed unbuilt.html
var unbuilt []byte

// Site holds the files to serve. It is immutable and safe for concurrent use.
type Site struct {
	files map[string]*file // by path in the build
}

// New reads the web client's build from files. files may be empty.
func New(files fs.FS) (*Site, error) {
	s := &Site{files: map[string]*file{}}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") || isVariant(name) {
			return err
		}
		f, err := read(files, name)
		s.files[name] = f
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the web client: %w", err)
	}
	if s.files["index.html"] == nil {
		s.files["index.html"] = newFile("index.html", map[string][]byte{"": unbuilt})
	}
	return s, nil
}

// Register registers all paths by calling add, for GET and HEAD.
func (s *Site) Register(add func(method, path string, h echo.HandlerFunc)) {
	both := func(path string, h echo.HandlerFunc) {
		add(http.MethodGet, path, h)
		add(http.MethodHead, path, h)
	}
	for name, f := range s.files {
		paths, isPage := pages[name]
		switch {
		case isPage:
			for _, p := range paths {
				both(p, f.servePage)
			}
		case !strings.HasPrefix(name, hashed):
			both("/"+name, f.serve)
		}
	}
	// These files share one route, because their names change with each release and routes are
	// metric labels.
	both("/"+hashed+"*", func(c echo.Context) error {
		f := s.files[hashed+c.Param("*")]
		if f == nil {
			return echo.ErrNotFound
		}
		return f.serve(c)
	})
}

// ServeUnknown responds with status 404 and the web client, which reports the missing page, if a
// browser opens a path that does not exist. It returns false without a response if the request is
// for the API or does not ask for a page.
func (s *Site) ServeUnknown(c echo.Context) bool {
	r := c.Request()
	isPage := r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") && !strings.HasPrefix(r.URL.Path, "/v1/")
	return isPage && s.files["index.html"].serveWith(c, http.StatusNotFound) == nil
}

// encodings lists the supported compressions, best first.
var encodings = []struct{ name, suffix string }{{"br", ".br"}, {"gzip", ".gz"}}

func isVariant(name string) bool {
	for _, e := range encodings {
		if strings.HasSuffix(name, e.suffix) {
			return true
		}
	}
	return false
}

// file is a file in all its encodings.
type file struct {
	contentType, cacheControl string
	isPage                    bool
	variants                  map[string]variant // by Content-Encoding; "" is the uncompressed file
}

type variant struct {
	content []byte
	etag    string
}

func read(files fs.FS, name string) (*file, error) {
	content, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, err
	}
	variants := map[string][]byte{"": content}
	for _, e := range encodings {
		packed, err := fs.ReadFile(files, name+e.suffix)
		if errors.Is(err, fs.ErrNotExist) || err == nil && len(packed) >= len(content) {
			continue
		}
		if err != nil {
			return nil, err
		}
		variants[e.name] = packed
	}
	return newFile(name, variants), nil
}

func newFile(name string, variants map[string][]byte) *file {
	f := &file{contentType: contentType(name), cacheControl: "no-cache", variants: map[string]variant{}}
	f.isPage = strings.HasPrefix(f.contentType, "text/html")
	if strings.HasPrefix(name, hashed) {
		f.cacheControl = "public, max-age=31536000, immutable"
	}
	sum := sha256.Sum256(variants[""])
	for encoding, content := range variants {
		f.variants[encoding] = variant{content, `"` + hex.EncodeToString(sum[:12]) + strings.TrimSuffix("-"+encoding, "-") + `"`}
	}
	return f
}

// types contains the media types that the operating system's table may lack or define differently.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml", ".json": "application/json", ".webmanifest": "application/manifest+json", ".map": "application/json",
	".txt": "text/plain; charset=utf-8", ".png": "image/png", ".ico": "image/x-icon", ".woff2": "font/woff2",
}

func contentType(name string) string {
	ext := path.Ext(name)
	if t := types[ext]; t != "" {
		return t
	}
	if t := mime.TypeByExtension(ext); t != "" {
		return t
	}
	return "application/octet-stream"
}

// servePage serves a page. It refuses paths with additional slashes, which echo includes in the
// last parameter of a route.
func (f *file) servePage(c echo.Context) error {
	for _, value := range c.ParamValues() {
		if strings.Contains(value, "/") {
			return echo.ErrNotFound
		}
	}
	return f.serve(c)
}

// serve sends the file in the best encoding that the request accepts.
func (f *file) serve(c echo.Context) error { return f.serveWith(c, http.StatusOK) }

// serveWith is like serve, with the given status.
func (f *file) serveWith(c echo.Context, status int) error {
	r, h := c.Request(), c.Response().Header()
	encoding := ""
	for _, e := range encodings {
		if _, there := f.variants[e.name]; there && accepts(r.Header.Get("Accept-Encoding"), e.name) {
			encoding = e.name
			break
		}
	}
	v := f.variants[encoding]
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", f.cacheControl)
	h.Set("ETag", v.etag)
	if len(f.variants) > 1 {
		h.Add("Vary", "Accept-Encoding")
	}
	if f.isPage {
		h.Set("Content-Security-Policy", policy)
	}
	if status == http.StatusOK && matches(r.Header.Get("If-None-Match"), v.etag) {
		h.Del("Content-Type")
		return c.NoContent(http.StatusNotModified)
	}
	if encoding != "" {
		h.Set("Content-Encoding", encoding)
	}
	h.Set("Content-Length", strconv.Itoa(len(v.content)))
	c.Response().WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	_, _ = c.Response().Write(v.content) // fails if the client has disconnected
	return nil
}
