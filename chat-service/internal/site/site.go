// Package site serves the web client: the pages that Vite built, each at the paths that are its own, and
// the files that they load.
//
// Everything is read and hashed once, at the start. A file goes out as it was compressed when it was
// built, in the best encoding that the browser takes; what was built uncompressed goes out as it is. A
// page is asked for anew each time and mostly answered with 304; what has its hash in its name is kept for
// ever. No path of a page can hide one of the API: each is named here, and whatever else nobody serves is
// a problem document. Without a build there is one page, which says how to make the others.
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

// pages are the documents and the paths at which a browser may ask for them. The client's router knows
// the same paths.
var pages = map[string][]string{
	"index.html": {"/", "/c/:id"},
	"ops.html":   {"/ops"},
}

// hashed is the folder of files that have a hash of their content in their names.
const hashed = "assets/"

// policy lets a page run what came with it and talk to where it came from. Nothing comes from elsewhere, and nobody
// frames it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

//go:embed unbuilt.html
var unbuilt []byte

// Site is what is served. It does not change, and is safe for concurrent use.
type Site struct {
	files map[string]*file // by their path in the build
}

// New reads the build in files, which may be none at all.
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

// Register registers all paths with add, for GET and HEAD.
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
	// One route for all of these: their names change with each release, and routes are labels of metrics.
	both("/"+hashed+"*", func(c echo.Context) error {
		f := s.files[hashed+c.Param("*")]
		if f == nil {
			return echo.ErrNotFound
		}
		return f.serve(c)
	})
}

// encodings are the ways in which files may have been compressed, the best first.
var encodings = []struct{ name, suffix string }{{"br", ".br"}, {"gzip", ".gz"}}

func isVariant(name string) bool {
	for _, e := range encodings {
		if strings.HasSuffix(name, e.suffix) {
			return true
		}
	}
	return false
}

// file is one file in the encodings that there are.
type file struct {
	contentType, cacheControl string
	isPage                    bool
	variants                  map[string]variant // by Content-Encoding; "" is the file as it is
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

// types are those that the tables of an operating system may lack, or have otherwise.
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

// servePage serves a page at a path that is one. The last parameter of a route takes slashes too.
func (f *file) servePage(c echo.Context) error {
	for _, value := range c.ParamValues() {
		if strings.Contains(value, "/") {
			return echo.ErrNotFound
		}
	}
	return f.serve(c)
}

// serve answers with the file in the best encoding that the request takes.
func (f *file) serve(c echo.Context) error {
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
	if matches(r.Header.Get("If-None-Match"), v.etag) {
		h.Del("Content-Type")
		return c.NoContent(http.StatusNotModified)
	}
	if encoding != "" {
		h.Set("Content-Encoding", encoding)
	}
	h.Set("Content-Length", strconv.Itoa(len(v.content)))
	c.Response().WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	_, _ = c.Response().Write(v.content) // the client may have gone
	return nil
}
