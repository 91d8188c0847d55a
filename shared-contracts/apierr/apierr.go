// Package apierr defines every error that a client may see. A table maps each error code to its
// HTTP status and its WebSocket close code.
package apierr

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Code identifies an error. Codes are stable, because clients branch on them.
type Code string

// The error codes. The first group is used by both HTTP and WebSocket.
const (
	BadFrame        Code = "bad_frame"       // invalid JSON, an unknown type, a missing or mistyped field
	TooLarge        Code = "too_large"       // a body or request that exceeds its limit
	InvalidBody     Code = "invalid_body"    // a message body that violates the rules
	Unauthenticated Code = "unauthenticated" // no valid token
	Forbidden       Code = "forbidden"       // authenticated, but not allowed
	NotFound        Code = "not_found"       // does not exist, or is hidden from the caller
	NotSubscribed   Code = "not_subscribed"  // the connection has no subscription to the channel
	Conflict        Code = "conflict"        // conflicts with the current state
	RateLimited     Code = "rate_limited"    // too many requests, retry after RetryAfter
	Overloaded      Code = "overloaded"      // the backlog has reached its budget
	Unavailable     Code = "unavailable"     // a store is not responding; a retry is safe
	Internal        Code = "internal"        // a fault in the server

	// HTTP only.
	InvalidRequest     Code = "invalid_request"
	InvalidCredentials Code = "invalid_credentials"
	AccountSuspended   Code = "account_suspended" // the password is correct, but an administrator has suspended the account
	UsernameTaken      Code = "username_taken"
	EmailTaken         Code = "email_taken"
	NameTaken          Code = "name_taken"
	ForeignOrigin      Code = "foreign_origin"
	MethodNotAllowed   Code = "method_not_allowed"
	UnsupportedMedia   Code = "unsupported_media_type"
	Misdirected        Code = "misdirected" // the request is for another host

	// WebSocket close only.
	TokenExpired       Code = "token_expired"
	SlowConsumer       Code = "slow_consumer"
	GapNotHealed       Code = "gap_not_healed"
	TooManyConnections Code = "too_many_connections"
	SessionRevoked     Code = "session_revoked"
)

// Error is an error that a client may see. Message and Fields are safe to show to clients. Err is
// only logged.
type Error struct {
	Code       Code
	Message    string
	Fields     []FieldError  // which fields of a request are wrong
	RetryAfter time.Duration // zero if unknown
	Err        error
}

// New returns an Error with a message for the client. The message must be a complete sentence.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap is like New but also sets err as the cause, which is only logged.
func Wrap(err error, code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Err: err}
}

func (e *Error) Error() string {
	if e.Err != nil {
		return string(e.Code) + ": " + strings.TrimSuffix(e.Message, ".") + ": " + e.Err.Error()
	}
	return string(e.Code) + ": " + e.Message
}

func (e *Error) Unwrap() error { return e.Err }

// wire maps each code to its HTTP status and WebSocket close code. After a close code from 4000 to
// 4499, the client may reconnect and resume. Close codes from 4500 to 4999 are final. A close code
// of 0 means that the error does not close the connection.
var wire = map[Code]struct{ http, close int }{
	BadFrame:           {400, 1008},
	TooLarge:           {413, 1009},
	InvalidBody:        {422, 0},
	Unauthenticated:    {401, 4501},
	Forbidden:          {403, 4503},
	NotFound:           {404, 0},
	NotSubscribed:      {409, 0},
	Conflict:           {409, 0},
	RateLimited:        {429, 0},
	Overloaded:         {503, 0},
	Unavailable:        {503, 4000},
	Internal:           {500, 4000},
	InvalidRequest:     {422, 0},
	InvalidCredentials: {401, 0},
	AccountSuspended:   {403, 0},
	UsernameTaken:      {409, 0},
	EmailTaken:         {409, 0},
	NameTaken:          {409, 0},
	ForeignOrigin:      {403, 0},
	MethodNotAllowed:   {405, 0},
	UnsupportedMedia:   {415, 0},
	Misdirected:        {421, 0},
	TokenExpired:       {401, 4001},
	SlowConsumer:       {503, 4008},
	GapNotHealed:       {503, 4010},
	TooManyConnections: {429, 4029},
	SessionRevoked:     {401, 4509},
}

// Of returns err as an Error that may be shown to a client. If err is not an Error, the result is
// an Internal error. The text of an Internal error is not shown to clients; it is only logged
// (Err).
func Of(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok && e.Code != Internal {
		if _, known := wire[e.Code]; known {
			return e
		}
	}
	return &Error{Code: Internal, Message: "An internal error occurred.", Err: err}
}

// CodeOf returns the code of err, or Internal if err is not an Error.
func CodeOf(err error) Code { return Of(err).Code }

// HTTPStatus returns the HTTP status of a response with this error code.
func (c Code) HTTPStatus() int { return wire[c].http }

// CloseCode returns the WebSocket close code, or 0 if the error does not close the connection.
func (c Code) CloseCode() int { return wire[c].close }

// Codes returns every known code.
func Codes() []Code {
	codes := make([]Code, 0, len(wire))
	for c := range wire {
		codes = append(codes, c)
	}
	return codes
}
