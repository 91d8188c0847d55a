// Package httpapi is what every endpoint of chat-service has in common: the router, who is asking and
// from where, how a request is checked, how an error is answered, and what is logged and counted.
//
// Features implement the interface that is generated from the document (package api). What reaches
// them has been held against the document; their errors become problem details (RFC 9457) in one
// place. The package starts no goroutines.
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

	"parley.chat/internal/browser"
	"parley.chat/internal/config"
	"parley.chat/internal/outage"
	"parley.chat/internal/token"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

// Config configures an API. A zero optional field means its default.
type Config struct {
	Verifier *token.Verifier // required
	// Ended reports whether a session has ended before its token. It must not block for long.
	Ended func(ctx context.Context, user chat.UserID, session chat.SessionID) (bool, error) // required

	Limits Limits // nil: no limits

	Origins      browser.Origins // of pages besides our own that may call us
	Hosts        browser.Hosts   // under which we are reached; none: any
	Proxies      config.CIDRs    // whose word on the client's address and scheme counts
	CookieSecure *bool           // of answers over plain http; nil: by the request

	Timeout  time.Duration // default 10s for a request
	MaxBytes int64         // default 128 KiB of request body
	Logger   *slog.Logger  // default slog.Default()
	Tracer   trace.Tracer  // default: no traces
	Registry prometheus.Registerer
}

// API is the router.
type API struct {
	cfg     Config
	echo    *echo.Echo
	guard   *browser.Guard
	clock   *outage.Log // of tokens that are not valid yet
	metrics metrics
}

// New checks cfg and returns a router without endpoints.
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
	a.echo.Binder = checked{}
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

// ServeHTTP answers a request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.echo.ServeHTTP(w, r) }

// Public registers an endpoint for anybody that is not of JSON, and so none of Serve's. With GET comes HEAD.
func (a *API) Public(method, path string, h echo.HandlerFunc) {
	if method == http.MethodGet {
		a.echo.HEAD(path, h)
	}
	a.echo.Add(method, path, h)
}

// Routes lists what is registered, as "METHOD path".
func (a *API) Routes() []string {
	var routes []string
	for _, r := range a.echo.Routes() {
		routes = append(routes, r.Method+" "+r.Path)
	}
	return routes
}

// limit bounds what a request may take: bytes and time. A store that hangs costs the time, no more.
func (a *API) limit(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		whole := c.Request()
		defer c.SetRequest(whole) // what comes after wants to know whether the client has gone, not whether cancel ran
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
		// Pages of other origins get no reference to our windows, and cannot embed what we serve.
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()")
		if r := c.Request(); browser.OverHTTPS(r) && !browser.Loopback(r.Host) {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		return next(c)
	}
}

// KeySetPath is where the public keys of access tokens are. It is answered under every host: gateways ask for it under
// a name of the inner network.
const KeySetPath = "/.well-known/jwks.json"

// ownHost refuses requests for other hosts than ours.
func (a *API) ownHost(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if c.Path() != KeySetPath && !a.cfg.Hosts.Serves(c.Request().Host) {
			return apierr.New(apierr.Misdirected, "this host name is not one of ours (PUBLIC_HOSTS)")
		}
		return next(c)
	}
}

// recoverPanic turns a panic into an error, so that it is answered, logged and counted like one.
func (a *API) recoverPanic(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			switch r := recover(); r {
			case nil:
			case http.ErrAbortHandler:
				panic(r) // the server's own way to drop a connection
			default:
				err = apierr.Wrap(panicked(r), apierr.Internal, "something went wrong on our side")
			}
		}()
		return next(c)
	}
}
