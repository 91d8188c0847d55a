package apierr

import "strings"

// ContentType is the media type of a Problem.
const ContentType = "application/problem+json"

// Problem is the JSON body of an HTTP error response (RFC 9457). All services use it.
type Problem struct {
	Type      string       `json:"type"` // a URN that ends in the code
	Title     string       `json:"title"`
	Status    int          `json:"status"`
	Detail    string       `json:"detail"`
	Code      Code         `json:"code"`
	Errors    []FieldError `json:"errors,omitempty"`
	RequestID string       `json:"request_id,omitempty"`
}

// Problem returns the response body for e.
func (e *Error) Problem() Problem {
	return Problem{
		Type: "urn:parley:problem:" + string(e.Code), Title: e.Code.title(), Status: e.Code.HTTPStatus(),
		Detail: e.Message, Code: e.Code, Errors: e.Fields,
	}
}

// title returns the code as readable words.
func (c Code) title() string {
	words := strings.ReplaceAll(string(c), "_", " ")
	if words == "" {
		return ""
	}
	return strings.ToUpper(words[:1]) + words[1:]
}
