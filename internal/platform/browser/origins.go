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

// Origins are the origins of pages, besides our own, that may use our users' cookies: the setting PUBLIC_ORIGINS.
// Each is written as browsers write it: scheme and host in lower case, without the default port.
type Origins []string

// UnmarshalText reads "https://app.example.com, http://localhost:5173". It refuses what no browser's Origin can equal.
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

// String returns the origins with commas between them.
func (o Origins) String() string { return strings.Join(o, ",") }

// parseOrigin returns an origin as browsers write it.
func parseOrigin(s string) (string, error) {
	if strings.Contains(s, "*") {
		return "", errors.New("has a *: name each origin, since its pages act for the users who visit them")
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", errors.New("is not an origin like https://app.example.com")
	}
	if u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(s, "#") || u.User != nil {
		return "", errors.New("is not an origin: it has more than scheme, host and port")
	}
	host, err := parseHost(u.Hostname())
	if err != nil {
		return "", err
	}
	if strings.HasSuffix(u.Host, ":") {
		return "", errors.New("has a colon and no port")
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
			return "", errors.New("has a host that no browser can name")
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

// Guard refuses requests with which a page of another origin would use our users' cookies.
type Guard struct {
	origins    Origins
	protection *http.CrossOriginProtection
}

// NewGuard returns a Guard that lets pages of the given origins pass, besides our own.
func NewGuard(origins Origins) (*Guard, error) {
	g := &Guard{origins: origins, protection: http.NewCrossOriginProtection()}
	for _, o := range origins {
		if err := g.protection.AddTrustedOrigin(o); err != nil {
			return nil, fmt.Errorf("PUBLIC_ORIGINS: %w", err)
		}
	}
	return g, nil
}

var errForeign = errors.New("the page has another origin")

// CheckRequest checks a request over REST. Requests without Origin and Sec-Fetch-Site come from no browser, and reads
// pass: a page cannot see their answers.
func (g *Guard) CheckRequest(r *http.Request) error {
	if err := g.protection.Check(r); err != nil {
		return err
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	// Of an Origin the standard library compares the host alone.
	if origin := r.Header.Get("Origin"); !slices.Contains(g.origins, origin) && OverHTTPS(r) && strings.HasPrefix(origin, "http:") {
		return errForeign
	}
	return nil
}

// CheckUpgrade checks a request for a WebSocket, whose answers a page can see.
func (g *Guard) CheckUpgrade(r *http.Request) error {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(g.origins, origin) {
		return nil
	}
	u, err := url.Parse(origin)
	// A page over https may reach us over http: a proxy may have taken https off without a word.
	if err != nil || u.Host == "" || OverHTTPS(r) && u.Scheme != "https" {
		return errForeign
	}
	own := strings.TrimSuffix(strings.ToLower(r.Host), ":"+defaultPort(u.Scheme))
	if strings.TrimSuffix(strings.ToLower(u.Host), ":"+defaultPort(u.Scheme)) != own {
		return errForeign
	}
	return nil
}
