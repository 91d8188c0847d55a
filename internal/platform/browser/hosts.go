package browser

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"parley.chat/internal/platform/config"
)

// Hosts holds the host names under which browsers reach a deployment (the setting PUBLIC_HOSTS).
// Requests for other hosts are refused, to prevent DNS rebinding: if an attacker's host name
// resolved to this server, a page under that name would count as same-origin. An empty list serves
// every host.
type Hosts []string

// UnmarshalText parses "chat.example.com, 192.0.2.7, localhost". Ports are not compared and must
// not be specified.
func (h *Hosts) UnmarshalText(text []byte) error {
	var items config.List
	if err := items.UnmarshalText(text); err != nil {
		return err
	}
	*h = nil
	var errs []error
	for _, item := range items {
		host, err := parseHost(strings.TrimSuffix(strings.TrimPrefix(item, "["), "]"))
		if err != nil {
			errs = append(errs, fmt.Errorf("%q is not a host name or an address, without scheme and port", item))
			continue
		}
		*h = append(*h, host)
	}
	return errors.Join(errs...)
}

// String returns the hosts, separated by commas.
func (h Hosts) String() string { return strings.Join(h, ",") }

// Serves reports whether the Host header names one of the hosts.
func (h Hosts) Serves(host string) bool { return len(h) == 0 || slices.Contains(h, hostname(host)) }

// hostname returns a Host header without its port, in lower case.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), "."))
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String()
	}
	return host
}

// Loopback reports whether a Host header denotes this machine.
func Loopback(host string) bool {
	host = hostname(host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
