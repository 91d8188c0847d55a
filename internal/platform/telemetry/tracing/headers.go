package tracing

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
)

// Headers are sent to the collector. Their values are keys, more often than not: no error shows one.
type Headers map[string]string

// UnmarshalText reads "name=value,name=value", with the values percent-encoded, as OpenTelemetry has it.
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

// isToken reports whether a header may have this name.
func isToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
}
