package chatservice_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"

	"parley.chat/chat-service/internal/api"
)

// spec is the document, with every object closed: an answer must not say more than it promises.
var spec = sync.OnceValues(func() (*openapi3.T, error) {
	doc, err := api.Load()
	if err != nil {
		return nil, err
	}
	for _, s := range doc.Components.Schemas {
		if s.Value.Type.Is("object") && len(s.Value.Properties) > 0 && s.Value.AdditionalProperties.Has == nil {
			s.Value.AdditionalProperties.Has = new(false)
		}
	}
	return doc, nil
})

// commonProblems are the codes that any operation may answer with.
var commonProblems = []string{
	"bad_frame", "unsupported_media_type", "too_large", "invalid_request", "unavailable", "overloaded", "internal",
	"unauthenticated", "foreign_origin", "rate_limited", "misdirected",
}

// checkAnswer holds an answer against the document.
func checkAnswer(method, path string, a answer) error {
	doc, err := spec()
	if err != nil {
		return err
	}
	path, _, _ = strings.Cut(path, "?")
	if method == http.MethodHead {
		if len(a.body) > 0 {
			return fmt.Errorf("HEAD has a body: %s", a.body)
		}
		return nil // TestMatrix compares the rest with what GET answers
	}
	item, op := operationOf(doc, method, path)
	switch {
	case item == nil:
		return unknownPath(a, http.StatusNotFound, "not_found")
	case op == nil:
		return unknownPath(a, http.StatusMethodNotAllowed, "method_not_allowed")
	}
	response := op.Responses.Status(a.status)
	if response == nil {
		response = op.Responses.Default()
		if response == nil || a.status < 400 {
			return fmt.Errorf("%s: status %d is not in the document", op.OperationID, a.status)
		}
	}
	if len(response.Value.Content) == 0 {
		if len(a.body) > 0 {
			return fmt.Errorf("%s: %d has a body: %s", op.OperationID, a.status, a.body)
		}
		return nil
	}
	for name, h := range response.Value.Headers {
		if h.Value.Required && a.header.Get(name) == "" {
			return fmt.Errorf("%s: %d lacks the header %s", op.OperationID, a.status, name)
		}
	}
	mediaType, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil || response.Value.Content[mediaType] == nil {
		return fmt.Errorf("%s: %d has content type %q", op.OperationID, a.status, a.header.Get("Content-Type"))
	}
	if !strings.HasSuffix(mediaType, "json") {
		return nil
	}
	value, err := decodeJSON(a.body)
	if err != nil {
		return fmt.Errorf("%s: %d: %w in %s", op.OperationID, a.status, err, a.body)
	}
	if err := response.Value.Content[mediaType].Schema.Value.VisitJSON(value, openapi3.VisitAsResponse()); err != nil {
		return fmt.Errorf("%s: %d: %w in %s", op.OperationID, a.status, err, a.body)
	}
	return problemAllowed(op, a)
}

// problemAllowed reports a code that the operation does not list.
func problemAllowed(op *openapi3.Operation, a answer) error {
	if a.status < 400 {
		return nil
	}
	var p problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		return err
	}
	listed, _ := op.Extensions["x-problems"].([]any)
	if !slices.Contains(listed, any(p.Code)) && !slices.Contains(commonProblems, p.Code) {
		return fmt.Errorf("%s: %s is not among its problems %v", op.OperationID, p.Code, listed)
	}
	return nil
}

// unknownPath: what no operation takes is answered with a problem, too. Nobody's login matters there.
func unknownPath(a answer, status int, code string) error {
	var p problem
	if err := json.Unmarshal(a.body, &p); err != nil || a.status != status || p.Code != code {
		return fmt.Errorf("not in the document, answered with %d %s", a.status, a.body)
	}
	return nil
}

// operationOf finds the operation of a request: nil, nil for an unknown path.
func operationOf(doc *openapi3.T, method, path string) (*openapi3.PathItem, *openapi3.Operation) {
	segments := strings.Split(path, "/")
	for _, template := range doc.Paths.InMatchingOrder() {
		parts := strings.Split(template, "/")
		if len(parts) != len(segments) {
			continue
		}
		same := true
		for i, part := range parts {
			same = same && (part == segments[i] || strings.HasPrefix(part, "{"))
		}
		if same {
			item := doc.Paths.Value(template)
			return item, item.GetOperation(method)
		}
	}
	return nil, nil
}

func decodeJSON(b []byte) (any, error) {
	var v any
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	err := dec.Decode(&v)
	return v, err
}
