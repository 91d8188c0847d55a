package ops

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"sync"
)

// instance is one process whose metrics are read.
type instance struct {
	url  string // where it is asked
	host string // the name under which it was found, if url has its address instead
	err  error  // the name could not be looked up
}

// instances returns the processes behind the targets, looked up anew each time: a target's name stands for every
// address that it has, as the name of a scaled service does.
func (s *Service) instances(ctx context.Context) []instance {
	found := make([][]instance, len(s.cfg.Targets))
	var wg sync.WaitGroup
	for i, target := range s.cfg.Targets {
		wg.Go(func() { found[i] = s.behind(ctx, target) })
	}
	wg.Wait()
	return slices.Concat(found...)
}

// behind returns the instances of one target. Over https a target is one instance, since a certificate is for a name.
func (s *Service) behind(ctx context.Context, target string) []instance {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" {
		return []instance{{url: target}}
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return []instance{{url: target}}
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	addresses, err := s.lookup(ctx, u.Hostname())
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

// lookup returns the addresses of a name in order: those of IPv4 if it has any, since an instance with an address of
// each kind is one instance.
func (s *Service) lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	addresses, err := s.cfg.Resolver.LookupNetIP(ctx, "ip4", name)
	if err != nil || len(addresses) == 0 {
		if addresses, err = s.cfg.Resolver.LookupNetIP(ctx, "ip6", name); err != nil {
			return nil, err
		}
	}
	for i, a := range addresses {
		addresses[i] = a.Unmap()
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	return slices.Compact(addresses), nil
}
