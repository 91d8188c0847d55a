package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Percent is a percentage between 0 and 100, written "50%". The percent sign is required, so that
// 0.5 cannot be misread as half a percent.
type Percent float64

// UnmarshalText parses "50%" or "12.5%".
func (p *Percent) UnmarshalText(text []byte) error {
	digits, ok := strings.CutSuffix(strings.TrimSpace(string(text)), "%")
	n, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || !(n >= 0 && n <= 100) { // also rejects NaN
		return fmt.Errorf("%q is not a percentage from 0%% to 100%%", text)
	}
	*p = Percent(n)
	return nil
}

// MarshalText returns text that UnmarshalText can parse.
func (p Percent) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// String returns "50%".
func (p Percent) String() string { return strconv.FormatFloat(float64(p), 'f', -1, 64) + "%" }

// Of returns this percentage of whole, rounded down.
func (p Percent) Of(whole int64) int64 { return int64(float64(whole) * float64(p) / 100) }

// Rate allows Count actions in any interval of length Per, written "20/10s". "off" is a Count of 0,
// which means no limit.
type Rate struct {
	Count int
	Per   time.Duration
}

// UnmarshalText parses "20/10s" or "off".
func (r *Rate) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*r = Rate{}
		return nil
	}
	count, per, ok := strings.Cut(string(text), "/")
	n, errCount := strconv.Atoi(strings.TrimSpace(count))
	d, errPer := time.ParseDuration(strings.TrimSpace(per))
	if !ok || errCount != nil || errPer != nil || n < 1 || d <= 0 {
		return fmt.Errorf("%q is neither a rate like 20/10s nor off", text)
	}
	*r = Rate{Count: n, Per: d}
	return nil
}

// MarshalText returns text that UnmarshalText can parse.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String returns "20/10s" or "off".
func (r Rate) String() string {
	if r.Count == 0 {
		return "off"
	}
	return strconv.Itoa(r.Count) + "/" + r.Per.String()
}

// List is a comma-separated list of strings. Spaces around items and empty items are ignored.
type List []string

// UnmarshalText parses "a, b,c".
func (l *List) UnmarshalText(text []byte) error {
	*l = nil
	for item := range strings.SplitSeq(string(text), ",") {
		if item = strings.TrimSpace(item); item != "" {
			*l = append(*l, item)
		}
	}
	return nil
}

// String returns the items, separated by commas.
func (l List) String() string { return strings.Join(l, ",") }

// CIDRs is a comma-separated list of networks. A bare address is a network that contains only that
// address.
type CIDRs []netip.Prefix

// UnmarshalText parses "10.0.0.0/8, fd00::/8, 192.0.2.7".
func (c *CIDRs) UnmarshalText(text []byte) error {
	var items List
	if err := items.UnmarshalText(text); err != nil {
		return err
	}
	*c = nil
	var errs []error
	for _, item := range items {
		prefix, err := parsePrefix(item)
		if err != nil {
			errs = append(errs, fmt.Errorf("%q is not a network like 10.0.0.0/8", item))
			continue
		}
		*c = append(*c, prefix)
	}
	return errors.Join(errs...)
}

func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	return prefix.Masked(), err
}

// Contains reports whether addr is in one of the networks. An IPv4-mapped IPv6 address is treated
// as the IPv4 address.
func (c CIDRs) Contains(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, prefix := range c {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// String returns the networks, separated by commas.
func (c CIDRs) String() string {
	items := make(List, len(c))
	for i, prefix := range c {
		items[i] = prefix.String()
	}
	return items.String()
}

// typeName returns the type name that --help shows for t. The names are meant for readers who do
// not know Go.
func typeName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.TypeFor[slog.Level]():
		return "level"
	case reflect.TypeFor[Percent]():
		return "percent"
	case reflect.TypeFor[Rate]():
		return "rate"
	case reflect.TypeFor[List]():
		return "list"
	case reflect.TypeFor[CIDRs]():
		return "networks"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "bool"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "integer"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Slice:
		return "list"
	default:
		return "string"
	}
}
