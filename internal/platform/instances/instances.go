// Package instances finds the instances of a service behind one DNS name.
package instances

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Addresses returns the addresses of a name, sorted and without duplicates. It returns the IPv4
// addresses if there are any, because an instance that has an IPv4 and an IPv6 address must be
// counted only once. If name is an address, it returns that address.
func Addresses(ctx context.Context, resolver *net.Resolver, name string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{a}, nil
	}
	found, err := resolver.LookupNetIP(ctx, "ip4", name)
	if err != nil || len(found) == 0 {
		if found, err = resolver.LookupNetIP(ctx, "ip6", name); err != nil {
			return nil, fmt.Errorf("resolve %s: %w", name, err)
		}
	}
	for i, a := range found {
		found[i] = a.Unmap()
	}
	slices.SortFunc(found, netip.Addr.Compare)
	return slices.Compact(found), nil
}
