package browser_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// TestNewBuild checks that a tab keeps the files of its build after the server has got a new one,
// that the new service worker takes over when no tab is left that uses the old one, and that an
// operator can remove it.
func TestNewBuild(t *testing.T) {
	w := newWorld(t)
	server := w.rebuild()
	ann := w.account("ann")
	tea := w.channel(ann, "tea", "public")
	p := w.person("ann")
	p.logIn("/c/" + tea)
	p.workerReady()
	if n := value[int](p, cacheCount); n != 1 {
		t.Errorf("%d caches, want 1", n)
	}
	value[any](p, `(window.sameDocument = true, null)`)

	// The old files are gone from the server, but not for the tab that uses them.
	server.build.Store(newBuild)
	two := p.another()
	two.openBuild("/c/"+tea, true)
	two.connected()
	two.eventually(`navigator.serviceWorker.getRegistration().then(r => r.waiting !== null)`)
	if n := value[int](two, cacheCount); n != 2 {
		t.Errorf("%d caches, want those of the old and of the new build", n)
	}
	for _, each := range []*person{p, two} {
		each.openSettings("profile")
		each.await(find("display-name"))
	}
	if !value[bool](p, `window.sameDocument === true`) {
		t.Error("a tab was reloaded when a new build was installed")
	}

	// Without tabs of the old build, only the new one is left.
	p.blank()
	two.blank()
	two.openBuild("/c/"+tea, true)
	two.connected()
	two.eventually(`caches.keys().then(names => names.length === 1 && names[0] === "parley-new")`)
	two.expectFailures(true)
	w.proxy.sever()
	two.openBuild("/c/"+tea, true)
	two.saysOffline()
	w.proxy.mend()
	two.until(`(document.querySelector('[data-testid="retry-now"]')?.click(), true)`)
	two.connected()
	two.expectFailures(false)

	server.build.Store(noWorker)
	two.openBuild("/c/"+tea, true)
	two.connected()
	two.eventually(`Promise.all([navigator.serviceWorker.getRegistrations(), caches.keys()]).then(([workers, names]) => workers.length === 0 && names.length === 0)`)
}

const cacheCount = `caches.keys().then(names => names.length)`

// openBuild opens a path until the page is that of the wanted build. A navigation that takes too
// long shows the cached page instead of the server's.
func (p *person) openBuild(path string, isNew bool) {
	p.t.Helper()
	for range 10 {
		p.open(path)
		if value[bool](p, `document.querySelector('script[type="module"]').src.endsWith(".new.js")`) == isNew {
			return
		}
	}
	p.t.Fatalf("%s shows another build", path)
}

// blank closes the page in the tab.
func (p *person) blank() {
	p.t.Helper()
	value[any](p, `(location.replace("about:blank"), null)`)
	p.until(`location.href === "about:blank"`)
}

// The builds that a rebuilt serves.
const (
	oldBuild = iota
	newBuild
	noWorker // the new build, with the worker from docs/operations.md that removes itself
)

// rebuilt is a reverse proxy that serves the page either as it is or as another build, in which
// every file has another name.
type rebuilt struct {
	build   atomic.Int32
	names   *strings.Replacer // replaces the names of files by those in the new build
	removal []byte
}

// rebuild puts a rebuilt in front of the server.
func (w *world) rebuild() *rebuilt {
	t := w.t
	t.Helper()
	dist := filepath.Join(root(t), "web-client", "dist")
	worker := readFile(t, filepath.Join(dist, "sw.js"))
	var pairs []string
	for _, name := range regexp.MustCompile(`/assets/([^"]+)\.(\w+)"`).FindAllSubmatch(worker, -1) {
		pairs = append(pairs, string(name[1])+"."+string(name[2]), string(name[1])+".new."+string(name[2]))
	}
	names := strings.NewReplacer(pairs...)
	html := sha256.Sum256([]byte(names.Replace(string(readFile(t, filepath.Join(dist, "index.html"))))))
	part := func(pattern string) string { return string(regexp.MustCompile(pattern).FindSubmatch(worker)[1]) }
	pairs = append(pairs, part(`"integrity":"([^"]+)"`), "sha256-"+base64.StdEncoding.EncodeToString(html[:]), `"`+part(`"name":"([^"]+)"`)+`"`, `"new"`)
	removal := regexp.MustCompile("(?s)```js\n(.*?)```").FindSubmatch(readFile(t, filepath.Join(root(t), "docs", "operations.md")))
	if removal == nil {
		t.Fatal("docs/operations.md contains no worker that removes itself")
	}
	r := &rebuilt{names: strings.NewReplacer(pairs...), removal: removal[1]}
	target, err := url.Parse(w.direct)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			p.Out.Host = p.In.Host
			p.Out.Header.Del("Accept-Encoding")
			p.Out.Header.Del("If-None-Match")
			if strings.HasPrefix(p.In.URL.Path, "/assets/") {
				p.Out.URL.Path = r.originalPath(p.In.URL.Path)
			}
		},
		ModifyResponse: r.modify,
		ErrorLog:       log.New(io.Discard, "", 0),
	})
	t.Cleanup(server.Close)
	w.proxy = newProxy(t, server.Listener.Addr().String())
	return r
}

// originalPath returns the path of a file that the current build has, and one that does not exist
// for a file of the other build.
func (r *rebuilt) originalPath(path string) string {
	original := strings.Replace(path, ".new.", ".", 1)
	if isNew := original != path; isNew != (r.build.Load() != oldBuild) {
		return "/assets/gone"
	}
	return original
}

func (r *rebuilt) modify(resp *http.Response) error {
	kind := resp.Header.Get("Content-Type")
	build := r.build.Load()
	if build == oldBuild || !strings.HasPrefix(kind, "text/html") && !strings.HasPrefix(kind, "text/javascript") && !strings.HasPrefix(kind, "text/css") {
		return nil
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	body = []byte(r.names.Replace(string(body)))
	if build == noWorker && resp.Request.URL.Path == "/sw.js" {
		body = r.removal
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	resp.Header.Del("ETag")
	return nil
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
