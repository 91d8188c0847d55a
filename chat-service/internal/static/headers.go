package static

import (
	"strconv"
	"strings"
)

// accepts reports whether an Accept-Encoding header accepts an encoding. An encoding with q=0 is
// not accepted.
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

// weight returns the q value in an encoding's parameters, such as 0.5 for "q=0.5". The default is
// 1.
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

// matches reports whether an If-None-Match header contains etag. Weak tags match as well (RFC 9110,
// section 13.1.2), because proxies that compress responses make tags weak.
func matches(header, etag string) bool {
	for item := range strings.SplitSeq(header, ",") {
		item = strings.TrimSpace(item)
		if item == "*" || strings.TrimPrefix(item, "W/") == etag {
			return true
		}
	}
	return false
}
