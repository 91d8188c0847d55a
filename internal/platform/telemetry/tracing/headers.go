package tracing

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
)

// Headers holds the headers sent to the collector. Their values are usually keys, so errors never
// show them.
type Headers map[string]string

// UnmarshalText parses "name=value,name=value" with percent-encoded values, as specified by
// OpenTelemetry.
func (h *Headers) UnmarshalText(text []byte) error {
	*h = Headers{}
	for pair := range strings.SplitSeq(string(text), ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		if !ok || !isToken(name) {
			return errors.New("not a list of name=value")
		}
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if err != nil || strings.ContainsFunc(value, unicode.IsControl) {
			return fmt.Errorf("the value of %s is not percent-encoded", name)
		}
		(*h)[name] = value
	}
	return nil
}

// isToken reports whether name is a valid HTTP header name.
func isToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
}
