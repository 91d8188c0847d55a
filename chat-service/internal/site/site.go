// Package site serves the web client, that is, the pages that Vite has built and the files that
// they load.
//
// All files are read once, at startup. They were compressed at build time. Browsers revalidate a
// page on every request and usually get a 304 response. Files with a hash in their names are cached
// forever. Every page is served only at the paths listed here, so a page cannot hide an API path.
// If the web client has not been built, a single page explains how to build it.
package site

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"

	"github.com/labstack/echo/v4"

	"parley.chat/chat-service/internal/static"
)

// pages maps each page to the paths at which it is served. The client's router must use the same
// paths.
var pages = map[string][]string{
	"index.html": {"/", "/c/:id"},
	"ops.html":   {"/ops"},
}

// hashed is the build's folder for files whose names contain a content hash.
const hashed = "assets/"

// serviceWorker is the path of the web client's service worker. The path determines which pages the
// worker controls. Browsers check it for changes whenever they open one of these pages, so it must
// not be cached.
const serviceWorker = "sw.js"

// policy is the Content-Security-Policy of pages and of the service worker. They may load scripts
// only from their own origin and connect only to it. A page cannot be framed.
const policy = "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

//go:embed unbuilt.html
var unbuilt []byte

// Site holds the files to serve. It is immutable and safe for concurrent use.
type Site struct {
	files map[string]*static.File // by path in the build
}

// New reads the web client's build from files, which may be empty.
func New(files fs.FS) (*Site, error) {
	s := &Site{files: map[string]*static.File{}}
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

// Register calls add to register a GET and a HEAD handler for each path.
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
				both(p, page(f))
			}
		case !strings.HasPrefix(name, hashed):
			both("/"+name, f.Serve)
		}
	}
	// These files share one route, because their names change with each release and routes are
	// metric labels.
	both("/"+hashed+"*", func(c echo.Context) error {
		f := s.files[hashed+c.Param("*")]
		if f == nil {
			return echo.ErrNotFound
		}
		return f.Serve(c)
	})
}

// ServeUnknown responds with status 404 to a browser that opens a path that does not exist. The
// body is the web client, which reports the missing page. If the request is for the API or does not
// ask for a page, ServeUnknown returns false and sends no response.
func (s *Site) ServeUnknown(c echo.Context) bool {
	r := c.Request()
	isPage := r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") && !strings.HasPrefix(r.URL.Path, "/v1/")
	return isPage && s.files["index.html"].ServeWith(c, http.StatusNotFound) == nil
}

// suffixes maps each content encoding to the suffix of compressed files in the build.
var suffixes = map[string]string{"br": ".br", "gzip": ".gz"}

func isVariant(name string) bool {
	for _, suffix := range suffixes {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

func read(files fs.FS, name string) (*static.File, error) {
	content, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, err
	}
	variants := map[string][]byte{"": content}
	for encoding, suffix := range suffixes {
		packed, err := fs.ReadFile(files, name+suffix)
		if errors.Is(err, fs.ErrNotExist) || err == nil && len(packed) >= len(content) {
			continue
		}
		if err != nil {
			return nil, err
		}
		variants[encoding] = packed
	}
	return newFile(name, variants), nil
}

func newFile(name string, variants map[string][]byte) *static.File {
	o := static.Options{ContentType: contentType(name), CacheControl: static.Revalidate}
	if name == serviceWorker || strings.HasPrefix(o.ContentType, "text/html") {
		o.Policy = policy
	}
	if strings.HasPrefix(name, hashed) {
		o.CacheControl = static.Immutable
	}
	return static.New(variants, o)
}

// types maps file extensions to media types. The operating system's table may lack these extensions
// or define them differently.
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

// page returns a handler that serves a page. It refuses paths with additional slashes, which echo
// includes in the last parameter of a route.
func page(f *static.File) echo.HandlerFunc {
	return func(c echo.Context) error {
		for _, value := range c.ParamValues() {
			if strings.Contains(value, "/") {
				return echo.ErrNotFound
			}
		}
		return f.Serve(c)
	}
}
