// Package browser contains the rules for requests from browsers on which chat-service and ws-server
// must agree: which cookies hold the session, which origins may use them, which hosts the
// deployment serves, and whether the browser uses https.
//
// An attacker's page controls much of a request, but not all of it. The browser itself sets Host,
// Origin and Cookie. A page also cannot add X-Forwarded-Proto to a request to another origin unless
// that origin allows it.
package browser

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// OverHTTPS reports whether the browser that sent r connects over https, either to this server or
// to a proxy. It trusts X-Forwarded-Proto from any sender, because a sender that forges the header
// harms only its own session.
//
// A proxy may also terminate https without adding the header. In that case Sec-Fetch-Site shows
// that the browser uses https, because browsers send it only to https and loopback addresses (Fetch
// Metadata, section 3).
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

// Name returns the cookie's name in the header. A browser accepts a cookie whose name begins with
// __Host- only if it is Secure, has the path / and has no domain. So no other host, such as another
// subdomain, can set it.
func (c Cookie) Name(secure bool) string {
	if secure {
		return "__Host-" + string(c)
	}
	return string(c)
}

// ErrTwoCookies means that a request has two cookies with the same name. One of them was set by
// someone else, and there is no way to tell which.
var ErrTwoCookies = errors.New("the request has two cookies with the same name")

// Of returns the value of the cookie in r, or "" if there is none. Over https it accepts only the
// name with the prefix __Host-.
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

// AccessToken returns the access token in r, or "" if there is none, and whether it came from a
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
