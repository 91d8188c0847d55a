// Package browser holds what chat-service and ws-server have to know alike about requests that a browser may
// have sent: which cookies hold the session, whose pages may use them, for which hosts the deployment answers,
// and whether the browser speaks https.
//
// An attacker's page chooses much of a request, but not all: a browser sets Host, Origin and Cookie itself, and
// no page can add X-Forwarded-Proto to a request to another origin unless that origin allows it.
package browser

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// OverHTTPS reports whether the browser that sent r speaks https, to us or to a proxy. It believes any proxy, because
// only the sender itself could lie here, and it would only hurt its own session.
//
// A proxy may also take https off without a word. Browsers then give it away: they send Sec-Fetch-Site to https
// addresses, and besides to loopback addresses (Fetch Metadata, 3).
func OverHTTPS(r *http.Request) bool {
	proto, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return r.TLS != nil || strings.EqualFold(strings.TrimSpace(proto), "https") ||
		r.Header.Get("Sec-Fetch-Site") != "" && !Loopback(r.Host)
}

// Cookie names one of our cookies.
type Cookie string

// The cookies.
const (
	AccessCookie  Cookie = "access_token"
	RefreshCookie Cookie = "refresh_token"
	DeviceCookie  Cookie = "device_token" // outlives the session
)

// Name returns the cookie's name in the header. A browser accepts a name that begins with __Host- only with Secure,
// with the path / and without a domain. So no other host, such as another subdomain, can set it.
func (c Cookie) Name(secure bool) string {
	if secure {
		return "__Host-" + string(c)
	}
	return string(c)
}

// ErrTwoCookies means that a request has two cookies of one name. Which of them is ours cannot be known, as somebody
// else has set the other.
var ErrTwoCookies = errors.New("the request has two cookies of one name")

// Of returns the value of the cookie in r, "" if it has none. Over https only the name with __Host- counts.
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

// AccessToken returns the access token of r, "" if it has none, and whether it came as a cookie, which counts before
// the header Authorization.
func AccessToken(r *http.Request) (raw string, byCookie bool, err error) {
	raw, err = AccessCookie.Of(r)
	if raw != "" || err != nil {
		return raw, true, err
	}
	// RFC 9110, 11.1: the name of a scheme is compared without regard to case.
	scheme, raw, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false, nil
	}
	return strings.TrimSpace(raw), false, nil
}
