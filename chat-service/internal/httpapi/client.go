package httpapi

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"

	"parley.chat/internal/platform/browser"
)

// Client describes where a request came from.
type Client struct {
	Addr netip.Addr // the client's address; invalid if unknown, for example on a Unix socket
	// Plain is true if the request arrived over plain HTTP at a loopback address of this machine.
	// Only then is a cookie without the Secure attribute harmless.
	Plain bool
}

// Client describes the client that sent the request. It uses forwarding headers only if a trusted
// proxy sent the request.
func (a *API) Client(c echo.Context) Client {
	r := c.Request()
	addr := addrOf(r.RemoteAddr)
	https := r.TLS != nil
	forwarded := r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("X-Forwarded-Proto") != "" || r.Header.Get("Forwarded") != ""
	trusted := addr.IsValid() && a.cfg.Proxies.Contains(addr)
	if trusted {
		https = strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
		addr = a.beforeProxies(addr, r.Header.Values("X-Forwarded-For"))
	}
	return Client{
		Addr: addr,
		// An untrusted proxy may have terminated TLS and changed the Host header.
		Plain: !https && browser.Loopback(r.Host) && (trusted || !forwarded),
	}
}

// beforeProxies walks backward through the forwarding lists to the first address that is not one
// of our proxies. The addresses to the left of it were sent by the client and cannot be trusted.
func (a *API) beforeProxies(addr netip.Addr, lists []string) netip.Addr {
	hops := strings.Split(strings.Join(lists, ","), ",")
	for i := len(hops) - 1; i >= 0 && a.cfg.Proxies.Contains(addr); i-- {
		hop := addrOf(strings.TrimSpace(hops[i]))
		if !hop.IsValid() {
			break
		}
		addr = hop
	}
	return addr
}

// addrOf parses an address with or without a port.
func addrOf(s string) netip.Addr {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

// secure reports whether the response's cookies get the Secure attribute. Over HTTPS they always
// do.
func (a *API) secure(c echo.Context) bool {
	if browser.OverHTTPS(c.Request()) {
		return true
	}
	if a.cfg.CookieSecure != nil {
		return *a.cfg.CookieSecure
	}
	return !a.Client(c).Plain
}

// SetCookies sends a session's tokens as cookies. Each cookie expires together with its token.
func (a *API) SetCookies(c echo.Context, access string, accessSeconds int, refresh string, refreshSeconds int) {
	secure := a.secure(c)
	setCookie(c, browser.AccessCookie, secure, access, accessSeconds)
	setCookie(c, browser.RefreshCookie, secure, refresh, refreshSeconds)
}

// ClearCookies removes the session cookies from the browser.
func (a *API) ClearCookies(c echo.Context) {
	secure := a.secure(c)
	setCookie(c, browser.AccessCookie, secure, "", -1)
	setCookie(c, browser.RefreshCookie, secure, "", -1)
}

// SetDeviceCookie sends the device token as a cookie. At the next login it proves that the user has
// logged in from this browser before. It outlives the session.
func (a *API) SetDeviceCookie(c echo.Context, device string, seconds int) {
	setCookie(c, browser.DeviceCookie, a.secure(c), device, seconds)
}

// DeviceCookie returns the device token that the browser sent, or "". It also returns "" if there
// are two cookies with this name, since one of them may have been planted.
func DeviceCookie(c echo.Context) string {
	raw, err := browser.DeviceCookie.Of(c.Request())
	if err != nil {
		return ""
	}
	return raw
}

func setCookie(c echo.Context, cookie browser.Cookie, secure bool, value string, seconds int) {
	path := "/"
	if cookie != browser.AccessCookie && !secure {
		path = "/v1" // only chat-service reads it; a name with the prefix __Host- requires the path /
	}
	c.SetCookie(&http.Cookie{
		Name: cookie.Name(secure), Value: value, Path: path, MaxAge: seconds,
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode,
	})
}

// RefreshCookie returns the refresh token that the browser sent, or "". It returns an error if
// there are two cookies with this name.
func RefreshCookie(c echo.Context) (string, error) {
	raw, err := browser.RefreshCookie.Of(c.Request())
	if err != nil {
		return "", twoCookies(err)
	}
	return raw, nil
}
