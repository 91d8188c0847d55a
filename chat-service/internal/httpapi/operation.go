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

	"parley.chat/internal/ratelimit"
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/text"

	"parley.chat/chat-service/internal/api"
)

// operation is what the document says of one endpoint, made ready to be held against requests.
type operation struct {
	private bool // takes a valid token only
	params  []*openapi3.Parameter
	body    *openapi3.Schema // nil when it takes none
	needs   bool             // the body must not be absent
	limit   ratelimit.Kind   // "" for an operation that only reads
}

// Serve registers the endpoints of doc, which is api.Load's. Requests that are not as it says never
// reach h.
func (a *API) Serve(doc *openapi3.T, h api.StrictServerInterface) {
	checks := map[string][]echo.MiddlewareFunc{}
	for _, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			o := newOperation(doc, item, op)
			if writes := method != http.MethodGet; writes != o.limit.Known() {
				panic(fmt.Sprintf("httpapi: %s: x-rate-limit must be a kind of limit for every write, and absent for a read: %q", op.OperationID, o.limit))
			}
			checks[op.OperationID] = []echo.MiddlewareFunc{a.check(o)}
		}
	}
	api.RegisterHandlersWithOptions(withHead{a.echo}, api.NewStrictHandler(h, nil), api.RegisterHandlersOptions{OperationMiddlewares: checks})
}

// withHead answers HEAD wherever there is GET (RFC 9110, 9.3.2), by the same handler: net/http keeps the body
// to itself.
type withHead struct{ *echo.Echo }

// GET registers both methods.
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

// check lets a request through if it is as the document says and its limit is not used up. It checks who asks
// first, then the path, then the rest, and counts last: a request that is refused here costs no token.
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

// admit finds out who asks. Where anybody may, at least no foreign page makes a browser write.
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

// checkParameter holds one parameter against its schema. A path that no thing can have is not found.
func checkParameter(c echo.Context, p *openapi3.Parameter, wrong *fields) error {
	var given []string
	switch p.In {
	case openapi3.ParameterInPath:
		var bad fields
		if bad.visit(p.Name, p.Schema.Value, c.Param(p.Name)); len(bad) > 0 {
			noun, _ := p.Extensions["x-noun"].(string)
			return apierr.New(apierr.NotFound, "no such %s", noun)
		}
		return nil
	case openapi3.ParameterInQuery:
		given = c.QueryParams()[p.Name]
	case openapi3.ParameterInHeader:
		given = c.Request().Header.Values(p.Name)
	}
	switch {
	case len(given) > 1:
		wrong.add(p.Name, "is given more than once")
	case len(given) == 1 && !utf8.ValidString(given[0]):
		wrong.add(p.Name, "is not valid UTF-8")
	case len(given) == 1:
		wrong.visit(p.Name, p.Schema.Value, typed(p.Schema.Value, given[0]))
	case p.Required:
		wrong.add(p.Name, "is required")
	}
	return nil
}

// typed returns text as the value that the schema wants, or as it is when it is none.
func typed(schema *openapi3.Schema, text string) any {
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

// readBody returns the JSON object of a request: nil when there is none and none is needed. Texts that Go
// would read as others than were sent go to wrong.
func readBody(c echo.Context, needed bool, wrong *fields) (any, error) {
	r := c.Request()
	if !needed && r.ContentLength == 0 {
		return nil, nil
	}
	// A page of another origin can send JSON only after asking (CORS): this check is part of the
	// defence against forged logins.
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != mediaJSON {
		return nil, apierr.New(apierr.UnsupportedMedia, "the body must be application/json")
	}
	body, err := io.ReadAll(r.Body)
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, apierr.Wrap(err, apierr.TooLarge, "the body has more than %d bytes", tooLarge.Limit)
	}
	if err != nil {
		return nil, apierr.Wrap(err, apierr.BadFrame, "the body could not be read")
	}
	if body = bytes.TrimSpace(body); len(body) == 0 && !needed {
		return nil, nil
	}
	value, err := parse(body)
	if err == nil {
		for _, field := range text.Halves(body) {
			wrong.add(field, text.HalfMessage)
		}
	}
	return value, err
}

func parse(body []byte) (any, error) {
	switch {
	case len(body) == 0:
		return nil, apierr.New(apierr.BadFrame, "the request needs a JSON object as its body")
	case !utf8.Valid(body):
		return nil, apierr.New(apierr.BadFrame, "the body is not valid UTF-8")
	case body[0] != '{':
		return nil, apierr.New(apierr.BadFrame, "the body is not a JSON object")
	}
	var value any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&value); err != nil {
		return nil, apierr.Wrap(err, apierr.BadFrame, "the body is not JSON: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, apierr.New(apierr.BadFrame, "the body goes on after its JSON object")
	}
	return whole(value), nil
}

// whole writes the whole numbers of a JSON value as such: for JSON 1.0 and 1e2 are some, for Go's
// integers they are none.
func whole(value any) any {
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Float64(); err == nil && n == math.Trunc(n) && math.Abs(n) < 1<<53 {
			return json.Number(strconv.FormatInt(int64(n), 10))
		}
	case map[string]any:
		for name, member := range v {
			v[name] = whole(member)
		}
	case []any:
		for i, item := range v {
			v[i] = whole(item)
		}
	}
	return value
}

// checked hands the generated code the very body that was checked: to read its bytes again would let
// names in other letters, and names that come twice, pass the check.
type checked struct{}

// Bind sets into to the body of the request.
func (checked) Bind(into any, c echo.Context) error {
	value := c.Get(bodyKey)
	if value == nil {
		return io.EOF // what the generated code takes for an absent body
	}
	if err := runtime.BindJSONValue(value, into); err != nil {
		return apierr.Wrap(fmt.Errorf("bind body: %w", err), apierr.InvalidRequest, "the body has a value that is out of range")
	}
	return nil
}

type exchangeKey struct{}

// Exchange returns the request and response that ctx, the context of a handler, belongs to: for what
// the document does not hand to handlers, such as cookies and where a request comes from.
func Exchange(ctx context.Context) echo.Context {
	c, ok := ctx.Value(exchangeKey{}).(echo.Context)
	if !ok {
		panic("httpapi: this is not the context of an endpoint's handler")
	}
	return c
}
