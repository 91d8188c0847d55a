package ops

import (
	"context"
	"net"
	"net/url"
	"slices"
	"sync"

	"parley.chat/internal/platform/instances"
)

// instance is one process whose metrics are read.
type instance struct {
	url  string // address of its metrics
	host string // host name that resolved to the IP address in url, if any
	err  error  // why the host name could not be resolved
}

// instances returns the instances behind the targets. It resolves the host names on every call. A
// host name can resolve to several IP addresses, for example the name of a scaled service in
// Compose. Each address is one instance.
func (s *Service) instances(ctx context.Context) []instance {
	found := make([][]instance, len(s.cfg.Targets))
	var wg sync.WaitGroup
	for i, target := range s.cfg.Targets {
		wg.Go(func() { found[i] = s.resolve(ctx, target) })
	}
	wg.Wait()
	return slices.Concat(found...)
}

// resolve returns the instances of one target. An HTTPS target is always one instance, because its
// certificate is issued for the host name.
func (s *Service) resolve(ctx context.Context, target string) []instance {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" {
		return []instance{{url: target}}
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	addresses, err := instances.Addresses(ctx, s.cfg.Resolver, u.Hostname())
	if err != nil {
		return []instance{{url: target, err: errUnknownName}}
	}
	if len(addresses) == 1 {
		return []instance{{url: target}}
	}
	host, port := u.Host, u.Port()
	out := make([]instance, len(addresses))
	for i, a := range addresses {
		at := *u
		at.Host = a.String()
		if a.Is6() {
			at.Host = "[" + at.Host + "]"
		}
		if port != "" {
			at.Host = net.JoinHostPort(a.String(), port)
		}
		out[i] = instance{url: at.String(), host: host}
	}
	return out
}
