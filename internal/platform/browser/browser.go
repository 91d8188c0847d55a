// Package browser holds what chat-service and ws-server must agree on about requests from browsers:
// which cookies hold the session, which origins may use them, which hosts the deployment serves,
// and whether the browser uses https.
//
// An attacker's page controls much of a request, but not all of it. The browser itself sets Host,
// Origin and Cookie. And no page can add X-Forwarded-Proto to a request to another origin unless
// that origin allows it.
package browser

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// OverHTTPS reports whether the browser that sent r uses https, to us or to a proxy. It trusts
// X-Forwarded-Proto from anyone: only the sender itself could forge it, and would only harm its own
// session.
//
// A proxy may also terminate https without adding the header. Browsers then reveal it: they send
// Sec-Fetch-Site only to https and loopback addresses (Fetch Metadata, section 3).
func OverHTTPS(r *http.Request) bool {
	proto, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return r.TLS != nil || strings.EqualFold(strings.TrimSpace(proto), "https") ||
		r.Header.Get("Sec-Fetch-Site") != "" && !Loopback(r.Host)
}

// Cookie identifies one of our cookies.
type Cookie string

// The cookies.
const (
	AccessCookie  Cookie = "access_token"
	RefreshCookie Cookie = "refresh_token"
	DeviceCookie  Cookie = "device_token" // outlives the session
)

// Name returns the cookie's name in the header. A browser accepts a name that begins with __Host-
// only with Secure, with the path / and without a domain. So no other host, such as another
// subdomain, can set it.
func (c Cookie) Name(secure bool) string {
	if secure {
		return "__Host-" + string(c)
	}
	return string(c)
}

// ErrTwoCookies means that a request has two cookies of the same name. One of them was set by
// someone else, and it is unknown which.
var ErrTwoCookies = errors.New("the request has two cookies of the same name")

// Of returns the value of the cookie in r, "" if there is none. Over https only the name with
// __Host- is accepted.
func (c Cookie) Of(r *http.Request) (string, error) {
	value, err := only(r, c.Name(true))
	if value == "" && err == nil && !OverHTTPS(r) {
		return only(r, c.Name(false))
	}
	return value, err
}

func only(r *http.Request, name string) (string, error) {
	switch found := r.CookiesNamed(name); len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0].Value, nil
	default:
		return "", fmt.Errorf("%w: %s", ErrTwoCookies, name)
	}
}

// AccessToken returns the access token of r, "" if there is none, and whether it came from a
// cookie. The cookie takes precedence over the Authorization header.
func AccessToken(r *http.Request) (raw string, byCookie bool, err error) {
	raw, err = AccessCookie.Of(r)
	if raw != "" || err != nil {
		return raw, true, err
	}
	// RFC 9110, 11.1: scheme names are case-insensitive.
	scheme, raw, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false, nil
	}
	return strings.TrimSpace(raw), false, nil
}
