// Package docsite serves the documentation at /docs: the REST API reference, which is rendered from
// the API document, and documents that are written in Markdown.
//
// All pages are rendered once, at startup. They are complete without scripts. A script adds search,
// highlights the current section in the table of contents, and copies examples to the clipboard.
// Pages load only their style sheet and their script, from this server, and the
// Content-Security-Policy allows no inline scripts or styles. A page therefore works without
// internet access, and its text cannot run as code.
//
// To add a document, embed it in the module docs and add it to the list articles.
package docsite

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	"parley.chat/chat-service/internal/reference"
	"parley.chat/chat-service/internal/static"
)

// Root is the path of the first page, the REST API reference. All other paths are below it.
const Root = "/docs"

// assets is the path of the folder for files whose names contain a content hash.
const assets = Root + "/assets/"

// policy is the Content-Security-Policy of the pages. connect-src allows the script to load the
// search index.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// articles lists the documents that are shown as pages, in the order of the table of contents.
var articles = []struct{ file, path, title string }{
	{"websocket.md", Root + "/websocket", "WebSocket protocol"},
}

// downloads lists the documents that are served unchanged, because pages link to them.
var downloads = []struct{ file, path, contentType string }{
	{"websocket.schema.json", Root + "/websocket.schema.json", "application/schema+json"},
}

//go:embed docs.css docs.js *.html
var sources embed.FS

// Site holds the pages and the files that they load. It is immutable and safe for concurrent use.
type Site struct {
	files map[string]*static.File // by path
}

// page is a page of the documentation.
type page struct {
	Path, Title string
	Sections    []section // the contents
	Body        html
	Entries     []entry // the page's part of the search index
}

// section is an entry in a page's table of contents.
type section struct {
	ID, Title string
	Method    string // of an operation
	Sections  []section
}

// New renders the site from the API document and the Markdown documents in files.
func New(doc *openapi3.T, files fs.FS) (*Site, error) {
	pages, err := render(doc, files)
	if err != nil {
		return nil, err
	}
	s := &Site{files: map[string]*static.File{}}
	f, err := s.addAssets(pages)
	if err != nil {
		return nil, err
	}
	for _, p := range pages {
		content, err := f.around(p)
		if err != nil {
			return nil, fmt.Errorf("page %s: %w", p.Path, err)
		}
		if err := s.add(p.Path, content, static.Options{ContentType: "text/html; charset=utf-8", CacheControl: static.Revalidate, Policy: policy}); err != nil {
			return nil, err
		}
	}
	for _, d := range downloads {
		content, err := fs.ReadFile(files, d.file)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", d.file, err)
		}
		if err := s.add(d.path, content, static.Options{ContentType: d.contentType, CacheControl: static.Revalidate}); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// render renders the content of each page, without the header and the table of contents that
// surround it.
func render(doc *openapi3.T, files fs.FS) ([]page, error) {
	ref, err := reference.New(doc)
	if err != nil {
		return nil, fmt.Errorf("read the API document: %w", err)
	}
	first, err := referencePage(ref)
	if err != nil {
		return nil, err
	}
	pages := []page{first}
	for _, a := range articles {
		source, err := fs.ReadFile(files, a.file)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", a.file, err)
		}
		p, err := articlePage(a.path, a.title, source)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.file, err)
		}
		pages = append(pages, p)
	}
	return pages, nil
}

// addAssets adds the files that all pages load. It returns a frame with their paths.
func (s *Site) addAssets(pages []page) (frame, error) {
	f := frame{Pages: pages}
	var index []entry
	for _, p := range pages {
		index = append(index, p.Entries...)
	}
	encoded, err := json.Marshal(index)
	if err != nil {
		return frame{}, fmt.Errorf("encode the search index: %w", err)
	}
	if f.Index, err = s.addAsset("search.json", "application/json", encoded); err != nil {
		return frame{}, err
	}
	style, err := sources.ReadFile("docs.css")
	if err != nil {
		return frame{}, fmt.Errorf("read the style sheet: %w", err)
	}
	if f.Style, err = s.addAsset("docs.css", "text/css; charset=utf-8", style); err != nil {
		return frame{}, err
	}
	script, err := sources.ReadFile("docs.js")
	if err != nil {
		return frame{}, fmt.Errorf("read the script: %w", err)
	}
	f.Script, err = s.addAsset("docs.js", "text/javascript; charset=utf-8", script)
	return f, err
}

// addAsset adds a file under a name that contains a hash of its content, and returns its path.
func (s *Site) addAsset(name, contentType string, content []byte) (string, error) {
	sum := sha256.Sum256(content)
	ext := path.Ext(name)
	at := assets + strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:6]) + ext
	return at, s.add(at, content, static.Options{ContentType: contentType, CacheControl: static.Immutable})
}

func (s *Site) add(at string, content []byte, o static.Options) error {
	variants, err := static.Compress(content)
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	s.files[at] = static.New(variants, o)
	return nil
}

// Register calls add to register a GET and a HEAD handler for each path.
func (s *Site) Register(add func(method, path string, h echo.HandlerFunc)) {
	both := func(path string, h echo.HandlerFunc) {
		add(http.MethodGet, path, h)
		add(http.MethodHead, path, h)
	}
	for at, f := range s.files {
		if !strings.HasPrefix(at, assets) {
			both(at, f.Serve)
		}
	}
	// These files share one route. A route is a metric label, and the names of these files change
	// with each release.
	both(assets+"*", func(c echo.Context) error {
		f := s.files[assets+c.Param("*")]
		if f == nil {
			return echo.ErrNotFound
		}
		return f.Serve(c)
	})
}
