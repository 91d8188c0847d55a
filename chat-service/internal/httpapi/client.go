package httpapi

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"

	"parley.chat/internal/browser"
)

// Client is where a request came from.
type Client struct {
	Addr netip.Addr // invalid when unknown, as on a Unix socket
	// Plain says that the request came over plain http to this machine's own loopback address, the one
	// case in which a cookie that is not Secure does no harm.
	Plain bool
}

// Client returns where the request came from. What its headers say counts only when a trusted proxy
// has written them.
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
		// A proxy that we do not trust may have taken https off and changed the host.
		Plain: !https && browser.Loopback(r.Host) && (trusted || !forwarded),
	}
}

// beforeProxies walks the list back to the first address that is not one of our proxies: what stands
// before it was written by the client and may be anything.
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

// addrOf reads an address with or without a port.
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

// secure reports whether cookies of the answer carry Secure. Over https they always do.
func (a *API) secure(c echo.Context) bool {
	if browser.OverHTTPS(c.Request()) {
		return true
	}
	if a.cfg.CookieSecure != nil {
		return *a.cfg.CookieSecure
	}
	return !a.Client(c).Plain
}

// SetCookies hands a session to a browser, each token for as long as it is good.
func (a *API) SetCookies(c echo.Context, access string, accessSeconds int, refresh string, refreshSeconds int) {
	secure := a.secure(c)
	setCookie(c, browser.AccessCookie, secure, access, accessSeconds)
	setCookie(c, browser.RefreshCookie, secure, refresh, refreshSeconds)
}

// ClearCookies takes the session from a browser.
func (a *API) ClearCookies(c echo.Context) {
	secure := a.secure(c)
	setCookie(c, browser.AccessCookie, secure, "", -1)
	setCookie(c, browser.RefreshCookie, secure, "", -1)
}

// SetDeviceCookie gives a browser the token by which its next login shows that it has logged in before. It
// outlives the session.
func (a *API) SetDeviceCookie(c echo.Context, device string, seconds int) {
	setCookie(c, browser.DeviceCookie, a.secure(c), device, seconds)
}

// DeviceCookie returns the device token that the browser sent, or "". Of two, neither counts.
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
		path = "/v1" // chat-service alone reads it; a name with __Host- needs the path /
	}
	c.SetCookie(&http.Cookie{
		Name: cookie.Name(secure), Value: value, Path: path, MaxAge: seconds,
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode,
	})
}

// RefreshCookie returns the refresh token that the browser sent, or "".
func RefreshCookie(c echo.Context) (string, error) {
	raw, err := browser.RefreshCookie.Of(c.Request())
	if err != nil {
		return "", twoCookies(err)
	}
	return raw, nil
}
