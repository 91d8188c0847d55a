// Package instances finds the instances of a service behind one name in DNS.
package instances

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Addresses returns the addresses of a name in order, each once: those of IPv4 if it has any, since an instance with an
// address of each kind is one instance. An address is its own name.
func Addresses(ctx context.Context, resolver *net.Resolver, name string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{a}, nil
	}
	found, err := resolver.LookupNetIP(ctx, "ip4", name)
	if err != nil || len(found) == 0 {
		if found, err = resolver.LookupNetIP(ctx, "ip6", name); err != nil {
			return nil, fmt.Errorf("look up %s: %w", name, err)
		}
	}
	for i, a := range found {
		found[i] = a.Unmap()
	}
	slices.SortFunc(found, netip.Addr.Compare)
	return slices.Compact(found), nil
}
