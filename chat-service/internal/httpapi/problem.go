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

// statusGone is what proxies log for a client that went away before its answer.
const statusGone = 499

// writeError answers err. It is the one place where an error becomes a response.
func (a *API) writeError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	if errors.Is(c.Request().Context().Err(), context.Canceled) {
		c.Response().WriteHeader(statusGone) // nobody reads it
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
	_ = json.NewEncoder(c.Response()).Encode(p) // the client may have gone
}

func retryAfter(e *apierr.Error) time.Duration {
	if e.RetryAfter == 0 && e.Code.HTTPStatus() == http.StatusServiceUnavailable {
		return time.Second
	}
	return e.RetryAfter
}

// problemOf returns err as an error that a client may see.
func problemOf(err error) *apierr.Error {
	if e, ok := errors.AsType[*apierr.Error](err); ok {
		return apierr.Of(e)
	}
	if he, ok := errors.AsType[*echo.HTTPError](err); ok {
		switch he.Code {
		case http.StatusNotFound:
			return apierr.Wrap(err, apierr.NotFound, "there is nothing at this path")
		case http.StatusMethodNotAllowed:
			return apierr.Wrap(err, apierr.MethodNotAllowed, "this path does not take this method")
		}
	}
	if storeIsDown(err) {
		return apierr.Wrap(err, apierr.Unavailable, "a store does not answer, please try again")
	}
	return apierr.Of(err)
}

// storeIsDown reports whether err is the fault of PostgreSQL or Redis, or of the way there, and not of
// the request or of our code: the same request may succeed a moment later.
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
		case "40001", "40P01", "55P03", "25006": // serialization, deadlock, lock timeout, read-only (a standby)
			return true
		}
		switch e.Code[:2] {
		case "08", "53", "57", "58": // connection, resources, operator intervention, system
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
