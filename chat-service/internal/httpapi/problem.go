package httpapi

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/labstack/echo/v4"
	"github.com/redis/go-redis/v9"

	"parley.chat/shared-contracts/apierr"
)

// statusGone is the status that proxies log for a client that disconnected before it received a
// response.
const statusGone = 499

// writeError responds with err. This is the only place where an error becomes a response.
func (a *API) writeError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	if errors.Is(c.Request().Context().Err(), context.Canceled) {
		c.Response().WriteHeader(statusGone) // the client has disconnected, so this only sets the status for the log
		return
	}
	if errors.Is(err, echo.ErrNotFound) && a.serveUnknown != nil && a.serveUnknown(c) {
		return
	}
	e := problemOf(err)
	status := e.Code.HTTPStatus()
	h := c.Response().Header()
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="parley"`)
	}
	if wait := retryAfter(e); wait > 0 {
		h.Set("Retry-After", strconv.Itoa(seconds(wait)))
	}
	h.Set("Content-Type", apierr.ContentType)
	c.Response().WriteHeader(status)
	p := e.Problem()
	p.RequestID = h.Get(headerRequestID)
	_ = json.NewEncoder(c.Response()).Encode(p) // fails if the client has disconnected
}

func retryAfter(e *apierr.Error) time.Duration {
	if e.RetryAfter == 0 && e.Code.HTTPStatus() == http.StatusServiceUnavailable {
		return time.Second
	}
	return e.RetryAfter
}

// problemOf converts err to an error that is safe to show to a client.
func problemOf(err error) *apierr.Error {
	if e, ok := errors.AsType[*apierr.Error](err); ok {
		return apierr.Of(e)
	}
	if he, ok := errors.AsType[*echo.HTTPError](err); ok {
		switch he.Code {
		case http.StatusNotFound:
			return apierr.Wrap(err, apierr.NotFound, "This path does not exist.")
		case http.StatusMethodNotAllowed:
			return apierr.Wrap(err, apierr.MethodNotAllowed, "This path does not support this method.")
		}
	}
	if storeIsDown(err) {
		return apierr.Wrap(err, apierr.Unavailable, "The database or Redis is not available. Please try again.")
	}
	return apierr.Of(err)
}

// storeIsDown reports whether err was caused by PostgreSQL, by Redis or by the network, rather than
// by the request or by a bug. A retry of the request may then succeed.
func storeIsDown(err error) bool {
	for _, known := range []error{
		context.DeadlineExceeded, sql.ErrConnDone, driver.ErrBadConn, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
		redis.ErrClosed, redis.ErrPoolTimeout, redis.ErrPoolExhausted,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code {
		case "40001", "40P01", "55P03", "25006": // serialization failure, deadlock, lock timeout, read-only (a standby)
			return true
		}
		switch e.Code[:2] {
		case "08", "53", "57", "58": // connection, insufficient resources, operator intervention, system error
			return true
		}
	}
	if e, ok := errors.AsType[redis.Error](err); ok {
		word, _, _ := strings.Cut(e.Error(), " ")
		switch word {
		case "LOADING", "CLUSTERDOWN", "MASTERDOWN", "READONLY", "TRYAGAIN", "OOM", "MISCONF", "NOREPLICAS", "BUSY":
			return true
		}
	}
	return false
}
