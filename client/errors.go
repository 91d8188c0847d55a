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

// Error is what the server answers to what it does not do, over REST and over the socket: Code to branch
// on, Message for people, RetryAfter where that is known, Fields for the wrong fields of a request.
type Error = apierr.Error

// What a caller may want to tell apart besides the server's codes.
var (
	// ErrClosed answers sends that Run has left behind: whether they were done is not known.
	ErrClosed = errors.New("client: closed before the answer came")
	// ErrFull refuses a send while MaxPending wait.
	ErrFull = errors.New("client: too many sends are waiting")
	// ErrUnknown ends a send that cannot be repeated safely: it was sent so long ago that the server does
	// not know it as a repetition any more, and the channel's events since then were not seen.
	ErrUnknown = errors.New("client: whether it was sent is not known")
	// ErrOffline refuses what makes sense at once or not at all.
	ErrOffline = errors.New("client: not connected")
)

// CloseError is the server's end of a connection.
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

// Close codes that mean more than their range says.
const (
	closeExpired         = 4001
	closeFinal           = 4500 // and above
	closeUnauthenticated = 4501
	closeRevoked         = 4509
)

// DialError is an answer to the upgrade that is no WebSocket.
type DialError struct {
	URL    string
	Status int
	Detail string
	after  time.Duration
}

func (e *DialError) Error() string {
	return fmt.Sprintf("connect to %s: %d %s %s", e.URL, e.Status, http.StatusText(e.Status), e.Detail)
}

// verdict is what the end of a connection means.
type verdict struct {
	final bool
	token bool          // another token may help
	after time.Duration // how long the server wants us to wait; 0: it has not said
}

// judge decides what the end of a connection means. What is not known to be final is tried again.
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
	if e, ok := errors.AsType[*Error](err); ok { // of the token source
		return verdict{final: !retryable(e.Code), after: e.RetryAfter}
	}
	return verdict{}
}

// reconnectAfter reads the reason of a close.
func reconnectAfter(reason string) time.Duration {
	var r struct {
		MS int64 `json:"reconnect_after_ms"`
	}
	if json.Unmarshal([]byte(reason), &r) != nil {
		return 0
	}
	return min(max(0, time.Duration(r.MS)*time.Millisecond), time.Minute)
}

// retryable reports whether the same request may succeed later.
func retryable(code apierr.Code) bool {
	return code == apierr.RateLimited || code == apierr.Overloaded || code == apierr.Unavailable || code == apierr.Internal
}

// closed makes a *CloseError of gorilla's, and leaves other errors as they are.
func closed(err error) error {
	if e, ok := errors.AsType[*websocket.CloseError](err); ok && e.Code != websocket.CloseAbnormalClosure {
		return &CloseError{Code: e.Code, Reason: e.Text}
	}
	return err
}
