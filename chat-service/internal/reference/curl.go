package reference

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Names of the shell variables that the commands use.
const (
	ServerVariable = "PARLEY" // the address of the server, such as http://localhost:8080
	TokenVariable  = "TOKEN"  // an access token
)

// curl returns a shell command that sends an operation's example request. It contains the required
// parameters and the optional parameters that have their own examples.
func curl(o Operation, op *openapi3.Operation, parameters openapi3.Parameters, body any) (string, error) {
	path, query := o.Path, url.Values{}
	var headers []string
	for _, p := range parameters {
		v := p.Value
		value, err := parameterExample(v)
		if err != nil {
			return "", fmt.Errorf("parameter %s: %w", v.Name, err)
		}
		switch {
		case value == "":
		case v.In == openapi3.ParameterInPath:
			path = strings.ReplaceAll(path, "{"+v.Name+"}", url.PathEscape(value))
		case v.In == openapi3.ParameterInQuery:
			query.Set(v.Name, value)
		case v.In == openapi3.ParameterInHeader:
			headers = append(headers, v.Name+": "+value)
		}
	}
	if len(query) > 0 {
		path += "?" + strings.ReplaceAll(query.Encode(), "%2C", ",") // commas are allowed and easier to read
	}
	path = strings.ReplaceAll(path, "$", "%24") // the command has the path in double quotes
	server := "$" + ServerVariable
	if op.Servers != nil && len(*op.Servers) > 0 {
		server = (*op.Servers)[0].URL
	}
	command := "curl"
	if o.Method != http.MethodGet {
		command += " -X " + o.Method
	}
	lines := []string{command + ` "` + server + path + `"`}
	if isPicture(op) {
		lines[0] += " -O"
	}
	if o.Login != NoLogin {
		lines = append(lines, `-H "Authorization: Bearer $`+TokenVariable+`"`)
	}
	for _, h := range headers {
		lines = append(lines, "-H "+quoted(h))
	}
	if o.Body != nil {
		lines = append(lines, "-H "+quoted("Content-Type: application/json"),
			"-d "+quoted(compact(body, op.RequestBody.Value.Content["application/json"].Schema.Value)))
	}
	return strings.Join(lines, " \\\n  "), nil
}

// parameterExample returns a parameter's value for the command, or "" if the command omits the
// parameter.
func parameterExample(p *openapi3.Parameter) (string, error) {
	value := p.Example
	if value == nil {
		if !p.Required {
			return "", nil
		}
		value = compose(p.Schema.Value)
	}
	if err := p.Schema.Value.VisitJSON(value); err != nil {
		return "", err
	}
	return fmt.Sprint(value), nil
}

// isPicture reports whether the response is a picture, which a terminal cannot display.
func isPicture(op *openapi3.Operation) bool {
	r := op.Responses.Status(http.StatusOK)
	if r == nil {
		return false
	}
	for media := range r.Value.Content {
		if strings.HasPrefix(media, "image/") {
			return true
		}
	}
	return false
}

// quoted returns a string quoted as one word for a POSIX shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
