// Package static serves files whose content does not change while the program runs.
//
// New hashes the file's content once and derives an ETag for each encoding, so a browser that has
// the file gets a 304 response. Any other response contains the file in the best encoding that the
// client accepts.
package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
)

// Values of Cache-Control.
const (
	Revalidate = "no-cache"                            // a browser asks before it uses its copy
	Immutable  = "public, max-age=31536000, immutable" // for files with a content hash in their names
)

// Options describes how a file is served.
type Options struct {
	ContentType  string
	CacheControl string // Revalidate or Immutable
	Policy       string // the Content-Security-Policy; if empty, the response keeps the API's policy
}

// File is a file with all its encoded variants. It is immutable and safe for concurrent use.
type File struct {
	options  Options
	variants map[string]variant // by Content-Encoding; "" is the uncompressed file
}

type variant struct {
	content []byte
	etag    string
}

// encodings lists the supported compressions, best first.
var encodings = []string{"br", "gzip"}

// New returns a file. variants maps each Content-Encoding ("br", "gzip") to the encoded content.
// The uncompressed content, under the key "", is required.
func New(variants map[string][]byte, o Options) *File {
	f := &File{options: o, variants: map[string]variant{}}
	sum := sha256.Sum256(variants[""])
	for encoding, content := range variants {
		f.variants[encoding] = variant{content, `"` + hex.EncodeToString(sum[:12]) + strings.TrimSuffix("-"+encoding, "-") + `"`}
	}
	return f
}

// Compress returns the uncompressed variant of content and, if it is shorter, the gzip variant.
func Compress(content []byte) (map[string][]byte, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(content); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	variants := map[string][]byte{"": content}
	if out.Len() < len(content) {
		variants["gzip"] = out.Bytes()
	}
	return variants, nil
}

// Serve sends the file in the best encoding that the request accepts.
func (f *File) Serve(c echo.Context) error { return f.ServeWith(c, http.StatusOK) }

// ServeWith is like Serve but responds with the given status.
func (f *File) ServeWith(c echo.Context, status int) error {
	r, h := c.Request(), c.Response().Header()
	encoding := ""
	for _, e := range encodings {
		if _, there := f.variants[e]; there && accepts(r.Header.Get("Accept-Encoding"), e) {
			encoding = e
			break
		}
	}
	v := f.variants[encoding]
	h.Set("Content-Type", f.options.ContentType)
	h.Set("Cache-Control", f.options.CacheControl)
	h.Set("ETag", v.etag)
	if len(f.variants) > 1 {
		h.Add("Vary", "Accept-Encoding")
	}
	if f.options.Policy != "" {
		h.Set("Content-Security-Policy", f.options.Policy)
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
