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

// spec returns the API document with additional properties forbidden, so that tests detect
// undocumented fields in responses.
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

// commonProblems lists the codes that any operation may return.
var commonProblems = []string{
	"bad_frame", "unsupported_media_type", "too_large", "invalid_request", "unavailable", "overloaded", "internal",
	"unauthenticated", "foreign_origin", "rate_limited", "misdirected",
}

// checkAnswer checks a response against the document.
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
		return nil // TestMatrix compares the headers with those of GET
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
			return fmt.Errorf("%s: %d does not have the header %s", op.OperationID, a.status, name)
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

// problemAllowed returns an error if the document does not list the response's code for the
// operation.
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
		return fmt.Errorf("%s: %s is not one of its documented problems %v", op.OperationID, p.Code, listed)
	}
	return nil
}

// unknownPath checks the response to a request that matches no operation. The response must be a
// problem document, with or without a login.
func unknownPath(a answer, status int, code string) error {
	var p problem
	if err := json.Unmarshal(a.body, &p); err != nil || a.status != status || p.Code != code {
		return fmt.Errorf("request is not in the document, response was %d %s", a.status, a.body)
	}
	return nil
}

// operationOf returns the path item and operation of a request. Both are nil for an unknown path.
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
