package site

import (
	"strconv"
	"strings"
)

// accepts reports whether a header Accept-Encoding takes an encoding. One that names it with q=0 does not.
func accepts(header, encoding string) bool {
	any := false
	for item := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(item, ";")
		name = strings.TrimSpace(name)
		switch {
		case strings.EqualFold(name, encoding):
			return weight(params) > 0
		case name == "*":
			any = weight(params) > 0
		}
	}
	return any
}

// weight reads "q=0.5"; without one it is 1.
func weight(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		key, value, ok := strings.Cut(param, "=")
		if !ok || !strings.EqualFold(strings.TrimSpace(key), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			return 0
		}
		return q
	}
	return 1
}

// matches reports whether a header If-None-Match names etag. A proxy that packs what it passes on makes
// tags weak, which is good enough here (RFC 9110, 13.1.2).
func matches(header, etag string) bool {
	for item := range strings.SplitSeq(header, ",") {
		item = strings.TrimSpace(item)
		if item == "*" || strings.TrimPrefix(item, "W/") == etag {
			return true
		}
	}
	return false
}
