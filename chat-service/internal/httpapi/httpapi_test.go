package httpapi

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"parley.chat/internal/platform/browser"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is an API that logs to a buffer.
type rig struct {
	*API
	key  token.SigningKey
	logs bytes.Buffer
	reg  *prometheus.Registry
}

func newRig(t *testing.T, set func(*Config)) *rig {
	t.Helper()
	key, err := token.NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{key: key, reg: prometheus.NewRegistry()}
	cfg := Config{
		Verifier: token.NewVerifier(token.StaticKeys{key.ID: key.Public()}),
		Ended:    func(context.Context, chat.UserID, chat.SessionID) (bool, error) { return false, nil },
		Logger:   slog.New(slog.NewJSONHandler(&r.logs, nil)), Registry: r.reg,
	}
	if set != nil {
		set(&cfg)
	}
	if r.API, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return r
}

// private registers an endpoint that needs a login and has no schema.
func (r *rig) private(method, path string, h echo.HandlerFunc) {
	r.echo.Add(method, path, h, r.check(operation{private: true}))
}

func (r *rig) do(req *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		err   error
		code  apierr.Code
		level string
	}{
		{"API error", apierr.New(apierr.Conflict, "no"), apierr.Conflict, "INFO"},
		{"wrapped API error", fmt.Errorf("load: %w", apierr.New(apierr.NotFound, "no")), apierr.NotFound, "INFO"},
		{"other error", errors.New("secret detail"), apierr.Internal, "ERROR"},
		{"deadline", fmt.Errorf("load: %w", context.DeadlineExceeded), apierr.Unavailable, "WARN"},
		{"bad connection", driver.ErrBadConn, apierr.Unavailable, "WARN"},
		{"refused", &net.OpError{Op: "dial", Err: errors.New("refused")}, apierr.Unavailable, "WARN"},
		{"end of stream", fmt.Errorf("read: %w", io.EOF), apierr.Unavailable, "WARN"},
		{"shutting down", &pgconn.PgError{Code: "57P01"}, apierr.Unavailable, "WARN"},
		{"too many connections", &pgconn.PgError{Code: "53300"}, apierr.Unavailable, "WARN"},
		{"deadlock", &pgconn.PgError{Code: "40P01"}, apierr.Unavailable, "WARN"},
		{"undefined table", &pgconn.PgError{Code: "42P01"}, apierr.Internal, "ERROR"},
		{"invalid text", &pgconn.PgError{Code: "22021"}, apierr.Internal, "ERROR"},
		{"redis pool", redis.ErrPoolTimeout, apierr.Unavailable, "WARN"},
		{"redis nil", redis.Nil, apierr.Internal, "ERROR"},
		{"echo", echo.ErrNotFound, apierr.NotFound, "INFO"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			r.Public("GET", "/x", func(echo.Context) error { return tt.err })
			w := r.do(httptest.NewRequest("GET", "/x", http.NoBody))
			var p api.Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatal(err)
			}
			if p.Code != tt.code || p.Status != tt.code.HTTPStatus() || w.Code != p.Status {
				t.Errorf("status %d, problem %+v; want %s", w.Code, p, tt.code)
			}
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("the response reveals the internal error: %s", w.Body)
			}
			if logs := r.logs.String(); !strings.Contains(logs, `"level":"`+tt.level+`"`) || strings.Count(logs, "\n") != 1 {
				t.Errorf("log: %s, want one line of level %s", logs, tt.level)
			}
		})
	}
}

func TestPanicBecomesError500(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.Public("GET", "/x", func(echo.Context) error { panic("boom") })
	w := r.do(httptest.NewRequest("GET", "/x", http.NoBody))
	if w.Code != 500 || strings.Contains(w.Body.String(), "boom") {
		t.Errorf("status %d %s, want 500 without the panic's text", w.Code, w.Body)
	}
	if logs := r.logs.String(); !strings.Contains(logs, "panic: boom") || !strings.Contains(logs, "httpapi_test.go") {
		t.Errorf("log: %s", logs)
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Timeout = 10 * time.Millisecond })
	r.Public("GET", "/x", func(c echo.Context) error {
		<-c.Request().Context().Done()
		return c.Request().Context().Err()
	})
	if w := r.do(httptest.NewRequest("GET", "/x", http.NoBody)); w.Code != 503 {
		t.Errorf("status %d, want 503", w.Code)
	}
}

func TestClientDisconnects(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.Public("GET", "/x", func(c echo.Context) error { return c.Request().Context().Err() })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.do(httptest.NewRequestWithContext(ctx, "GET", "/x", http.NoBody))
	if logs := r.logs.String(); !strings.Contains(logs, `"status":499`) || !strings.Contains(logs, `"level":"INFO"`) {
		t.Errorf("log: %s, want status 499 at level INFO", logs)
	}
}

// TestLogContainsNoSecrets checks that a log line identifies the user and the request but contains
// no credentials, bodies or queries.
func TestLogContainsNoSecrets(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.private("POST", "/x/:id", func(c echo.Context) error {
		_, err := io.ReadAll(c.Request().Body)
		return errors.Join(err, errors.New("fault"))
	})
	user := token.Claims{UserID: chat.NewUserID(), SessionID: chat.NewSessionID(), Username: "ann"}
	raw, _, err := token.NewIssuer(r.key, 0).Issue(user)
	if err != nil {
		t.Fatal(err)
	}
	channel := chat.NewChannelID().String()
	req := httptest.NewRequest("POST", "/x/"+channel+"?q=query-text", strings.NewReader("body-text"))
	req.Header.Set("Authorization", "Bearer "+raw)
	req.Header.Set("X-Request-Id", "req-1")
	req.AddCookie(&http.Cookie{Name: "other", Value: "cookie-text"})
	w := r.do(req)
	id, err := uuid.Parse(w.Header().Get("X-Request-Id"))
	if err != nil {
		t.Errorf("request id = %q, want one that the server generated", w.Header().Get("X-Request-Id"))
	}
	logs := r.logs.String()
	for _, secret := range []string{raw, raw[:20], "body-text", "query-text", "cookie-text"} {
		if strings.Contains(logs, secret) {
			t.Errorf("the log contains %q: %s", secret, logs)
		}
	}
	for _, want := range []string{user.UserID.String(), user.SessionID.String(), channel, `"request_id":"` + id.String() + `"`, `"client_request_id":"req-1"`, `"route":"/x/:id"`} {
		if !strings.Contains(logs, want) {
			t.Errorf("the log does not contain %q: %s", want, logs)
		}
	}
}

func TestMetricLabelsAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.Public("GET", "/x/:id", func(c echo.Context) error { return c.NoContent(204) })
	for i := range 20 {
		r.do(httptest.NewRequest("GET", fmt.Sprint("/x/", i), http.NoBody))
		r.do(httptest.NewRequest("GET", fmt.Sprint("/nothing/", i), http.NoBody))
		r.do(httptest.NewRequest(fmt.Sprint("METHOD", i), "/x/1", http.NoBody))
	}
	if n := testutil.CollectAndCount(r.metrics.requests); n != 3 {
		t.Errorf("%d series, want 3", n)
	}
}

// TestRequestID checks that every request gets its own id, and that a client's id is logged only if
// it is harmless.
func TestRequestID(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.Public("GET", "/x", func(c echo.Context) error { return c.NoContent(204) })
	seen := map[string]bool{}
	for given, kept := range map[string]bool{"abc-1.2_X": true, "": false, strings.Repeat("x", 65): false, "a b": false, `a"b`: false, "é": false} {
		r.logs.Reset()
		req := httptest.NewRequest("GET", "/x", http.NoBody)
		req.Header.Set("X-Request-Id", given)
		id := r.do(req).Header().Get("X-Request-Id")
		if seen[id] || id == given || id == "" {
			t.Errorf("given %q: the id is %q", given, id)
		}
		seen[id] = true
		if logs := r.logs.String(); strings.Contains(logs, "client_request_id") != kept {
			t.Errorf("given %q: %s", given, logs)
		}
	}
}

func TestClient(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) {
		if err := c.Proxies.UnmarshalText([]byte("10.0.0.0/8, ::1")); err != nil {
			t.Fatal(err)
		}
	})
	for _, tt := range []struct{ name, remote, forwarded, want string }{
		{"direct", "192.0.2.1:99", "", "192.0.2.1"},
		{"forged by a client", "192.0.2.1:99", "198.51.100.1", "192.0.2.1"},
		{"by a proxy", "10.0.0.1:99", "198.51.100.1", "198.51.100.1"},
		{"by two proxies", "10.0.0.1:99", "198.51.100.1, 10.0.0.2", "198.51.100.1"},
		{"forged before a proxy", "10.0.0.1:99", "203.0.113.9, 198.51.100.1", "198.51.100.1"},
		{"no header from a proxy", "10.0.0.1:99", "", "10.0.0.1"},
		{"invalid address from a proxy", "10.0.0.1:99", "198.51.100.1, unknown", "10.0.0.1"},
		{"IPv6 proxy, with port", "[::1]:99", "[2001:db8::7]:1234", "2001:db8::7"},
		{"mapped IPv4", "[::ffff:10.0.0.1]:99", "198.51.100.1", "198.51.100.1"},
		{"unix socket", "@", "198.51.100.1", "invalid IP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := httptest.NewRequest("GET", "/", http.NoBody)
			req.RemoteAddr = tt.remote
			if tt.forwarded != "" {
				req.Header.Set("X-Forwarded-For", tt.forwarded)
			}
			got := r.Client(r.echo.NewContext(req, httptest.NewRecorder())).Addr
			if got.String() != tt.want {
				t.Errorf("address = %v, want %s", got, tt.want)
			}
		})
	}
	if a := addrOf("fe80::1%eth0"); a != netip.MustParseAddr("fe80::1") {
		t.Errorf("address = %v, want it without the zone", a)
	}
}

// TestAuthenticate_cookieFirst checks that the cookie takes precedence over the header, as at the
// gateway.
func TestAuthenticate_cookieFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	var got string
	r.private("GET", "/x", func(c echo.Context) error { got = UserOf(c.Request().Context()).Username; return c.NoContent(204) })
	issue := func(name string) string {
		raw, _, err := token.NewIssuer(r.key, 0).Issue(token.Claims{UserID: chat.NewUserID(), SessionID: chat.NewSessionID(), Username: name})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	req := httptest.NewRequest("GET", "/x", http.NoBody)
	req.Header.Set("Authorization", "bearer "+issue("header"))
	r.do(req)
	if got != "header" {
		t.Errorf("user = %q", got)
	}
	req.AddCookie(&http.Cookie{Name: "access_token", Value: issue("cookie")})
	r.do(req)
	if got != "cookie" {
		t.Errorf("user = %q, want the user of the cookie", got)
	}
}

// TestAuthenticate_twoCookies checks that two cookies of the same name are refused, because an
// attacker may have planted one.
func TestAuthenticate_twoCookies(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.private("GET", "/x", func(c echo.Context) error { return c.NoContent(204) })
	raw, _, err := token.NewIssuer(r.key, 0).Issue(token.Claims{UserID: chat.NewUserID(), SessionID: chat.NewSessionID(), Username: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest("GET", "/x", http.NoBody)
	req.Header.Set("Cookie", "access_token="+raw+"; access_token="+raw)
	if w := r.do(req); w.Code != http.StatusUnauthorized {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	req.Header.Set("Cookie", "access_token="+raw)
	if w := r.do(req); w.Code != 204 {
		t.Errorf("one cookie: %d %s", w.Code, w.Body)
	}
	req.Header.Set("X-Forwarded-Proto", "https")
	if w := r.do(req); w.Code != http.StatusUnauthorized {
		t.Errorf("over https, without __Host-: %d %s", w.Code, w.Body)
	}
}

// TestAuthenticate_notYet checks that a token from the future gets 503 rather than 401: a wrong
// clock must not make a user log in again.
func TestAuthenticate_notYet(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.private("GET", "/x", func(c echo.Context) error { return c.NoContent(204) })
	at := time.Now().Add(2 * time.Minute)
	ahead := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": token.Name, "aud": token.Name, "sub": chat.NewUserID(), "sid": chat.NewSessionID(), "preferred_username": "ann",
		"iat": at.Unix(), "nbf": at.Unix(), "exp": at.Add(time.Minute).Unix(),
	})
	ahead.Header["kid"] = r.key.ID
	raw, err := ahead.SignedString(r.key.Private)
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest("GET", "/x", http.NoBody)
	req.Header.Set("Authorization", "Bearer "+raw)
	if w := r.do(req); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v %s, want 503 with Retry-After", w.Code, w.Header(), w.Body)
	}
	if !strings.Contains(r.logs.String(), "NTP") {
		t.Errorf("log: %s", r.logs.String())
	}
}

// TestHosts checks that only our own hosts are served, except that the public keys are served under
// any host name. Over HTTPS, the response has Strict-Transport-Security.
func TestHosts(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Hosts = browser.Hosts{"chat.example"} })
	ok := func(c echo.Context) error { return c.NoContent(204) }
	r.Public("GET", "/", ok)
	r.Public("GET", KeySetPath, ok)
	for _, tt := range []struct {
		host, path string
		code       int
	}{
		{"chat.example:8080", "/", 204},
		{"evil.example", "/", 421},
		{"evil.example", "/nothing", 421},
		{"chat-service:8080", KeySetPath, 204},
	} {
		req := httptest.NewRequest("GET", tt.path, http.NoBody)
		req.Host = tt.host
		w := r.do(req)
		if w.Code != tt.code || w.Header().Get("Strict-Transport-Security") != "" {
			t.Errorf("%s at %s: %d %v, want %d", tt.path, tt.host, w.Code, w.Header(), tt.code)
		}
		req.Header.Set("X-Forwarded-Proto", "https")
		if w := r.do(req); w.Header().Get("Strict-Transport-Security") != "max-age=31536000" {
			t.Errorf("%s at %s over https: %v", tt.path, tt.host, w.Header())
		}
	}
}

// TestTrace checks that the span of a request is named by its route, not its path, and belongs to
// the caller's trace.
func TestTrace(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewSpanRecorder()
	r := newRig(t, func(c *Config) {
		c.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
	})
	r.Public("GET", "/x/:id", func(c echo.Context) error {
		if !trace.SpanFromContext(c.Request().Context()).IsRecording() {
			t.Error("the handler's context has no recording span")
		}
		return errors.New("fault")
	})
	req := httptest.NewRequest("GET", "/x/7", http.NoBody)
	req.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	r.do(req)
	ended := spans.Ended()
	if len(ended) != 1 || ended[0].Name() != "GET /x/:id" || ended[0].Status().Code != codes.Error ||
		ended[0].SpanContext().TraceID().String() != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("spans = %+v", ended)
	}
	if logs := r.logs.String(); !strings.Contains(logs, `"trace_id":"0af7651916cd43dd8448eb211c80319c"`) {
		t.Errorf("log: %s", logs)
	}
}
