// Package avatar fetches the pictures that users name, once, and keeps small copies of them: nobody who looks at a user
// calls a server that the user chose.
//
// A fetch is a request that a stranger makes this server send, so it goes to public addresses alone (checked when the
// connection is made, after the name was looked up), by https, on port 443, with few redirects, little time and few bytes,
// and what comes back is decoded and encoded anew.
package avatar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

const (
	// timeout bounds a fetch, redirects included.
	timeout = 8 * time.Second
	// maxRedirects is how many redirects are followed.
	maxRedirects = 3
	// atOnce is how many pictures are fetched and decoded at the same time. Decoding one takes up to 64 MiB.
	atOnce = 2
)

// What is wrong with an address or a picture. They complete sentences that begin with the field's name.
var (
	errAddress = errors.New("is not an https address of a public host, on port 443")
	errSilent  = errors.New("does not answer with a picture in time")
	errFormat  = errors.New("is not a PNG, JPEG, GIF or WebP picture")
	errTooBig  = fmt.Errorf("is larger than %d MiB", maxBytes>>20)
)

// Fetcher fetches pictures. It is safe for concurrent use.
type Fetcher struct {
	client  *http.Client
	allowed func(netip.AddrPort) bool
	port    string
	slots   chan struct{}
}

// NewFetcher returns a Fetcher.
func NewFetcher() *Fetcher {
	f := &Fetcher{allowed: public, port: "443", slots: make(chan struct{}, atOnce)}
	dialer := &net.Dialer{Timeout: timeout, ControlContext: f.control}
	f.client = &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{ // no proxy: it would look the name up by itself
			DialContext: dialer.DialContext, TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout,
			DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return errSilent
			}
			r.Header.Del("Referer")
			return f.check(r.URL)
		},
	}
	return f
}

// None refuses every picture, for a deployment that fetches none.
type None struct{}

// Fetch returns an error.
func (None) Fetch(context.Context, string) (Picture, error) {
	return Picture{}, errors.New("cannot be set: this server fetches no pictures")
}

// control refuses a connection to an address that is not public.
func (f *Fetcher) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || !f.allowed(netip.AddrPortFrom(a.Addr().Unmap(), a.Port())) {
		return errAddress
	}
	return nil
}

// check looks at an address without looking its name up.
func (f *Fetcher) check(u *url.URL) error {
	if u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Port() != "" && u.Port() != f.port {
		return errAddress
	}
	return nil
}

// Fetch fetches the picture at an address and makes it small. Its error is for the user and names no address: what
// answers inside a network and what does not must not be found out this way.
func (f *Fetcher) Fetch(ctx context.Context, address string) (Picture, error) {
	u, err := url.Parse(address)
	if err != nil {
		return Picture{}, errAddress
	}
	if err := f.check(u); err != nil {
		return Picture{}, err
	}
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-ctx.Done():
		return Picture{}, errSilent
	}
	source, err := f.download(ctx, u)
	if err != nil {
		return Picture{}, err
	}
	return Make(source)
}

func (f *Fetcher) download(ctx context.Context, u *url.URL) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, errAddress
	}
	req.Header.Set("Accept", "image/png, image/jpeg, image/gif, image/webp")
	req.Header.Set("User-Agent", "Parley")
	resp, err := f.client.Do(req)
	if err != nil {
		if errors.Is(err, errAddress) {
			return nil, errAddress
		}
		return nil, errSilent
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errSilent
	}
	source, err := io.ReadAll(io.LimitReader(resp.Body, maxBytes+1))
	if err != nil {
		return nil, errSilent
	}
	if len(source) > maxBytes {
		return nil, errTooBig
	}
	return source, nil
}

// reserved are the networks that are not on the public internet and that netip does not know as such (RFC 6890 and
// the registries it set up), and those that stand for an IPv4 address, which is not looked at.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

// public reports whether an address is on the public internet.
func public(a netip.AddrPort) bool {
	ip := a.Addr()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.Zone() != "" {
		return false
	}
	for _, network := range reserved {
		if network.Contains(ip) {
			return false
		}
	}
	return a.Port() == 443
}
