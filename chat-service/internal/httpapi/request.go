package httpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

// Limits of a page.
const (
	DefaultLimit = 50
	MaxLimit     = 200
)

// Decode reads the JSON object of a request into into, a pointer to a struct. Unknown fields are
// ignored. What is no JSON object is BadFrame (400), another content type UnsupportedMedia (415), and a
// field of another type InvalidRequest (422) with the field's name.
func Decode(c echo.Context, into any) error {
	body, err := readJSON(c)
	if err != nil {
		return err
	}
	if len(body) == 0 {
		return apierr.New(apierr.BadFrame, "the request needs a JSON object as its body")
	}
	return decode(body, into)
}

// DecodeOptional is Decode for a body that may be absent.
func DecodeOptional(c echo.Context, into any) error {
	if c.Request().ContentLength == 0 {
		return nil
	}
	body, err := readJSON(c)
	if err != nil || len(body) == 0 {
		return err
	}
	return decode(body, into)
}

func readJSON(c echo.Context) ([]byte, error) {
	r := c.Request()
	// A page of another origin can send JSON only after asking (CORS): this check is part of the
	// defence against forged logins.
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" {
		return nil, apierr.New(apierr.UnsupportedMedia, "the body must be application/json")
	}
	body, err := io.ReadAll(r.Body)
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, apierr.Wrap(err, apierr.TooLarge, "the body has more than %d bytes", tooLarge.Limit)
	}
	if err != nil {
		return nil, apierr.Wrap(err, apierr.BadFrame, "the body could not be read")
	}
	return bytes.TrimSpace(body), nil
}

func decode(body []byte, into any) error {
	if !utf8.Valid(body) {
		return apierr.New(apierr.BadFrame, "the body is not valid UTF-8")
	}
	if body[0] != '{' {
		return apierr.New(apierr.BadFrame, "the body is not a JSON object")
	}
	err := json.Unmarshal(body, into)
	if mistyped, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return apierr.Invalid(mistyped.Field, "must be %s, not %s", typeWord(mistyped), mistyped.Value)
	}
	if err != nil {
		return apierr.Wrap(err, apierr.BadFrame, "the body is not JSON: %v", err)
	}
	return nil
}

func typeWord(e *json.UnmarshalTypeError) string {
	switch e.Type.Kind().String() {
	case "string":
		return "a string"
	case "bool":
		return "true or false"
	case "int", "int64", "int32":
		return "a whole number"
	case "slice", "array":
		return "a list"
	}
	return "an object"
}

// Limit returns the parameter limit, 1 to MaxLimit.
func Limit(c echo.Context) (int, error) {
	n, err := Number(c, "limit")
	if err != nil {
		return 0, err
	}
	if n == nil {
		return DefaultLimit, nil
	}
	if *n < 1 || *n > MaxLimit {
		return 0, apierr.Invalid("limit", "must be 1 to %d", MaxLimit)
	}
	return int(*n), nil
}

// Number returns a parameter that is a whole number from 0, or nil when it is absent.
func Number(c echo.Context, name string) (*int64, error) {
	text := c.QueryParam(name)
	if text == "" {
		return nil, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return nil, apierr.Invalid(name, "must be a whole number from 0")
	}
	return &n, nil
}

// Text returns a parameter that is one line of at most limit characters.
func Text(c echo.Context, name string, limit int) (string, error) {
	text := c.QueryParam(name)
	if err := chat.CheckLine(text, limit); err != nil {
		return "", apierr.Invalid(name, "%v", err)
	}
	return text, nil
}

// Flag returns a parameter that is true or false.
func Flag(c echo.Context, name string) (bool, error) {
	switch c.QueryParam(name) {
	case "", "false", "0":
		return false, nil
	case "true", "1":
		return true, nil
	}
	return false, apierr.Invalid(name, "must be true or false")
}

// ChannelID returns the channel that the path names. What is no id names no channel.
func ChannelID(c echo.Context) (chat.ChannelID, error) {
	id, err := chat.ParseChannelID(c.Param("id"))
	if err != nil {
		return id, apierr.Wrap(err, apierr.NotFound, "no such channel")
	}
	return id, nil
}

// Page is a list, or the part of one.
type Page[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"` // null at the end
}

// Cursor returns v in a form that a client hands back untouched.
func Cursor(v any) *string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("httpapi: " + err.Error()) // cursors are structs of strings and numbers
	}
	s := base64.RawURLEncoding.EncodeToString(b)
	return &s
}

// DecodeCursor reads the parameter cursor into into, and reports whether there was one.
func DecodeCursor(c echo.Context, into any) (bool, error) {
	text := c.QueryParam("cursor")
	if text == "" {
		return false, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) > 1024 || !utf8.Valid(b) || json.Unmarshal(b, into) != nil {
		return false, apierr.Invalid("cursor", "is not one that we have given out")
	}
	return true, nil
}

// plainJSON writes JSON without HTML escapes, as the sockets do.
type plainJSON struct{}

// Serialize writes v.
func (plainJSON) Serialize(c echo.Context, v any, _ string) error {
	enc := json.NewEncoder(c.Response())
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// Deserialize is not used: Decode reads requests.
func (plainJSON) Deserialize(echo.Context, any) error {
	return errors.New("httpapi: requests are read by Decode")
}
