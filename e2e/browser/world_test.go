// Package browser_test uses the page in Chromium as people do: through visible controls and keys.
// Two users are two browser contexts, each with its own cookies. Every page is watched: an error in
// the console, a failed request or a request to another host fails the test.
package browser_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/pgtest"
	"parley.chat/internal/devkit/testkit/proctest"
	"parley.chat/internal/devkit/testkit/redistest"
	"parley.chat/shared-migrations/schematest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// world is all of Parley in one process, a proxy in front of it that can be cut, and a Chromium.
type world struct {
	t      *testing.T
	direct string // http://host:port of the server itself
	proxy  *proxy
	pool   *pgxpool.Pool
	redis  *redis.Client
	chrome context.Context
	filled int // the number of channels that fillChannels has made
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldWith(t, nil)
}

// newWorldWith starts a world with some settings of its own.
func newWorldWith(t *testing.T, settings map[string]string) *world {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root(t), "web-client", "dist", "index.html")); err != nil {
		t.Fatalf("the page is not built (make web build): %v", err)
	}
	// Without maxmemory, Redis would raise an alarm on /ops.
	db, store := schematest.Open(t), redistest.NewServer(t, redistest.Options{MaxMemory: 1 << 30})
	addr := fmt.Sprintf("127.0.0.1:%d", proctest.FreePort(t))
	env := map[string]string{
		"ADDR": addr, "DATA_DIR": t.TempDir(), "DATABASE_URL": db.URL, "REDIS_URL": store.URL(),
		"RATE_LIMIT": "off", "RATE_LIMIT_NETWORK": "off", "ADD_WITHOUT_INVITATION": "anyone", "LOGIN_ATTEMPTS": "10000/1m", "ARGON2_MEMORY_MIB": "8", "ARGON2_TIME": "1",
	}
	maps.Copy(env, settings)
	p := proctest.Start(t, "standalone", nil, env)
	p.WaitReady(t, "http://"+addr+"/readyz")
	w := &world{t: t, direct: "http://" + addr, proxy: newProxy(t, addr), pool: db.Pool(t), redis: store.Client(t)}
	w.chrome = w.startChromium()
	return w
}

// startChromium starts a browser with a new profile.
func (w *world) startChromium() context.Context {
	t, v := w.t, variantOf(w.t)
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium(t)), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("accept-lang", cmp.Or(v.language, "en-US")),
		// The first four simulate a mouse, which a headless browser does not have.
		chromedp.Flag("blink-settings", fmt.Sprintf("primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4,defaultFontSize=%d",
			cmp.Or(v.textSize, defaultTextSize))),
	)
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, end := chromedp.NewContext(alloc, chromedp.WithErrorf(t.Logf))
	t.Cleanup(func() {
		end()
		stop()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return ctx
}

// chromium returns the path of the browser.
func chromium(t *testing.T) string {
	t.Helper()
	candidates := []string{
		os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
		"/Applications/Chromium.app/Contents/MacOS/Chromium", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
	}
	for _, name := range candidates {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	t.Fatal("no Chromium found: apt-get install chromium, or set CHROMIUM to its path")
	return ""
}

// root returns the root of the workspace.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// account is a user who signed up over REST, as a precondition of a test.
type account struct{ ID, Name, Token string }

const password = "correct horse battery"

func (w *world) account(name string) account {
	w.t.Helper()
	var in struct {
		User        struct{ ID string }
		AccessToken string `json:"access_token"`
	}
	w.call("POST", "/v1/signup", "", map[string]any{"username": name, "email": name + "@example.test", "password": password, "session": "bearer"}, &in)
	return account{in.User.ID, name, in.AccessToken}
}

func (w *world) channel(by account, name, kind string) string {
	w.t.Helper()
	var in struct{ ID string }
	w.call("POST", "/v1/channels", by.Token, map[string]any{"name": name, "kind": kind}, &in)
	return in.ID
}

// join returns after the event that reports the join has been appended, so that messages that are
// sent one after the other have consecutive seqs.
func (w *world) join(who account, channel string) {
	w.t.Helper()
	w.call("POST", "/v1/channels/"+channel+"/join", who.Token, nil, nil)
	testkit.Until(w.t, testkit.Timeout, func() error {
		var waiting int
		if err := w.pool.QueryRow(context.Background(), "select count(*) from outbox where channel_id = $1::uuid", channel).Scan(&waiting); err != nil {
			return err
		}
		if waiting > 0 {
			return fmt.Errorf("%d changes to the channel are not appended yet", waiting)
		}
		return nil
	})
}

func (w *world) say(who account, channel, body string) {
	w.t.Helper()
	w.call("POST", "/v1/channels/"+channel+"/messages", who.Token, map[string]any{"body": body}, nil)
}

// call sends a request directly to the server, bypassing the proxy, and expects success.
func (w *world) call(method, path, token string, in, out any) {
	w.t.Helper()
	var body io.Reader = http.NoBody
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			w.t.Fatal(err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.direct+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{Timeout: testkit.Timeout, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		w.t.Fatalf("%s %s = %s %s, %v", method, path, resp.Status, raw, err)
	}
	if out != nil {
		if err := json.Unmarshal(raw, out); err != nil {
			w.t.Fatalf("%v in %s", err, raw)
		}
	}
}

// host returns the host and port of the page.
func (w *world) host() string { return strings.TrimPrefix(w.proxy.url(), "http://") }
