package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
	"github.com/oapi-codegen/runtime"

	"parley.chat/internal/eventlog/ratelimit"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/text"

	"parley.chat/chat-service/internal/api"
)

// operation holds the data from the API document that is needed to validate requests to one
// endpoint.
type operation struct {
	private bool // whether a valid access token is required
	params  []*openapi3.Parameter
	body    *openapi3.Schema // nil if the endpoint has no request body
	needs   bool             // whether the body is required
	limit   ratelimit.Kind   // the rate limit; "" for an operation that does not write
}

// Serve registers the endpoints of doc, the document that api.Load returns. A request that violates
// the document never reaches h.
func (a *API) Serve(doc *openapi3.T, h api.StrictServerInterface) {
	checks := map[string][]echo.MiddlewareFunc{}
	for _, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			o := newOperation(doc, item, op)
			if writes := method != http.MethodGet; writes != o.limit.Known() {
				panic(fmt.Sprintf("httpapi: %s: x-rate-limit must be a known kind for every write and absent for every read, got %q", op.OperationID, o.limit))
			}
			checks[op.OperationID] = []echo.MiddlewareFunc{a.check(o)}
		}
	}
	api.RegisterHandlersWithOptions(withHead{a.echo}, api.NewStrictHandler(h, nil), api.RegisterHandlersOptions{OperationMiddlewares: checks})
}

// withHead registers the handler of every GET for HEAD as well (RFC 9110, section 9.3.2). net/http
// discards the response body.
type withHead struct{ *echo.Echo }

// GET registers h for GET and HEAD.
func (w withHead) GET(path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) *echo.Route {
	w.HEAD(path, h, m...)
	return w.Echo.GET(path, h, m...)
}

func newOperation(doc *openapi3.T, item *openapi3.PathItem, op *openapi3.Operation) operation {
	security := doc.Security
	if op.Security != nil {
		security = *op.Security
	}
	o := operation{private: len(security) > 0}
	for _, way := range security {
		if len(way) == 0 {
			o.private = false
		}
	}
	for _, list := range []openapi3.Parameters{item.Parameters, op.Parameters} {
		for _, p := range list {
			o.params = append(o.params, p.Value)
		}
	}
	limit, _ := op.Extensions["x-rate-limit"].(string)
	o.limit = ratelimit.Kind(limit)
	if op.RequestBody != nil {
		body := op.RequestBody.Value
		o.body, o.needs = body.Content.Get(mediaJSON).Schema.Value, body.Required
	}
	return o
}

// check returns the middleware that validates requests to o. It checks first the login, then the
// path and then the rest of the request. Finally, it counts the request against the rate limits. A
// request that fails an earlier check is therefore not counted.
func (a *API) check(o operation) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := a.admit(c, o.private); err != nil {
				return err
			}
			var wrong fields
			for _, p := range o.params {
				if err := checkParameter(c, p, &wrong); err != nil {
					return err
				}
			}
			if o.body != nil {
				value, err := readBody(c, o.needs, &wrong)
				if err != nil {
					return err
				}
				if value != nil {
					wrong.visit("", o.body, value)
					c.Set(bodyKey, value)
				}
			}
			if err := wrong.err(); err != nil {
				return err
			}
			if err := a.count(c, o.limit); err != nil {
				return err
			}
			r := c.Request()
			c.SetRequest(r.WithContext(context.WithValue(r.Context(), exchangeKey{}, c)))
			return next(c)
		}
	}
}

// admit authenticates a request to a private endpoint. For a public endpoint, it refuses a write
// that a browser sends on behalf of a page from another origin.
func (a *API) admit(c echo.Context, private bool) error {
	if !private {
		return a.CheckOrigin(c)
	}
	user, err := a.Authenticate(c)
	if err != nil {
		return err
	}
	c.Set(userKey, user)
	return nil
}

// checkParameter validates one parameter against its schema. An invalid path parameter is reported
// as not found, because no resource can have such an id.
func checkParameter(c echo.Context, p *openapi3.Parameter, wrong *fields) error {
	var given []string
	switch p.In {
	case openapi3.ParameterInPath:
		var bad fields
		if bad.visit(p.Name, p.Schema.Value, c.Param(p.Name)); len(bad) > 0 {
			noun, _ := p.Extensions["x-noun"].(string)
			return apierr.New(apierr.NotFound, "This %s does not exist.", noun)
		}
		return nil
	case openapi3.ParameterInQuery:
		given = c.QueryParams()[p.Name]
	case openapi3.ParameterInHeader:
		given = c.Request().Header.Values(p.Name)
	}
	switch {
	case len(given) > 1:
		wrong.add(p.Name, apierr.Violates(apierr.FieldRepeated, "is given more than once"))
	case len(given) == 1 && !utf8.ValidString(given[0]):
		wrong.add(p.Name, apierr.Violates(apierr.FieldCharacters, "must be valid UTF-8"))
	case len(given) == 1:
		wrong.visit(p.Name, p.Schema.Value, parseValue(p.Schema.Value, given[0]))
	case p.Required:
		wrong.add(p.Name, errRequired())
	}
	return nil
}

// parseValue converts text to the type that the schema requires, or returns it unchanged if that is
// not possible.
func parseValue(schema *openapi3.Schema, text string) any {
	switch {
	case schema.Type.Is(openapi3.TypeInteger):
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return float64(n)
		}
	case schema.Type.Is(openapi3.TypeBoolean):
		if text == "true" || text == "false" {
			return text == "true"
		}
	}
	return text
}

const (
	mediaJSON = "application/json"
	bodyKey   = "parley.body"
)

// readBody returns the JSON object in the body of a request. It returns nil if there is no body and
// none is required. For each unpaired surrogate, it adds an error to wrong, because Go's JSON
// decoder would silently replace the surrogate.
func readBody(c echo.Context, needed bool, wrong *fields) (any, error) {
	r := c.Request()
	if !needed && r.ContentLength == 0 {
		return nil, nil
	}
	// A page from another origin cannot send JSON without a CORS preflight request. This check is
	// therefore part of the defense against forged logins.
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != mediaJSON {
		return nil, apierr.New(apierr.UnsupportedMedia, "The body must have the content type application/json.")
	}
	body, err := io.ReadAll(r.Body)
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, apierr.Wrap(err, apierr.TooLarge, "The body has more than %d bytes.", tooLarge.Limit)
	}
	if err != nil {
		return nil, apierr.Wrap(err, apierr.BadFrame, "The body could not be read.")
	}
	if body = bytes.TrimSpace(body); len(body) == 0 && !needed {
		return nil, nil
	}
	value, err := parse(body)
	if err == nil {
		for _, field := range text.Halves(body) {
			wrong.add(field, text.ErrHalf())
		}
	}
	return value, err
}

func parse(body []byte) (any, error) {
	switch {
	case len(body) == 0:
		return nil, apierr.New(apierr.BadFrame, "The body must be a JSON object, but it is empty.")
	case !utf8.Valid(body):
		return nil, apierr.New(apierr.BadFrame, "The body is not valid UTF-8.")
	case body[0] != '{':
		return nil, apierr.New(apierr.BadFrame, "The body is not a JSON object.")
	}
	var value any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&value); err != nil {
		return nil, apierr.Wrap(err, apierr.BadFrame, "The body is not valid JSON: %v.", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, apierr.New(apierr.BadFrame, "The body must contain only one JSON object.")
	}
	return normalizeIntegers(value), nil
}

// normalizeIntegers rewrites numbers with an integral value, such as 1.0 and 1e2, in integer form.
// JSON Schema treats them as integers, but Go refuses to decode them into an integer type.
func normalizeIntegers(value any) any {
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Float64(); err == nil && n == math.Trunc(n) && math.Abs(n) < 1<<53 {
			return json.Number(strconv.FormatInt(int64(n), 10))
		}
	case map[string]any:
		for name, member := range v {
			v[name] = normalizeIntegers(member)
		}
	case []any:
		for i, item := range v {
			v[i] = normalizeIntegers(item)
		}
	}
	return value
}

// bodyBinder gives the generated code the body that was validated. Decoding the bytes a second time
// would accept repeated fields and field names with different capitalization, which the validation
// did not see.
type bodyBinder struct{}

// Bind copies the request body to the value that into points to.
func (bodyBinder) Bind(into any, c echo.Context) error {
	value := c.Get(bodyKey)
	if value == nil {
		return io.EOF // the generated code treats io.EOF as an absent body
	}
	if err := runtime.BindJSONValue(value, into); err != nil {
		return apierr.Wrap(fmt.Errorf("bind body: %w", err), apierr.InvalidRequest, "The body has a value that is out of range.")
	}
	return nil
}

type exchangeKey struct{}

// Exchange returns the request and response that belong to ctx, which must be a handler's context.
// Handlers use it for data that the generated interface does not provide, such as cookies and the
// client's address.
func Exchange(ctx context.Context) echo.Context {
	c, ok := ctx.Value(exchangeKey{}).(echo.Context)
	if !ok {
		panic("httpapi: Exchange called with a context that is not from an endpoint's handler")
	}
	return c
}
