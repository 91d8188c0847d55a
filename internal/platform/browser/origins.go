package browser

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"parley.chat/internal/platform/config"
)

// Origins holds the origins, in addition to our own, whose pages may use our users' cookies (the
// setting PUBLIC_ORIGINS). Each origin is in the form that browsers send: the scheme and host are
// in lower case, and the default port is omitted.
type Origins []string

// UnmarshalText parses "https://app.example.com, http://localhost:5173". It rejects values that no
// browser can send as an Origin.
func (o *Origins) UnmarshalText(text []byte) error {
	var items config.List
	if err := items.UnmarshalText(text); err != nil {
		return err
	}
	*o = nil
	var errs []error
	for _, item := range items {
		origin, err := parseOrigin(item)
		if err != nil {
			errs = append(errs, fmt.Errorf("%q %w", item, err))
			continue
		}
		*o = append(*o, origin)
	}
	return errors.Join(errs...)
}

// String returns the origins, separated by commas.
func (o Origins) String() string { return strings.Join(o, ",") }

// parseOrigin returns an origin in the form that browsers send.
func parseOrigin(s string) (string, error) {
	if strings.Contains(s, "*") {
		return "", errors.New("contains a *: list each origin, because its pages can act for the users who visit them")
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", errors.New("is not an origin like https://app.example.com")
	}
	if u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(s, "#") || u.User != nil {
		return "", errors.New("is not an origin: it contains more than scheme, host and port")
	}
	host, err := parseHost(u.Hostname())
	if err != nil {
		return "", err
	}
	if strings.HasSuffix(u.Host, ":") {
		return "", errors.New("has a colon but no port")
	}
	if port := u.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return "", errors.New("has a port that is not between 1 and 65535")
		}
		if port = strconv.FormatUint(n, 10); port != defaultPort(u.Scheme) {
			return u.Scheme + "://" + net.JoinHostPort(host, port), nil
		}
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return u.Scheme + "://" + host, nil
}

// parseHost returns a host name or an IP address in lower case.
func parseHost(host string) (string, error) {
	if addr, err := netip.ParseAddr(host); err == nil && addr.Zone() == "" {
		return addr.String(), nil
	}
	for _, r := range host {
		if r > 0x7f {
			return "", errors.New("has a host that is not ASCII: write the name as browsers send it (xn--…)")
		}
		if r != '-' && r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return "", errors.New("has a host that no browser can send")
		}
	}
	if host == "" {
		return "", errors.New("has no host")
	}
	return strings.ToLower(host), nil
}

func defaultPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

// Guard refuses requests in which a page from another origin would use our users' cookies.
type Guard struct {
	origins    Origins
	protection *http.CrossOriginProtection
}

// NewGuard returns a Guard that accepts pages from our own origin and from the given origins.
func NewGuard(origins Origins) (*Guard, error) {
	g := &Guard{origins: origins, protection: http.NewCrossOriginProtection()}
	for _, o := range origins {
		if err := g.protection.AddTrustedOrigin(o); err != nil {
			return nil, fmt.Errorf("PUBLIC_ORIGINS: %w", err)
		}
	}
	return g, nil
}

var errForeign = errors.New("the page is from another origin")

// CheckRequest checks a REST request. It accepts requests that have neither Origin nor
// Sec-Fetch-Site, because they do not come from a browser. It also accepts reads, because a page
// from another origin cannot see their responses.
func (g *Guard) CheckRequest(r *http.Request) error {
	if err := g.protection.Check(r); err != nil {
		return err
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	// The standard library compares only the host of an Origin, not its scheme.
	if origin := r.Header.Get("Origin"); !slices.Contains(g.origins, origin) && OverHTTPS(r) && strings.HasPrefix(origin, "http:") {
		return errForeign
	}
	return nil
}

// CheckUpgrade checks the origin of a WebSocket request. The same-origin policy of browsers does
// not cover WebSockets, so without this check a page from another origin could read the responses.
func (g *Guard) CheckUpgrade(r *http.Request) error {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(g.origins, origin) {
		return nil
	}
	u, err := url.Parse(origin)
	// A page loaded over https may seem to reach us over http, because a proxy may have terminated
	// https without adding a header.
	if err != nil || u.Host == "" || OverHTTPS(r) && u.Scheme != "https" {
		return errForeign
	}
	own := strings.TrimSuffix(strings.ToLower(r.Host), ":"+defaultPort(u.Scheme))
	if strings.TrimSuffix(strings.ToLower(u.Host), ":"+defaultPort(u.Scheme)) != own {
		return errForeign
	}
	return nil
}
