// Package avatar fetches each user's picture once, from the URL that the user specifies, and stores
// a small copy of it. A client that displays a user therefore never contacts a server that this
// user has chosen.
//
// Fetches are restricted, because untrusted users choose where this server sends requests. They
// connect only to public addresses (checked after the name is resolved), over HTTPS on port 443,
// and follow at most maxRedirects redirects. The duration and the size of a download are limited.
// The picture is decoded and re-encoded.
package avatar

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"parley.chat/shared-contracts/apierr"
)

const (
	// timeout limits a fetch, including redirects.
	timeout = 8 * time.Second
	// maxRedirects is the maximum number of redirects that are followed.
	maxRedirects = 3
	// maxConcurrentFetches limits the number of pictures that are fetched and decoded at the same
	// time. Decoding a picture takes up to 64 MiB of memory.
	maxConcurrentFetches = 2
)

// These errors explain why an address or a picture was refused.
var (
	errAddress = apierr.Violates(apierr.FieldPictureAddress, "is not the HTTPS address of a public host on port 443")
	errSilent  = apierr.Violates(apierr.FieldPictureUnreachable, "does not answer with a picture in time")
	errFormat  = apierr.Violates(apierr.FieldPictureFormat, "is not a PNG, JPEG, GIF or WebP picture")
	errTooBig  = apierr.Violates(apierr.FieldPictureSize, "is larger than %d MiB", maxBytes>>20).AtMost(maxBytes >> 20)
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
	f := &Fetcher{allowed: public, port: "443", slots: make(chan struct{}, maxConcurrentFetches)}
	dialer := &net.Dialer{Timeout: timeout, ControlContext: f.control}
	f.client = &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{ // no proxy, because a proxy would resolve the name itself
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

// None is a fetcher that refuses every picture, for deployments that do not fetch pictures.
type None struct{}

// Fetch returns an error.
func (None) Fetch(context.Context, string) (Picture, error) {
	return Picture{}, apierr.Violates(apierr.FieldPictureDisabled, "cannot be set, because this server does not fetch pictures")
}

// control refuses connections to addresses that are not public.
func (f *Fetcher) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || !f.allowed(netip.AddrPortFrom(a.Addr().Unmap(), a.Port())) {
		return errAddress
	}
	return nil
}

// check validates a URL without resolving its host name.
func (f *Fetcher) check(u *url.URL) error {
	if u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Port() != "" && u.Port() != f.port {
		return errAddress
	}
	return nil
}

// Fetch fetches the picture at an address and shrinks it. The error is shown to the user, so it
// contains no address and does not reveal whether an internal server has answered.
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

// reserved lists the networks outside the public internet that the methods of package netip do not
// cover (RFC 6890 and its registries). It includes the IPv6 ranges that embed an IPv4 address,
// because the embedded address is not checked.
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
