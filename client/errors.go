package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"parley.chat/shared-contracts/apierr"
)

// Error reports that the server refused a request, over REST or the WebSocket. Programs should
// check Code; Message is for people. RetryAfter is 0 if unknown. Fields lists the invalid fields of
// the request.
type Error = apierr.Error

// Errors that the client itself returns, in addition to the server's error codes.
var (
	// ErrClosed is the result of sends that were still pending when Run returned. They may or may
	// not have succeeded.
	ErrClosed = errors.New("client: closed before the server answered")
	// ErrFull is returned for a send while MaxPending sends are already waiting.
	ErrFull = errors.New("client: too many sends are waiting")
	// ErrUnknown is the result of a send that cannot be repeated safely. The first attempt was so
	// long ago that the server no longer recognizes a retry, and the client has not seen all of the
	// channel's events since then.
	ErrUnknown = errors.New("client: it is unknown whether the send succeeded")
	// ErrOffline is returned by operations that need a connection immediately.
	ErrOffline = errors.New("client: not connected")
)

// CloseError reports that the server has closed the connection.
type CloseError struct {
	Code   int
	Reason string
}

func (e *CloseError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("the server has closed the connection with %d", e.Code)
	}
	return fmt.Sprintf("the server has closed the connection with %d %s", e.Code, e.Reason)
}

// Close codes that the client handles individually, and the first code of the final range.
const (
	closeExpired         = 4001
	closeFinal           = 4500 // and above
	closeUnauthenticated = 4501
	closeRevoked         = 4509
)

// DialError reports that the server answered the upgrade request with an ordinary HTTP response.
type DialError struct {
	URL    string
	Status int
	Detail string
	after  time.Duration
}

func (e *DialError) Error() string {
	return fmt.Sprintf("connect to %s: %d %s %s", e.URL, e.Status, http.StatusText(e.Status), e.Detail)
}

// verdict describes how the client must react to the end of a connection.
type verdict struct {
	final bool
	token bool          // another token may help
	after time.Duration // wait requested by the server; 0 if it did not request one
}

// judge returns the verdict for the error that ended a connection. Errors that are not known to be
// final are retried.
func judge(err error) verdict {
	if e, ok := errors.AsType[*CloseError](err); ok {
		v := verdict{after: reconnectAfter(e.Reason)}
		switch {
		case e.Code == closeExpired:
			v.token = true
		case e.Code == closeUnauthenticated:
			v.token, v.final = true, true
		case e.Code >= closeFinal && e.Code < 5000, e.Code == websocket.CloseInvalidFramePayloadData,
			e.Code == websocket.ClosePolicyViolation, e.Code == websocket.CloseMessageTooBig:
			v.final = true
		}
		return v
	}
	if e, ok := errors.AsType[*DialError](err); ok {
		v := verdict{after: e.after}
		switch {
		case e.Status == http.StatusUnauthorized:
			v.token, v.final = true, true
		case e.Status == http.StatusRequestTimeout, e.Status == http.StatusTooManyRequests:
		case e.Status >= 400 && e.Status < 500:
			v.final = true
		}
		return v
	}
	if e, ok := errors.AsType[*Error](err); ok { // from the token source
		return verdict{final: !retryable(e.Code), after: e.RetryAfter}
	}
	return verdict{}
}

// reconnectAfter returns the wait requested in the reason of a close frame, or 0 if there is none.
func reconnectAfter(reason string) time.Duration {
	var r struct {
		MS int64 `json:"reconnect_after_ms"`
	}
	if json.Unmarshal([]byte(reason), &r) != nil {
		return 0
	}
	return min(max(0, time.Duration(r.MS)*time.Millisecond), time.Minute)
}

// retryable reports whether a request that failed with code may succeed if it is repeated later.
func retryable(code apierr.Code) bool {
	return code == apierr.RateLimited || code == apierr.Overloaded || code == apierr.Unavailable || code == apierr.Internal
}

// closed converts gorilla's close error to a *CloseError, and returns other errors unchanged.
func closed(err error) error {
	if e, ok := errors.AsType[*websocket.CloseError](err); ok && e.Code != websocket.CloseAbnormalClosure {
		return &CloseError{Code: e.Code, Reason: e.Text}
	}
	return err
}
