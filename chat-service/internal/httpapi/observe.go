package httpapi

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"parley.chat/shared-contracts/apierr"
)

const headerRequestID = "X-Request-Id"

// unmatched is the route label of requests that match no endpoint. Their paths are not used as
// labels, because a client can choose any number of paths.
const unmatched = "unmatched"

type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) metrics {
	with := promauto.With(reg)
	return metrics{
		requests: with.NewCounterVec(prometheus.CounterOpts{
			Name: "parley_chat_http_requests_total", Help: "HTTP requests answered.",
		}, []string{"method", "route", "code"}),
		duration: with.NewHistogramVec(prometheus.HistogramOpts{
			Name: "parley_chat_http_request_duration_seconds", Help: "Time from receiving the request's header to the end of the response.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route"}),
		inFlight: with.NewGauge(prometheus.GaugeOpts{
			Name: "parley_chat_http_requests_in_flight", Help: "HTTP requests in progress.",
		}),
	}
}

// observe assigns an id to the request, converts an error to a response, and logs and counts the
// outcome. It is the outermost middleware. The other middleware and the handlers only return
// errors.
func (a *API) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		a.metrics.inFlight.Inc()
		defer a.metrics.inFlight.Dec()
		id := uuid.NewString() // the client's own id is not used, because it may not be unique
		c.Response().Header().Set(headerRequestID, id)
		route := c.Path()
		if route == "" {
			route = unmatched
		}
		end := a.trace(c, route)
		err := next(c)
		if err != nil {
			c.Error(err)
		}
		took := time.Since(start)
		status := c.Response().Status
		end(status)
		a.metrics.requests.WithLabelValues(method(c.Request()), route, strconv.Itoa(status)).Inc()
		a.metrics.duration.WithLabelValues(route).Observe(took.Seconds())
		a.log(c, id, route, status, took, err)
		return nil
	}
}

// trace starts the span of a request within the caller's trace, if there is one. It returns a
// function that ends the span.
func (a *API) trace(c echo.Context, route string) (end func(status int)) {
	r := c.Request()
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := a.cfg.Tracer.Start(ctx, method(r)+" "+route, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("http.request.method", method(r)), attribute.String("http.route", route)))
	if !span.IsRecording() {
		return func(int) {}
	}
	c.SetRequest(r.WithContext(ctx))
	return func(status int) {
		span.SetAttributes(attribute.Int("http.response.status_code", status))
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// log writes one log line for the request. The line never contains a body, a query, a cookie or a
// token.
func (a *API) log(c echo.Context, id, route string, status int, took time.Duration, err error) {
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("request_id", id), slog.String("method", c.Request().Method), slog.String("route", route),
		slog.Int("status", status), slog.Float64("duration_ms", float64(took.Microseconds())/1000),
		slog.Int64("bytes", c.Response().Size), slog.String("address", a.Client(c).Addr.String()),
	}
	if given := c.Request().Header.Get(headerRequestID); plausibleID(given) {
		attrs = append(attrs, slog.String("client_request_id", given))
	}
	if user, ok := userOf(c); ok {
		attrs = append(attrs, slog.String("user_id", user.UserID.String()), slog.String("session_id", user.SessionID.String()))
	}
	if channel := c.Param("id"); channel != "" && len(channel) == len(uuid.Nil.String()) {
		attrs = append(attrs, slog.String("id", channel))
	}
	if span := trace.SpanContextFromContext(c.Request().Context()); span.IsSampled() {
		attrs = append(attrs, slog.String("trace_id", span.TraceID().String()))
	}
	switch {
	case err == nil:
	case status == http.StatusInternalServerError:
		level = slog.LevelError
		attrs = append(attrs, slog.Any("err", err))
	case status > http.StatusInternalServerError:
		level = slog.LevelWarn
		attrs = append(attrs, slog.Any("err", err))
	default:
		attrs = append(attrs, slog.String("code", string(apierr.CodeOf(problemOf(err)))))
	}
	a.cfg.Logger.LogAttrs(c.Request().Context(), level, "request", attrs...)
}

// method limits the label to known methods, because a client can send any word as the method.
func method(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return r.Method
	}
	return "other"
}

// plausibleID reports whether an id from the client or a proxy is safe to write to the log.
func plausibleID(given string) bool {
	if given == "" || len(given) > 64 {
		return false
	}
	for _, r := range given {
		if r != '-' && r != '_' && r != '.' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return false
		}
	}
	return true
}

func panicError(r any) error { return fmt.Errorf("panic: %v\n%s", r, debug.Stack()) }
