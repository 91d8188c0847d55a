// Package httpapi contains the common parts of all endpoints of chat-service: routing,
// authentication, the client's address, validation, error responses, logging and metrics.
//
// Features implement the interface that is generated from the API document (see package api).
// Requests are validated against the document before they reach a feature. Errors are converted to
// problem details (RFC 9457) in one place. The package starts no goroutines.
package httpapi

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"parley.chat/internal/platform/browser"
	"parley.chat/internal/platform/config"
	"parley.chat/internal/platform/outage"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

// Config configures an API. If an optional field is zero, its default is used.
type Config struct {
	Verifier *token.Verifier // required
	// Ended reports whether a session has ended before its tokens expired. It must not block for
	// long.
	Ended func(ctx context.Context, user chat.UserID, session chat.SessionID) (bool, error) // required

	Limits Limits // nil: no limits

	Origins      browser.Origins // additional origins whose pages may use the API
	Hosts        browser.Hosts   // host names that are served; empty: any
	Proxies      config.CIDRs    // proxies whose headers about the client's address and scheme are trusted
	CookieSecure *bool           // whether cookies set over plain HTTP are Secure; default: yes, except on loopback addresses

	Timeout  time.Duration // time limit for a request; default 10s
	MaxBytes int64         // maximum size of a request body; default 128 KiB
	Logger   *slog.Logger  // default slog.Default()
	Tracer   trace.Tracer  // default: no tracing
	Registry prometheus.Registerer
}

// API is the router.
type API struct {
	cfg     Config
	echo    *echo.Echo
	guard   *browser.Guard
	clock   *outage.Log // logs tokens that are not valid yet, which indicate that a clock is wrong
	metrics metrics
	// serveUnknown responds to requests for unknown paths; if it is nil, the response is always a
	// problem document.
	serveUnknown func(echo.Context) bool
}

// New validates cfg and returns an API without endpoints.
func New(cfg Config) (*API, error) {
	if cfg.Verifier == nil || cfg.Ended == nil {
		return nil, errors.New("httpapi: Verifier and Ended are required")
	}
	cfg.Timeout, cfg.MaxBytes = cmp.Or(cfg.Timeout, 10*time.Second), cmp.Or(cfg.MaxBytes, 128<<10)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	if cfg.Tracer == nil {
		cfg.Tracer = noop.NewTracerProvider().Tracer("")
	}
	guard, err := browser.NewGuard(cfg.Origins)
	if err != nil {
		return nil, err
	}
	a := &API{cfg: cfg, echo: echo.New(), guard: guard, clock: outage.New(cfg.Logger, token.ClockBehind, token.ClockRight)}
	a.metrics = newMetrics(cfg.Registry)
	a.echo.HTTPErrorHandler = a.writeError
	a.echo.Binder = bodyBinder{}
	a.echo.Use(a.observe, a.recoverPanic, secureHeaders, a.ownHost)
	if len(cfg.Origins) > 0 {
		a.echo.Use(middleware.CORSWithConfig(middleware.CORSConfig{
			AllowOrigins: cfg.Origins, AllowCredentials: true, MaxAge: 600,
			AllowMethods:  []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
			AllowHeaders:  []string{"Content-Type", "Authorization", "Idempotency-Key", headerRequestID},
			ExposeHeaders: []string{headerRequestID, "Retry-After", "Location", headerLimit, headerLimitPolicy},
		}))
	}
	a.echo.Use(a.limit)
	return a, nil
}

// ServeHTTP handles a request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.echo.ServeHTTP(w, r) }

// Public registers an endpoint that needs no login and is not part of the generated interface,
// because its response is not JSON. Registering GET also registers HEAD.
func (a *API) Public(method, path string, h echo.HandlerFunc) {
	if method == http.MethodGet {
		a.echo.HEAD(path, h)
	}
	a.echo.Add(method, path, h)
}

// Unknown sets the handler for paths that do not exist. The handler reports whether it has
// responded. If it has not, the response is a problem document.
func (a *API) Unknown(serve func(echo.Context) bool) { a.serveUnknown = serve }

// Routes returns the registered routes, as "METHOD path".
func (a *API) Routes() []string {
	var routes []string
	for _, r := range a.echo.Routes() {
		routes = append(routes, r.Method+" "+r.Path)
	}
	return routes
}

// limit limits the body size and the duration of a request. A store that hangs therefore delays a
// response by at most the timeout.
func (a *API) limit(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		whole := c.Request()
		// Restore the original request. The outer middleware needs its context, which ends only if
		// the client disconnects; the context created here also ends when cancel is called.
		defer c.SetRequest(whole)
		ctx, cancel := context.WithTimeout(whole.Context(), a.cfg.Timeout)
		defer cancel()
		r := whole.WithContext(ctx)
		r.Body = http.MaxBytesReader(c.Response(), r.Body, a.cfg.MaxBytes)
		c.SetRequest(r)
		return next(c)
	}
}

func secureHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-store")
		// These two headers prevent pages from other origins from getting a reference to our
		// windows and from embedding our resources.
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()")
		if r := c.Request(); browser.OverHTTPS(r) && !browser.Loopback(r.Host) {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		return next(c)
	}
}

// KeySetPath is the path of the public keys for access tokens. It is served under every host name,
// because gateways use a host name from the internal network.
const KeySetPath = "/.well-known/jwks.json"

// ownHost refuses requests for host names that are not served here.
func (a *API) ownHost(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if c.Path() != KeySetPath && !a.cfg.Hosts.Serves(c.Request().Host) {
			return apierr.New(apierr.Misdirected, "This host name is not served here (see PUBLIC_HOSTS).")
		}
		return next(c)
	}
}

// recoverPanic converts a panic to an error, so that it is reported to the client, logged and
// counted like any other error.
func (a *API) recoverPanic(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			switch r := recover(); r {
			case nil:
			case http.ErrAbortHandler:
				panic(r) // net/http handles this panic by closing the connection
			default:
				err = apierr.Wrap(panicError(r), apierr.Internal, "An internal error occurred.")
			}
		}()
		return next(c)
	}
}
